"""One turn: how it ends, what cannot be asked, what is held to a constraint, streamed or cancelled, and what a failure costs."""

from __future__ import annotations

import asyncio
import dataclasses
import re

import jax
import numpy as np
import pytest

from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.types import Sample, SampleParams
from tests.sampling.driving import CONFIG, Ask, answer, ask, assert_same, learners, one_by_one, run

# --- Ends of a turn ---


def test_a_stop_id_ends_the_turn_and_belongs_to_it(sampler: BatchedSampler, params) -> None:
  free = one_by_one(sampler, params, [ask(11, 20, new=30)])[0]
  assert (free.finish, len(free.tokens), len(free.logprobs)) == ('length', 30, 30)
  stop = free.tokens[10]
  end = free.tokens.index(stop) + 1
  unused = next(t for t in range(CONFIG.vocab) if t not in free.tokens)
  stopped = one_by_one(sampler, params, [ask(11, 20, new=30, stop=(unused, stop))])[0]
  assert stopped.finish == 'stop' and stopped.tokens == free.tokens[:end] and stopped.logprobs == free.logprobs[:end]


def test_a_stop_id_as_the_very_last_token_is_a_stop(sampler: BatchedSampler, params) -> None:
  free = one_by_one(sampler, params, [ask(12, 20, new=6)])[0]
  last = one_by_one(sampler, params, [ask(12, 20, new=free.tokens.index(free.tokens[5]) + 1, stop=(free.tokens[5],))])[0]
  assert last.finish == 'stop'


def test_the_greedy_path_is_the_best_token_each_time(sampler: BatchedSampler, params) -> None:
  request = ask(13, 20, new=12, temperature=0.0)
  greedy = one_by_one(sampler, params, [request])[0]
  for i, token in enumerate(greedy.tokens):
    prefix = [*request.tokens, *greedy.tokens[:i]]
    others = [[*prefix, t] for t in (token, *range(0, CONFIG.vocab, 7))]
    best, *rest = (logp[-1] for logp in learners(params, others))
    assert best == pytest.approx(greedy.logprobs[i], abs=1e-4) and best >= max(rest) - 1e-4


@pytest.mark.parametrize(('length', 'new', 'expected'), [(395, 50, 5), (399, 50, 1), (400, 50, 0), (10, 0, 0), (10, 1, 1)])
def test_max_new_tokens_and_the_context_bound_a_turn(sampler: BatchedSampler, params, length: int, new: int, expected: int) -> None:
  sample = one_by_one(sampler, params, [ask(14, length, new=new)])[0]
  assert (len(sample.tokens), len(sample.logprobs), sample.finish) == (expected, expected, 'length')


def test_a_conversation_that_fills_its_context_ends(sampler: BatchedSampler) -> None:
  async def filled() -> tuple[Sample, Sample]:
    request = ask(15, 390, new=50)
    first = await answer(sampler, request, 'full', keep=True)
    return first, await answer(sampler, Ask((*request.tokens, *first.tokens), request.params), 'full')

  first, second = run(filled())
  assert len(first.tokens) == 10 and first.finish == 'length'
  assert second == Sample((), (), 'length', 0)


@pytest.mark.parametrize(
  ('request_', 'told'),
  [
    (ask(1, 0), '0 tokens, where 1 to 400'),
    (ask(1, 401), '401 tokens, where 1 to 400'),
    (Ask((3, 97), ask(1, 1).params), 'the prompt has token id 97, the vocabulary 97'),
    (ask(1, 5, stop=(0, 1, 2, 3, 4)), '5 stop ids, where there is room for 4'),
    (ask(1, 5, stop=(-1,)), 'stop has token id -1'),
    (ask(1, 5, banned=tuple(range(17))), '17 banned ids, where there is room for 16'),
    (ask(1, 5, temperature=float('nan')), 'temperature nan'),
    (ask(1, 5, top_p=0.0, min_p=2.0, top_k=-1), 'top_p 0.0.*min_p 2.0.*top_k -1'),
    (Ask((1,), SampleParams(seed=1 << 64, max_new_tokens=3)), 'beyond 64 bits'),
  ],
)
def test_what_cannot_be_asked_is_refused_and_nobody_else_notices(sampler: BatchedSampler, params, request_: Ask, told: str) -> None:
  good = ask(2, 9)
  expected = one_by_one(sampler, params, [good])

  async def beside() -> list[object]:
    return await asyncio.gather(answer(sampler, good, 'good'), answer(sampler, request_, 'bad'), return_exceptions=True)

  sample, error = run(beside())
  assert isinstance(error, ValueError) and re.search(told, str(error))
  assert [sample] == expected


def test_a_request_can_be_ended_early_with_what_it_has(sampler: BatchedSampler, params) -> None:
  long = ask(21, 30, new=300)
  whole = one_by_one(sampler, params, [long])[0]

  async def ended() -> tuple[Sample, Sample, Sample]:
    task = asyncio.create_task(answer(sampler, long, 'cancelled'))
    while not sampler.stats.sampled_tokens - before:
      await asyncio.sleep(0.001)
    sampler.cancel('cancelled')
    hasty = dataclasses.replace(long, params=dataclasses.replace(long.params, deadline=0.0))
    return await task, await answer(sampler, hasty, 'hasty'), await answer(sampler, long, 'after')

  before = sampler.stats.sampled_tokens
  cancelled, hasty, after = run(ended())
  assert cancelled.finish == 'cancelled' and 0 < len(cancelled.tokens) < 300
  assert cancelled.tokens == whole.tokens[: len(cancelled.tokens)]
  assert hasty == Sample((), (), 'deadline', 0)
  assert_same([after], [whole])
  assert sampler.pages_in_use == 0


class Multiples:
  """Only multiples of 7; after 14 always 3 and 5. Stands for a grammar: the sampler knows none."""

  def __init__(self, broken: bool = False) -> None:
    self.said: list[int] = []
    self.broken = broken

  def allowed(self, bits_W: np.ndarray) -> None:
    if self.broken and len(self.said) > 2:
      raise ValueError('the grammar cannot be followed')
    for token in range(0, CONFIG.vocab, 7):
      bits_W.view(np.uint32)[token // 32] |= np.uint32(1 << token % 32)

  def accept(self, tokens) -> None:
    self.said += tokens

  def forced(self) -> list[int]:
    return [3, 5] if self.said[-1] == 14 else []


def test_a_constraint_holds_one_request_and_no_other(sampler: BatchedSampler, params) -> None:
  free, held = ask(23, 30, new=25), ask(24, 70, new=40)
  expected = one_by_one(sampler, params, [free])[0]
  constraint = Multiples()

  async def together() -> list[Sample]:
    sampler.update(params, 0)
    constrained = sampler.sample(held.tokens, held.params, 'held', constraint=constraint)
    return await asyncio.gather(constrained, answer(sampler, free, 'free'))

  constrained, unconstrained = run(together())
  assert_same([unconstrained], [expected])
  tokens = list(constrained.tokens)
  assert tokens[: len(constraint.said)] == constraint.said and len(tokens) == 40 and 14 in tokens[:-2]
  after = [i for i, t in enumerate(tokens) if t == 14 and i < 38]
  assert all(tokens[i + 1 : i + 3] == [3, 5] and constrained.logprobs[i + 1 : i + 3] == (0.0, 0.0) for i in after)
  forced = {i + k for i in after for k in (1, 2)} | ({39} if tokens[38] == 14 else set())
  assert all(t % 7 == 0 for i, t in enumerate(tokens) if i not in forced)
  # The next turn builds on what was forced as well.
  sampler.release('held')
  longer = Ask((*held.tokens, *tokens, 1, 2), held.params)
  assert_same([run(answer(sampler, longer, 'next'))], one_by_one(sampler, params, [longer]))


def test_a_constraint_that_breaks_is_its_own_requests_error(sampler: BatchedSampler, params) -> None:
  free = ask(23, 30, new=25)
  expected = one_by_one(sampler, params, [free])[0]

  async def together() -> list[object]:
    broken = sampler.sample(free.tokens, free.params, 'broken', constraint=Multiples(broken=True))
    return await asyncio.gather(broken, answer(sampler, free, 'free'), return_exceptions=True)

  error, sample = run(together())
  assert isinstance(error, ValueError) and 'cannot be followed' in str(error)
  assert sample == expected and sampler.pages_in_use == 0


def test_tokens_are_streamed_as_they_come(sampler: BatchedSampler, params) -> None:
  request, parts = ask(22, 30, new=21), []

  async def streamed() -> Sample:
    return await sampler.sample(request.tokens, request.params, 'one', stream=lambda tokens, logprobs: parts.append((tokens, logprobs)))

  sample = run(streamed())
  assert len(parts) == 6  # dispatches of four
  assert tuple(t for tokens, _ in parts for t in tokens) == sample.tokens
  assert tuple(p for _, logprobs in parts for p in logprobs) == sample.logprobs


# --- Failures ---


def test_a_failed_dispatch_reaches_everyone_who_waits_and_good_weights_heal_it(sampler: BatchedSampler, params) -> None:
  request = ask(1, 20)
  expected = one_by_one(sampler, params, [request])

  async def everyone() -> list[object]:
    return await asyncio.gather(*(answer(sampler, ask(i, 8), f'{i}') for i in range(70)), return_exceptions=True)

  sampler.update({name: value for name, value in params.items() if name != 'norm'}, 1)
  failures = run(everyone())
  assert len(failures) == 70 and all(isinstance(f, KeyError) and 'norm' in str(f) for f in failures)
  sampler.update(params, 0)
  assert_same(one_by_one(sampler, params, [request]), expected)


def test_a_dispatch_that_dies_costs_nobody_a_token(sampler: BatchedSampler, params, monkeypatch: pytest.MonkeyPatch) -> None:
  """As when the device is lost: what was sampled so far is kept, the cache is built again."""
  asked = [ask(i, 5 + 3 * i, new=20) for i in range(12)]
  expected = one_by_one(sampler, params, asked)
  dispatch, calls = sampler._decode, []

  def dying(*arguments):
    calls.append(1)
    if len(calls) in (2, 4):
      jax.tree.map(lambda x: x.delete(), arguments[1])
      raise RuntimeError('device lost')
    return dispatch(*arguments)

  async def everyone() -> list[Sample]:
    return await asyncio.gather(*(answer(sampler, request, f'{i}') for i, request in enumerate(asked)))

  sampler.update(params, 0)
  monkeypatch.setattr(sampler, '_decode', dying)
  assert_same(run(everyone()), expected)
  assert len(calls) == 2 + 5 and sampler.pages_in_use == 0


def test_a_request_that_was_cancelled_while_it_waited_takes_no_slot(sampler: BatchedSampler) -> None:
  async def cancelled() -> Sample:
    held = [asyncio.create_task(answer(sampler, ask(i, 8, new=30), f'{i}')) for i in range(64)]
    await asyncio.sleep(0)
    late = [asyncio.create_task(answer(sampler, ask(i, 8), f'late {i}')) for i in range(64)]
    await asyncio.sleep(0)
    for task in late:
      task.cancel()
    await asyncio.gather(*held, *late, return_exceptions=True)
    return await answer(sampler, ask(1, 8), 'after')

  assert len(run(cancelled()).tokens) == 8
