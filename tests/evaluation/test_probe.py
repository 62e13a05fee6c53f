from __future__ import annotations

import collections

import pytest

from inftool_jax import specs, types
from inftool_jax.evaluation import probe, suite
from inftool_jax.evaluation.probe import Attempted, Probed
from inftool_jax.rewards.gates import TERMS
from inftool_jax.synthesis.plan import fingerprint, plan
from inftool_jax.types import KINDS, Call, Message, Trajectory


@pytest.fixture(scope='module')
def planned(splits):
  return probe.plan_probe(splits.train, 60, 5, 1)


def test_a_probe_is_stratified_over_kind_and_family(planned, splits):
  units = suite.units(planned)
  assert collections.Counter(unit.kind for unit in units) == dict.fromkeys(KINDS, 10)
  assert all(n == 1 for n in collections.Counter((unit.kind, unit.server) for unit in units).values())
  families = probe.families(splits.train)
  few = {server: t for server, t in families.items() if server in list(families)[:3]}
  crowded = suite.units(probe.plan_probe([t for t in splits.train if t.server in few], 36, 5, 1))
  counts = collections.Counter((unit.kind, unit.server) for unit in crowded)
  assert len(crowded) == 36 and max(counts.values()) - min(counts.values()) <= 1 and len(counts) == 18


def test_a_family_without_tasks_of_a_kind_is_passed_over(splits):
  """Pure functions have no dependent calls."""
  kept = [t for t in splits.train if t.server in ('unit_wizard', 'task_garden')]
  units = [unit for unit in suite.units(probe.plan_probe(kept, 24, 5, 1)) if unit.kind == 'multi_step']
  assert [unit.server for unit in units] == ['task_garden'] * 4


def test_rounds_probe_with_fresh_tasks_and_other_cells(planned, splits):
  again, later = probe.plan_probe(splits.train, 60, 5, 1), probe.plan_probe(splits.train, 60, 5, 2)
  assert again == planned
  assert not {fingerprint(t) for t in later} & {fingerprint(t) for t in planned}
  assert not {t.id for t in later} & {t.id for t in planned}
  cells = [{(u.kind, u.server) for u in suite.units(tasks)} for tasks in (planned, later)]
  assert len(cells[0] | cells[1]) > len(cells[0])
  trained_on = plan(splits.train, dict.fromkeys(KINDS, 10), 5, split='train')
  assert not {fingerprint(t) for t in planned} & {fingerprint(t) for t in trained_on}
  with pytest.raises(ValueError, match='units=0'):
    probe.plan_probe(splits.train, 0, 5, 1)


def test_families_are_servers_or_their_domains(splits, monkeypatch):
  servers = {t.server: t.domain for t in specs.load(specs.bundled_path()).tools}
  some = splits.train
  assert probe.families(some) == {s: s for s in sorted({t.server for t in some})}
  monkeypatch.setattr(probe, 'MOST_FAMILIES', 5)
  assert probe.families(some) == {s: servers[s] for s in sorted({t.server for t in some})}
  units = suite.units(probe.plan_probe(some, 24, 5, 1))
  assert {n for n in collections.Counter((u.kind, servers[u.server]) for u in units).values()} == {1}


def attempt(task, sample, calls=(), failed='', outcome='completed', reward=0.0):
  """One attempt with these calls; `failed` is the term that is 0."""
  gates = {term: 0.0 if term == failed else 1.0 for term in TERMS}
  gates = {**gates, 'match': 0.0, 'success': float(not failed)} if outcome == 'completed' else {}
  messages = (Message('assistant', calls=tuple(calls)),)
  return Trajectory(task.id, sample, messages, (), (), (), (), 1, gates, reward, outcome)


@pytest.fixture(scope='module')
def single(planned):
  return next(t for t in planned if t.kind == 'single')


def gold(task):
  return tuple(g.call for g in task.gold)


def other(task, value='x'):
  return (Call(task.gold[0].call.tool, {'other': value}),)


def test_success_agreement_and_variance_of_a_task(single):
  attempts = [attempt(single, 0, gold(single), reward=1.0), attempt(single, 1, gold(single), 'answer', reward=1.0),
              attempt(single, 2, other(single), 'calls'), attempt(single, 3, failed='parse')]
  a = Attempted(single, (*attempts, attempt(single, 4, outcome='server_error')))
  assert (a.success, a.agreement, a.variance, a.suspect) == (0.25, 0.5, 0.25, False)
  unreadable = Attempted(single, tuple(attempt(single, i, failed='parse') for i in range(4)))
  assert (unreadable.success, unreadable.agreement) == (0, 0)
  assert Attempted(single, ()).agreement == Attempted(single, ()).success == Attempted(single, ()).variance == 0


def test_agreement_is_of_canonical_calls(single):
  one, two = Call('t', {'a': 5, 'b': 'x'}), Call('t', {'b': 'x', 'a': 5.0})
  a = Attempted(single, (attempt(single, 0, (one, Call('u', {})), 'calls'), attempt(single, 1, (Call('u', {}), two), 'calls')))
  assert a.agreement == 1


@pytest.mark.parametrize(('calls_of', 'failed', 'suspect'), [
  (lambda t, i: other(t), 'calls', True),
  (lambda t, i: other(t), 'no_forbidden_effect', True),  # they write something else, and all the same
  (lambda t, i: other(t, 'ab'[i == 0]), 'calls', True),  # three of four
  (lambda t, i: other(t, 'ab'[i % 2]), 'calls', False),
  (lambda t, i: other(t), 'execute', False),
  (lambda t, i: other(t), 'protocol', False),
  (lambda t, i: other(t), '', False),  # a surplus read is no contradiction
  (lambda t, i: gold(t), 'answer', False),
  (lambda t, i: (), 'calls', False),
])
def test_a_label_is_suspect_when_credible_attempts_agree_against_it(single, calls_of, failed, suspect):
  a = Attempted(single, tuple(attempt(single, i, calls_of(single, i), failed) for i in range(4)))
  assert a.suspect is suspect
  assert not Attempted(single, a.trajectories[1:3]).suspect  # two are too few


def verdicts(task, successes, n=8):
  a = Attempted(task, tuple(attempt(task, i, gold(task), '' if i < successes else 'answer') for i in range(n)))
  (one,) = probe.probed([a], {task.gold[0].call.tool: ''})
  return one


def test_verdicts_follow_success(single):
  assert [verdicts(single, s).verdict for s in (0, 1, 4, 7, 8)] == ['failed', 'boundary', 'boundary', 'boundary', 'mastered']
  one = verdicts(single, 3)
  assert (one.tasks, one.kind, one.attempts, one.success, one.failure) == ((single.id,), 'single', 8, 3 / 8, 'answer')
  assert types.from_json(Probed, types.to_json(one)) == one


def test_twins_are_credited_together(planned):
  pair = next(unit for unit in suite.units(planned) if unit.kind == 'irrelevance').tasks
  missing, offered = sorted(pair, key=lambda t: len(t.gold))
  never_calls = [Attempted(t, tuple(attempt(t, i, failed='calls' if t.gold else '') for i in range(4))) for t in pair]
  (one,) = probe.probed(never_calls, {})
  assert (one.success, one.verdict, one.failure, one.tasks) == (0, 'failed', 'calls', tuple(t.id for t in pair))
  odd = Attempted(missing, tuple(attempt(missing, i, failed='' if i % 2 else 'calls') for i in range(4)))
  low = Attempted(offered, tuple(attempt(offered, i, gold(offered), failed='' if i < 2 else 'calls') for i in range(4)))
  assert probe.probed([odd, low], {})[0].success == 0.25
  with pytest.raises(ValueError, match='lacks its twin'):
    probe.probed([odd], {})


def test_what_nobody_judged_has_no_verdict(single):
  assert probe.probed([Attempted(single, (attempt(single, 0, outcome='timeout'),))], {}) == ()


def test_attempts_are_grouped_by_task_in_any_order(planned):
  one, two = planned[:2]
  shuffled = [attempt(two, 1), attempt(one, 0), attempt(two, 0)]
  grouped = probe.attempted([one, two], shuffled)
  assert [(a.task.id, [t.sample for t in a.trajectories]) for a in grouped] == [(one.id, [0]), (two.id, [0, 1])]
  with pytest.raises(ValueError, match='not among the probe tasks'):
    probe.attempted([one], [attempt(two, 0)])
