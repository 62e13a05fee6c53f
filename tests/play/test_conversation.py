from __future__ import annotations

import asyncio
import dataclasses
import json
import math

import pytest

from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.policy import PolicyAssistant
from inftool_jax.agents.user import NOTHING_MORE, ScriptedUser
from inftool_jax.errors import ConfigError
from inftool_jax.play.conversation import Limits, play
from inftool_jax.types import Call, Message, Result, SampleParams, Trajectory, from_json, to_json
from tests.support.chats import (
  GET_ORDER,
  FixedSampler,
  OrderServer,
  OrderSession,
  all_tasks,
  hermes,
  missing_parameter,
  multi_step,
  parallel,
  single,
  spelled,
)

LIMITS = Limits(max_turns=6, max_tokens=2048, max_new_tokens=400)


def run(task, assistant, tokenizer, *, user=None, server=None, limits=LIMITS, seed=1, reward_name='gated') -> Trajectory:
  user, server = user or ScriptedUser(task), server or OrderServer()
  return asyncio.run(play(task, assistant, user, server, tokenizer, limits, 0, seed, reward_name))


def say(task, tokenizer, *turns, **keywords) -> tuple[Trajectory, FixedSampler]:
  """Plays `task` with a policy that samples `turns` (texts or samples)."""
  samples = [spelled(tokenizer, t) if isinstance(t, str) else t for t in turns]
  sampler = FixedSampler(samples)
  assistant = PolicyAssistant(sampler, tokenizer, SampleParams(0, LIMITS.max_new_tokens), 'c')
  return run(task, assistant, tokenizer, **keywords), sampler


def gold_text(task) -> list[str]:
  steps = sorted({g.step for g in task.gold})
  return [hermes(*(g.call for g in task.gold if g.step == s)) for s in steps]


def closing(task) -> str:
  return ' '.join(f'It is {a.value}.' for a in task.answers)


# The scripted solution.

@pytest.mark.parametrize('task', all_tasks(), ids=lambda t: t.id)
@pytest.mark.parametrize('seed', range(4))
def test_the_scripted_solution_succeeds(tokenizer, task, seed):
  trajectory = run(task, ScriptedAssistant(task), tokenizer, seed=seed)
  assert (trajectory.outcome, trajectory.note, trajectory.reward) == ('completed', '', 1.0)
  assert set(trajectory.gates.values()) == {1.0} and 'success' in trajectory.gates
  assert from_json(Trajectory, json.loads(json.dumps(to_json(trajectory)))).messages == trajectory.messages


@pytest.mark.parametrize('task', all_tasks(), ids=lambda t: t.id)
def test_scripted_turns_are_trained_on_but_were_not_sampled(tokenizer, task):
  trajectory = run(task, ScriptedAssistant(task), tokenizer)
  own = [t for t, mask in zip(trajectory.tokens, trajectory.loss_mask, strict=True) if mask]
  assert own == [i for m in trajectory.messages if m.role == 'assistant' for i in tokenizer.encode_turn(m)]
  assert all(map(math.isnan, trajectory.logprobs))
  assert set(trajectory.policy_versions) == {-1}
  assert tokenizer.decode(trajectory.tokens) + '\n' == tokenizer.render_text(trajectory.messages, task.tools)
  assert trajectory.turns == sum(m.role == 'assistant' for m in trajectory.messages)


# Invariants 1 and 2: tokens in, tokens out; the mask is the policy's own tokens.

@pytest.mark.parametrize('task', [single(), parallel(), multi_step(), missing_parameter()], ids=lambda t: t.id)
def test_what_was_sampled_is_what_is_kept_id_for_id(tokenizer, task):
  question = ['Which order id?'] if task.scenario.withheld else []
  turns = [spelled(tokenizer, text, version=v) for v, text in enumerate([*question, *gold_text(task), closing(task)])]
  for turn in turns:  # the split is not the tokenizer's own
    assert list(turn.tokens) != tokenizer.encode_text(tokenizer.decode(turn.tokens))
  trajectory, sampler = say(task, tokenizer, *turns)
  assert (trajectory.outcome, trajectory.gates['success']) == ('completed', 1.0)
  for before, sample, after in zip(sampler.prompts, turns, [*sampler.prompts[1:], trajectory.tokens], strict=True):
    assert after[:len(before) + len(sample.tokens)] == before + sample.tokens
  assert trajectory.tokens == sampler.prompts[-1] + turns[-1].tokens
  assert tokenizer.decode(trajectory.tokens) + '\n' == tokenizer.render_text(trajectory.messages, task.tools)


def test_the_mask_is_the_policys_own_tokens_and_nothing_else(tokenizer):
  task = parallel()
  turns = [spelled(tokenizer, text, version=v) for v, text in enumerate([*gold_text(task), closing(task)])]
  trajectory, sampler = say(task, tokenizer, *turns)
  mask, logprobs, versions = [], [], []
  for prompt, sample in zip(sampler.prompts, turns, strict=True):
    context = len(prompt) - len(mask)
    mask += [False] * context + [True] * len(sample.tokens)
    logprobs += [None] * context + list(sample.logprobs)
    versions += [-1] * context + [sample.version] * len(sample.tokens)
  assert list(trajectory.loss_mask) == mask
  assert [None if math.isnan(p) else p for p in trajectory.logprobs] == logprobs
  assert list(trajectory.policy_versions) == versions
  ends = [i for i, t in enumerate(trajectory.tokens) if t == tokenizer.end_of_turn and trajectory.loss_mask[i]]
  assert len(ends) == len(turns) and ends[-1] == len(trajectory.tokens) - 1


def test_parallel_results_come_in_one_turn_in_the_order_of_the_calls(tokenizer):
  trajectory, sampler = say(parallel(), tokenizer, *gold_text(parallel()), closing(parallel()))
  shown = tokenizer.decode(sampler.prompts[1][len(sampler.prompts[0]):]).partition('<|im_end|>')[2]
  assert shown.count('<|im_start|>user') == 1 and shown.count('<tool_response>') == 2
  assert shown.index('"total": 12.5') < shown.index('"total": 7')
  assert [m.role for m in trajectory.messages] == ['user', 'assistant', 'tool', 'assistant']


# Invariant 6: hostile text becomes an outcome.

@pytest.mark.parametrize(('text', 'note'), [
  ('<tool_call>\n{"name": "get_order"', 'unterminated_call'),
  ('<tool_call>\n' + '[' * 300, 'unterminated_call'),
  ('<tool_call>\n' + '[' * 300 + '\n</tool_call>', 'too_deep'),
  ('<tool_call>\n{"name": "get_order", "arguments": "x"}\n</tool_call>', 'bad_arguments'),
  ('<tool_response>\n{"status": "open"}\n</tool_response>', 'writes_tool_response'),
  ('Open.<|im_start|>', 'stray_tag'),
])
def test_a_turn_that_does_not_parse_ends_the_conversation(tokenizer, text, note):
  trajectory, sampler = say(single(), tokenizer, text, 'never said')
  assert (trajectory.outcome, trajectory.note, trajectory.reward) == ('policy_error', note, 0.0)
  assert trajectory.gates['parse'] == 0.0 and trajectory.gates['success'] == 0.0
  assert len(sampler.prompts) == 1 and sampler.released == ['c']
  assert trajectory.messages[-1].role == 'assistant' and trajectory.loss_mask[-1]


def test_a_call_to_a_tool_that_is_not_offered_gets_an_error_and_the_conversation_goes_on(tokenizer):
  for name in ('launch_rocket', 'create_order'):  # the server has the second, the task does not offer it
    task = dataclasses.replace(single(), tools=(GET_ORDER,))
    call = hermes(Call(name, {'customer_id': 'x', 'item': 'y'}))
    trajectory, _ = say(task, tokenizer, call, *gold_text(task), closing(task))
    assert trajectory.outcome == 'completed' and trajectory.gates['schema'] == 0.0 and trajectory.gates['state'] == 1.0
    assert trajectory.messages[2] == Message('tool', results=(Result(f'{{"error": "Unknown tool: {name}"}}', is_error=True),))
    assert trajectory.messages[-1].content == 'It is open.'


def test_endless_calls_are_truncated_without_showing_what_nobody_reads(tokenizer):
  trajectory, sampler = say(single(), tokenizer, *gold_text(single()) * 20)
  assert (trajectory.outcome, trajectory.turns, len(sampler.prompts)) == ('truncated', 6, 6)
  assert trajectory.messages[-1].role == 'tool' and trajectory.loss_mask[-1]
  assert trajectory.gates['success'] == 0.0


def test_endless_questions_are_truncated(tokenizer):
  trajectory, _ = say(single(), tokenizer, *['Why?'] * 20)
  assert trajectory.outcome == 'truncated'
  assert {m.content for m in trajectory.messages[2::2]} == {NOTHING_MORE}


def test_a_turn_without_end_is_truncated(tokenizer):
  sample = spelled(tokenizer, hermes(*(g.call for g in single().gold)), finish='length')
  trajectory, _ = say(single(), tokenizer, sample)
  assert (trajectory.outcome, trajectory.reward) == ('truncated', 0.0)
  assert trajectory.tokens[-len(sample.tokens):] == sample.tokens


def test_a_conversation_never_outgrows_its_limit(tokenizer):
  task = multi_step()
  whole = run(task, ScriptedAssistant(task), tokenizer)
  longest = max(len(tokenizer.encode_turn(m)) for m in whole.messages if m.role == 'assistant')
  outcomes = set()
  for room in range(longest, len(whole.tokens) + longest, 7):
    trajectory = run(task, ScriptedAssistant(task), tokenizer, limits=Limits(6, room, longest))
    outcomes.add(trajectory.outcome)
    assert len(trajectory.tokens) <= room
    assert trajectory.tokens == whole.tokens[:len(trajectory.tokens)]
  assert outcomes == {'truncated', 'completed'}


def test_a_scripted_turn_that_no_policy_could_say_is_truncated(tokenizer):
  trajectory = run(single(), ScriptedAssistant(single()), tokenizer, limits=Limits(6, 2048, 4))
  assert (trajectory.outcome, trajectory.turns) == ('truncated', 1)


# Failures of the others say nothing about the policy.

class Raising:
  """An agent or server that fails."""

  def __init__(self, error: Exception) -> None:
    self._error = error

  async def speak(self, view, seed):
    raise self._error

  def open(self, seed, state=None):
    raise self._error


class BrokenServer(OrderServer):
  """Opens, but fails when it is called or asked for what it wrote."""

  def __init__(self, on_call: Exception | None = None, on_difference: Exception | None = None) -> None:
    self._errors = on_call, on_difference

  def open(self, seed, state=None):
    session = BrokenSession(seed, state)
    session.on_call, session.on_difference = self._errors
    return session


class BrokenSession(OrderSession):
  async def call(self, call):
    if self.on_call:
      raise self.on_call
    return self.execute(call)

  def difference(self):
    if self.on_difference:
      raise self.on_difference
    return super().difference()


@pytest.mark.parametrize(('broken', 'outcome'), [
  ({'user': Raising(KeyError('slot'))}, 'user_error'),
  ({'server': Raising(OSError('down'))}, 'server_error'),
  ({'server': BrokenServer(on_call=RecursionError('deep'))}, 'server_error'),
  ({'server': BrokenServer(on_difference=KeyError('gone'))}, 'verifier_error'),
  ({'server': BrokenServer(on_call=TimeoutError('slow'))}, 'timeout'),
  ({'user': Raising(TimeoutError('slow'))}, 'timeout'),
])
def test_a_failing_agent_is_an_outcome_of_its_own(tokenizer, broken, outcome):
  trajectory, sampler = say(single(), tokenizer, *gold_text(single()), closing(single()), **broken)
  assert (trajectory.outcome, trajectory.reward, trajectory.gates) == (outcome, 0.0, {})
  assert any(word in trajectory.note for word in ('slot', 'down', 'deep', 'gone', 'slow'))
  assert sampler.released == ['c']


def test_a_failing_sampler_does_not_count_against_the_policy(tokenizer):
  trajectory = run(single(), Raising(RuntimeError('out of memory')), tokenizer)
  assert (trajectory.outcome, trajectory.note, trajectory.gates) == ('server_error', 'RuntimeError: out of memory', {})
  trajectory, _ = say(single(), tokenizer, spelled(tokenizer, 'On', finish='deadline'))
  assert (trajectory.outcome, trajectory.gates) == ('timeout', {})


def test_an_unknown_reward_is_told(tokenizer):
  with pytest.raises(ConfigError, match='generous'):
    run(single(), ScriptedAssistant(single()), tokenizer, reward_name='generous')


def test_terms_of_the_users_own_are_gates_and_part_of_the_reward(tokenizer):
  def brief(task, messages, difference):
    return 0.5 if len(messages) > 2 else 1.0

  def broken(task, messages, difference):
    return 1.5

  task = single()
  played = [
    asyncio.run(play(task, ScriptedAssistant(task), ScriptedUser(task), OrderServer(), tokenizer, LIMITS, 0, 1, 'gated', terms))
    for terms in ({'brief': brief}, {'broken': broken})
  ]
  assert (played[0].gates['brief'], played[0].reward, played[0].gates['success']) == (0.5, 0.5, 1.0)
  assert (played[1].outcome, played[1].gates) == ('verifier_error', {}) and "'broken' is 1.5" in played[1].note


# Seeds.

class Recording:
  """An agent or server that notes the seeds it is given."""

  def __init__(self, inner) -> None:
    self._inner, self.seeds = inner, []

  async def speak(self, view, seed):
    self.seeds.append(seed)
    return await self._inner.speak(view, seed)

  def open(self, seed, state=None):
    self.seeds.append(seed)
    return self._inner.open(seed, state)


def test_samples_of_a_task_share_user_and_server_but_not_the_policys_seeds(tokenizer):
  task = multi_step()
  seen = []
  for sample, seed in ((0, 1), (1, 1), (0, 2), (0, 1)):
    agents = [Recording(a) for a in (ScriptedUser(task), OrderServer(), ScriptedAssistant(task))]
    asyncio.run(play(task, agents[2], agents[0], agents[1], tokenizer, LIMITS, sample, seed))
    seen.append([a.seeds for a in agents])
  users, servers, assistants = zip(*seen, strict=True)
  assert users[0] == users[1] == users[2]
  assert servers[0] == servers[1] == servers[2] == [task.seed]
  assert assistants[0] == assistants[3]
  used = [s for a in assistants[:3] for s in a]
  assert len(set(used)) == len(used) == 9
