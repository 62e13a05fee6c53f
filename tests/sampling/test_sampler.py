"""The sampler: the learner's distribution, the same bits in any company, and nothing left of old weights."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re

import jax
import numpy as np
import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.models import lora
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.types import Sample, SampleParams
from tests.models import reference
from tests.models.small import weights
from tests.sampling.driving import CONFIG, SIZES, Ask, answer, ask, learners, one_by_one, prompt, run


async def _conversation(sampler: BatchedSampler, name: int, session: str, turns: int = 3) -> tuple[list[int], dict[int, float]]:
  """All tokens of the multi-turn conversation `name`, and the sampler's log-probability of each position it sampled."""
  tokens, logp = list(prompt(name, 3 + 2 * name)), {}
  for turn in range(turns):
    sample = await sampler.sample(tokens, SampleParams(seed=100 * name + turn, max_new_tokens=7), session)
    logp |= {len(tokens) + i: p for i, p in enumerate(sample.logprobs)}
    tokens += [*sample.tokens, *prompt(1000 + name, 1 + (name + turn) % 5)]  # the user's next words
  sampler.release(session)
  return tokens, logp


def programs_of(sizes: SamplerConfig) -> int:
  return len(sizes.prefill_rows) + 1 + len(sizes.decode_rows)


def _assert_same(a: list[Sample], b: list[Sample]) -> None:
  """Bit for bit: tokens, log-probabilities, finish."""
  for one, other in zip(a, b, strict=True):
    assert (one.tokens, one.finish) == (other.tokens, other.finish)
    np.testing.assert_array_equal(np.array(one.logprobs), np.array(other.logprobs))


# --- Invariant 3: one distribution for sampler and learner ---


def test_log_probabilities_are_the_learners_over_several_turns(sampler: BatchedSampler, params) -> None:
  async def talks():
    return await asyncio.gather(*(_conversation(sampler, name, f'{name}') for name in range(8)))

  before = sampler.stats.prefilled_tokens
  played = run(talks())
  for (_, sampled), learner in zip(played, learners(params, [tokens for tokens, _ in played]), strict=True):
    assert len(sampled) == 21
    np.testing.assert_allclose(list(sampled.values()), learner[list(sampled)], atol=1e-4, rtol=0)
    assert np.ptp(learner[list(sampled)]) > 1  # a distribution, not a constant
  # A turn prefills what came after the tokens in the cache (all but the last sampled one), and nothing twice.
  read = sum(len(prompt(n, 3 + 2 * n)) - 1 + sum(1 + (n + turn) % 5 for turn in range(2)) for n in range(8))
  assert sampler.stats.prefilled_tokens - before == read


def test_matrices_in_8_bits_are_sampled_from_as_the_learner_would(params) -> None:
  eight = BatchedSampler(params, CONFIG, dataclasses.replace(SIZES, int8=True))
  assert eight._params['blocks']['down'].dtype == np.int8
  tokens, sampled = run(_conversation(eight, 3, 'talk'))
  (same,), (exact,) = learners(lora.quantized(params), [tokens]), learners(params, [tokens])
  np.testing.assert_allclose(list(sampled.values()), same[list(sampled)], atol=1e-4, rtol=0)
  assert 1e-4 < np.abs(same - exact)[list(sampled)].max() < 0.5  # the price


def test_a_conversation_that_is_told_differently_is_read_again(sampler: BatchedSampler, params) -> None:
  async def rewritten() -> Sample:
    first = ask(1, 12)
    await answer(sampler, first, 'talk', keep=True)
    return await answer(sampler, ask(2, 40), 'talk')

  changed = run(rewritten())
  _assert_same([changed], one_by_one(sampler, params, [ask(2, 40)]))


# --- Invariant 4: the same request gives the same bits in any company ---

MIXED = [
  ask(1, 1),
  ask(2, 17, new=13),
  ask(3, 48, temperature=0.7),
  ask(4, 33, temperature=0.0),
  ask(5, 20, top_p=0.8),
  ask(6, 300, new=21),  # beyond one block of the cache
]


@pytest.fixture(scope='module')
def alone(warm: BatchedSampler, params) -> list[Sample]:
  warm.update(params, 0)
  return one_by_one(warm, params, MIXED)


def _crowd(seed: int) -> list[Ask]:
  """64 requests, `MIXED` among them, no two alike."""
  rng = random.Random(seed)
  fillers = [
    ask(100 + i, rng.randint(1, 70), new=rng.randint(1, 24), temperature=rng.choice([0.0, 0.6, 1.0]), top_p=rng.choice([0.5, 1.0]))
    for i in range(64 - len(MIXED))
  ]
  return [*MIXED, *fillers]


@pytest.mark.parametrize('seed', [0, 1])
def test_alone_or_among_64_in_any_order_of_arrival(sampler: BatchedSampler, alone: list[Sample], seed: int) -> None:
  rng, crowd = random.Random(seed), _crowd(seed)
  arrival = rng.sample(range(64), 64)

  async def together() -> dict[int, Sample]:
    samples = await asyncio.gather(*(answer(sampler, crowd[i], f'{i}', wait=rng.randint(0, 60)) for i in arrival))
    return dict(zip(arrival, samples))

  samples = run(together())
  _assert_same([samples[i] for i in range(len(MIXED))], alone)


def test_in_another_slot_and_another_prefill_row(sampler: BatchedSampler, alone: list[Sample]) -> None:
  async def behind_others() -> list[Sample]:
    await asyncio.gather(*(answer(sampler, ask(200 + i, 5, new=1), f'held {i}', keep=True) for i in range(41)))
    # Three rows of the prefill program go to others, so each comes last in it.
    out = []
    for i, request in enumerate(MIXED):
      others = [answer(sampler, ask(300 + 3 * i + k, 30, new=2), f'other {k}') for k in range(3)]
      out.append((await asyncio.gather(*others, answer(sampler, request, f'late {i}')))[-1])
    return out

  _assert_same(run(behind_others()), alone)


def test_in_a_slot_that_others_used(sampler: BatchedSampler, alone: list[Sample]) -> None:
  async def after_others() -> list[Sample]:
    await asyncio.gather(*(answer(sampler, ask(400 + i, 90, new=30), f'gone {i}') for i in range(64)))
    return [await answer(sampler, request, f'next {i}') for i, request in enumerate(MIXED)]

  _assert_same(run(after_others()), alone)


def test_a_new_session_does_not_build_on_what_another_left_in_its_slot() -> None:
  # One query head per key head: here XLA gives a token decoded one by one other bits than the same token prefilled.
  config = dataclasses.replace(CONFIG, kv_heads=CONFIG.heads)
  params = weights(config)
  sampler = BatchedSampler(params, config, dataclasses.replace(SIZES, context=200))
  opening = ask(1, 40, new=50)

  async def continued() -> tuple[Ask, Sample]:
    first = await answer(sampler, opening, 'one')
    request = Ask((*opening.tokens, *first.tokens, 5, 6, 7), SampleParams(seed=3, max_new_tokens=12))
    return request, await answer(sampler, request, 'another')

  request, sample = run(continued())
  _assert_same([sample], one_by_one(sampler, params, [request]))


def test_with_and_without_a_shared_prompt(sampler: BatchedSampler, params) -> None:
  group = [dataclasses.replace(ask(7, 45), params=SampleParams(seed=i, max_new_tokens=9)) for i in range(10)]
  separate = one_by_one(sampler, params, group)
  assert len({s.tokens for s in separate}) > 1
  sampler.update(params, 0)
  before = sampler.stats.prefilled_tokens

  async def together() -> list[Sample]:
    return await asyncio.gather(*(answer(sampler, request, f'member {i}') for i, request in enumerate(group)))

  _assert_same(run(together()), separate)
  assert sampler.stats.prefilled_tokens - before == 44  # the prompt was read once


def test_more_sessions_than_slots_wait_and_all_finish_the_same(sampler: BatchedSampler, params) -> None:
  names = [i % 15 for i in range(150)]

  async def talks(chosen: list[int]):
    return await asyncio.gather(*(_conversation(sampler, name, f'{i}', turns=2) for i, name in enumerate(chosen)))

  crowded = run(talks(names))
  sampler.update(params, 0)
  roomy = run(talks(names[:15]))
  assert crowded == roomy * 10


# --- Pages ---


@pytest.fixture(scope='module')
def cramped(params) -> BatchedSampler:
  """Pages for little more than one whole context."""
  return BatchedSampler(params, CONFIG, dataclasses.replace(SIZES, pages=SIZES.blocks + 3))


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_without_pages_to_spare_requests_wait_and_idle_conversations_are_read_again(
  cramped: BatchedSampler, sampler: BatchedSampler, params, seed: int
) -> None:
  """Random arrivals, lengths and cancellations, against the same conversations one after the other with all the pages in the world."""
  rng = random.Random(seed)
  cramped.update(params, 0)
  evicted = cramped.stats.evicted

  async def talks(which: BatchedSampler, names: list[int], cancelled: frozenset[int]):
    async def one(i: int, name: int):
      for _ in range(rng.randint(0, 40)):
        await asyncio.sleep(0)
      task = asyncio.create_task(_conversation(which, name, f'{i}', turns=4))
      if i in cancelled:
        await asyncio.sleep(rng.random() * 0.05)
        task.cancel()
        which.release(f'{i}')
      return await task

    return await asyncio.gather(*(one(i, name) for i, name in enumerate(names)), return_exceptions=True)

  names, lost = [rng.randrange(12) for _ in range(24)], frozenset(rng.sample(range(24), 5))
  crowded = run(talks(cramped, names, lost))
  alone = {name: run(_conversation(sampler, name, 'alone', turns=4)) for name in set(names)}
  for i, name in enumerate(names):
    if i not in lost or not isinstance(crowded[i], asyncio.CancelledError):
      assert crowded[i] == alone[name]
  assert cramped.pages_in_use == 0
  assert cramped.stats.evicted > evicted


def test_conversations_that_open_alike_share_the_pages_of_their_opening(sampler: BatchedSampler, params) -> None:
  opening = prompt(77, 150)
  asked = [Ask((*opening, *prompt(i, 20)), SampleParams(seed=i, max_new_tokens=5)) for i in range(20)]
  separate = one_by_one(sampler, params, asked)
  sampler.update(params, 0)
  before = sampler.stats.prefilled_tokens

  async def together() -> list[Sample]:
    first = await answer(sampler, asked[0], '0')  # else each of them would be the first
    return [first, *await asyncio.gather(*(answer(sampler, request, f'{i}') for i, request in enumerate(asked) if i))]

  _assert_same(run(together()), separate)
  assert sampler.stats.prefilled_tokens - before == 169 + 19 * 19


def test_the_cache_goes_and_comes_back(sampler: BatchedSampler, params) -> None:
  request = ask(3, 50)
  expected = one_by_one(sampler, params, [request])
  sampler.free()
  assert sampler._pool is None
  _assert_same([run(answer(sampler, request, 'again'))], expected)
  assert sampler.compilations == programs_of(SIZES)


def test_too_few_pages_are_told_before_anything_runs(params) -> None:
  with pytest.raises(ConfigError, match=r'sampling.pages: 7 pages of 64 tokens are fewer than the 8 .*sampling.context=400'):
    BatchedSampler(params, CONFIG, dataclasses.replace(SIZES, pages=7))


# --- Weights ---


def test_new_weights_answer_under_their_version_and_old_keys_are_never_used(sampler: BatchedSampler, params) -> None:
  request, other = ask(9, 30, temperature=0.0), jax.tree.map(lambda x: x * 1.1, params)
  fresh = one_by_one(sampler, params, [request])[0]

  async def across_versions() -> tuple[Sample, Sample, Sample]:
    old = await answer(sampler, request, 'kept', keep=True)
    longer = Ask((*request.tokens, *old.tokens, 1, 2), request.params)
    sampler.update(other, 7)
    new = await answer(sampler, longer, 'kept', keep=True)  # the slot holds these tokens' keys, of the old weights
    sampler.update(params, 8)
    return old, new, await answer(sampler, request, 'kept')

  old, new, again = run(across_versions())
  assert (old.version, new.version, again.version) == (0, 7, 8)
  _assert_same([old, again], [fresh, fresh])
  longer = Ask((*request.tokens, *old.tokens, 1, 2), request.params)
  _assert_same([new], one_by_one(sampler, other, [longer]))
  assert one_by_one(sampler, other, [request])[0].tokens != fresh.tokens


def test_weights_do_not_change_under_a_request(sampler: BatchedSampler, params) -> None:
  async def interrupted() -> list[Sample]:
    tasks = [asyncio.create_task(answer(sampler, ask(i, 10, new=20), f'{i}')) for i in range(66)]  # two of them wait
    for _ in range(30):  # until the end of the first dispatches
      await asyncio.sleep(0)
      with pytest.raises(RuntimeError, match='under way'):
        sampler.update(params, 1)
    assert not any(t.done() for t in tasks)
    return await asyncio.gather(*tasks)

  assert {s.version for s in run(interrupted())} == {0}
  sampler.update(params, 1)


# --- Invariant 8: the programs are known from the config ---


def test_so_many_compilations_whatever_is_asked_and_wherever_weights_come_from(sampler: BatchedSampler, params) -> None:
  async def crowded() -> None:
    await asyncio.gather(*(answer(sampler, request, f'{i}') for i, request in enumerate(_crowd(5))))
    await asyncio.gather(*(answer(sampler, ask(1, 30), f'same {i}') for i in range(3)))

  run(crowded())
  assert sampler.compilations == programs_of(SIZES)
  origins = {
    'computed': jax.jit(lambda p: jax.tree.map(lambda x: x * 1.0, p))(params),
    'restored to a device': jax.device_put(params, jax.devices()[0]),
    'numpy': jax.tree.map(np.asarray, params),
  }
  for version, (origin, same) in enumerate(origins.items()):
    sampler.update(same, version)
    run(crowded())
    assert sampler.compilations == programs_of(SIZES), origin


def test_a_sampler_of_other_sizes_counts_its_own_compilations(sampler: BatchedSampler, params) -> None:
  other = BatchedSampler(params, CONFIG, dataclasses.replace(SIZES, context=600, slots=128, prefill=256))
  assert programs_of(other.sizes) == 5
  for each in (sampler, other):
    each.warm_up()
    assert each.compilations == programs_of(each.sizes)


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
  _assert_same([after], [whole])
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
  _assert_same([unconstrained], [expected])
  tokens = list(constrained.tokens)
  assert tokens[: len(constraint.said)] == constraint.said and len(tokens) == 40 and 14 in tokens[:-2]
  after = [i for i, t in enumerate(tokens) if t == 14 and i < 38]
  assert all(tokens[i + 1 : i + 3] == [3, 5] and constrained.logprobs[i + 1 : i + 3] == (0.0, 0.0) for i in after)
  forced = {i + k for i in after for k in (1, 2)} | ({39} if tokens[38] == 14 else set())
  assert all(t % 7 == 0 for i, t in enumerate(tokens) if i not in forced)
  # The next turn builds on what was forced as well.
  sampler.release('held')
  longer = Ask((*held.tokens, *tokens, 1, 2), held.params)
  _assert_same([run(answer(sampler, longer, 'next'))], one_by_one(sampler, params, [longer]))


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
  _assert_same(one_by_one(sampler, params, [request]), expected)


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
  _assert_same(run(everyone()), expected)
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


# --- Other sizes, other precision ---


def test_bfloat16_stays_within_its_bound_in_a_sampler_of_odd_sizes(params) -> None:
  config = dataclasses.replace(CONFIG, compute_dtype='bfloat16')
  sampler = BatchedSampler(params, config, SamplerConfig(slots=3, context=64, page=10, prefill=15, decode_steps=3))

  async def talks():
    return await asyncio.gather(*(_conversation(sampler, name, f'{name}') for name in range(8)))

  played = run(talks())
  learner = learners(params, [tokens for tokens, _ in played], config)
  where = [list(logp) for _, logp in played]
  sampled = np.concatenate([list(logp.values()) for _, logp in played])
  trained = np.concatenate([logp[at] for logp, at in zip(learner, where)])
  exact = np.concatenate([reference.logprobs(params, CONFIG, tokens)[at] for (tokens, _), at in zip(played, where)])
  # bfloat16 rounds activations of a few units to 1/64: both are off by that much, the sampler no more than the learner.
  errors = np.abs(sampled - exact).mean(), np.abs(trained - exact).mean()
  assert len(sampled) == 8 * 21 and errors[0] < 1.5 * errors[1]
  assert np.abs(sampled - trained).max() < 0.1
