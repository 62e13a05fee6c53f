from __future__ import annotations

import asyncio
import dataclasses
import math

import pytest

from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.evaluation import evaluate, statistics, suite
from inftool_jax.evaluation.statistics import Rate
from inftool_jax.play.conversation import Limits, failed, play
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import KINDS, GoldCall, Message, Provenance

LIMITS = Limits(max_turns=6, max_tokens=1 << 16, max_new_tokens=1 << 12)


class Unreadable:
  async def speak(self, view, seed):
    return Message('assistant', '<tool_call>', error='unterminated')


class Endless:
  async def speak(self, view, seed):
    return Message('assistant', 'What?')


def evaluated(tasks, tokenizer, tools, assistant_of):
  server = Simulator(tools, 'test')
  async def one(task, sample):
    return await play(task, assistant_of(task), ScriptedUser(task), server, tokenizer, LIMITS, sample, 1)
  return asyncio.run(evaluate.evaluate(tasks, one, 4))


@pytest.fixture(scope='module')
def few(held_out):
  return tuple(t for unit in suite.units(held_out) if unit.id.split('-')[2] in '01' for t in unit.tasks)


def test_gold_solves_everything(few, tokenizer, splits):
  result = evaluated(few, tokenizer, splits.test, lambda task: ScriptedAssistant(task))
  rates = evaluate.rates(result)
  assert list(rates) == [*KINDS, 'mean']
  assert {kind: (r.success, r.n) for kind, r in rates.items()} == {**dict.fromkeys(KINDS, (1.0, 2)), 'mean': (1.0, 12)}
  assert (result.parse_failure_rate, result.truncation_rate) == (0, 0)
  assert result.outcomes == {'completed': len(few)}
  assert [s.task_id for s in result.scored] == [t.task_id for t in result.trajectories] == [t.id for t in few]


def test_kinds_of_requests_are_told_apart(few, tokenizer, splits):
  result = evaluated(few, tokenizer, splits.test, lambda task: Unreadable() if task.kind == 'single' else ScriptedAssistant(task))
  apart = evaluate.apart(result)
  assert sum(rates['mean'].n for name, rates in apart.items() if name in ('generated', 'hand_written')) == 12
  assert set(apart) & {'named', 'mixed', 'unnamed'}
  for rates in apart.values():
    assert {kind: r.success for kind, r in rates.items() if kind != 'mean'} == {k: float(k != 'single') for k in rates if k != 'mean'}


def test_parse_failures_and_truncations_are_rates_of_conversations(few, tokenizer, splits):
  kinds = {'single': Unreadable, 'multiple': Endless}
  result = evaluated(few, tokenizer, splits.test, lambda task: kinds[task.kind]() if task.kind in kinds else ScriptedAssistant(task))
  assert result.parse_failure_rate == result.truncation_rate == pytest.approx(2 / len(few))
  assert result.outcomes == {'completed': len(few) - 4, 'policy_error': 2, 'truncated': 2}
  by_kind = {s.kind: s for s in result.scored}
  assert (by_kind['single'].success, by_kind['single'].failed) == (False, 'parse')
  assert (by_kind['multiple'].success, by_kind['multiple'].failed) == (False, 'protocol')
  assert evaluate.rates(result)['mean'].success == pytest.approx(4 / 6)


def test_what_was_not_judged_fails_by_its_outcome(few):
  result = evaluate.evaluation(few, [failed(task, 0, 'server_error', 'burst pipe') for task in few])
  assert {s.failed for s in result.scored} == {'server_error'} and not any(s.success for s in result.scored)


def test_both_twins_are_of_the_server_of_gold(few):
  by_id = {s.task_id: s for s in evaluate.evaluation(few, [failed(t, 0, 'timeout', '') for t in few]).scored}
  for task in few:
    gold = task if task.gold else next(t for t in few if t.id == task.twin)
    assert by_id[task.id].server == next(t.server for t in gold.tools if t.name == gold.gold[0].call.tool)


def test_named_share_counts_what_the_opening_voices(few):
  task = next(t for t in few if t.gold)
  said = {'a': Provenance('utterance', 0, '4', True), 'b': Provenance('utterance', 0, '5'), 'c': Provenance('utterance', 1, '6'),
          'd': Provenance('result'), 'e': Provenance('schema')}
  share = [evaluate.named_share(dataclasses.replace(task, gold=(GoldCall(task.gold[0].call, p),)))
           for p in (said, {'c': said['c'], 'd': said['d']}, {})]
  assert share == [0.5, None, None]


def test_the_mean_s_interval_puts_the_kinds_together():
  assert evaluate.with_mean({}) == {}
  one = Rate(5, 10, *statistics.wilson(5, 10))
  alone = evaluate.with_mean({'single': one})
  assert (alone['mean'].low, alone['mean'].high) == pytest.approx((one.low, one.high))
  four = evaluate.with_mean({kind: one for kind in KINDS[:4]})['mean']
  assert (four.high - four.low) == pytest.approx((one.high - one.low) / math.sqrt(4))
  none = evaluate.with_mean({kind: Rate(0, 40, *statistics.wilson(0, 40)) for kind in KINDS})['mean']
  assert none.success == none.low == 0 < none.high < statistics.wilson(0, 40)[1]
