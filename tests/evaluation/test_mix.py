from __future__ import annotations

import collections
import dataclasses
import json

import pytest

from inftool_jax import types
from inftool_jax.errors import ConfigError
from inftool_jax.evaluation import gaps, mix, probe, suite
from inftool_jax.evaluation.mix import Mix
from inftool_jax.evaluation.probe import Probed
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.plan import fingerprint
from inftool_jax.synthesis.verify import check_tasks

VERDICTS = ('failed', 'boundary', 'mastered', 'suspect label')


@pytest.fixture(scope='module')
def probed(splits):
  """Probe tasks of train tools, their units with each verdict in turn, and the gap report."""
  tasks = probe.plan_probe(splits.train, 48, 2, 1)
  families = probe.families(splits.train)
  units = tuple(
    Probed(tuple(t.id for t in u.tasks), u.kind, u.server, families[u.server], 4, 0.5, 1.0, 0.0, 'calls', VERDICTS[i % 4])
    for i, u in enumerate(suite.units(tasks)))
  return tasks, units, gaps.report(units, families)


def test_shares_must_make_one_whole():
  assert sum((Mix().failed, Mix().expansions, Mix().boundary, Mix().fresh)) == pytest.approx(1)
  for wrong in ({'failed': 0.5}, {'failed': -0.1, 'fresh': 0.38}, {'copies': 0}):
    with pytest.raises(ConfigError, match='sum to 1'):
      Mix(**wrong)


def test_a_small_round_keeps_the_mix(probed):
  chosen = mix.expansions(probed[1], Mix(), 40, 1)
  assert (len(chosen.failed), len(chosen.boundary), chosen.expansions, chosen.fresh) == (8, 11, 18, 3)
  assert len(chosen.parents) == 5
  verdict_of = {u.tasks: u.verdict for u in probed[1]}
  assert {verdict_of[ids] for ids in chosen.failed} == {'failed'} and {verdict_of[ids] for ids in chosen.boundary} == {'boundary'}
  assert {verdict_of[ids] for ids in chosen.parents} <= {'failed', 'boundary'}
  assert chosen == mix.expansions(probed[1], Mix(), 40, 1) != mix.expansions(probed[1], Mix(), 40, 2)


def test_what_the_probe_lacks_is_fresh(probed):
  chosen = mix.expansions(probed[1], Mix(), 400, 1)
  assert (len(chosen.failed), len(chosen.boundary), len(chosen.parents), chosen.expansions) == (12, 12, 24, 96)
  assert chosen.fresh == 400 - 12 - 12 - 96
  nothing = mix.expansions([u for u in probed[1] if u.verdict == 'mastered'], Mix(), 10, 1)
  assert (nothing.failed, nothing.parents, nothing.fresh) == ((), (), 10)


def test_a_round_is_made_of_whole_new_valid_units(probed, splits):
  tasks, units, report = probed
  chosen = mix.expansions(units, Mix(), 40, 1)
  made = mix.next_round(tasks, chosen, report, splits.train, Mix(), 9)
  assert made == mix.next_round(tasks, chosen, report, splits.train, Mix(), 9)
  parts = suite.units(made.tasks)  # whole units, no id twice
  assert len(parts) == sum(made.counts.values())
  assert made.counts['failed'] == 8 and made.counts['boundary'] == 11
  assert made.counts['expansions'] + made.counts['fresh'] >= 20 and made.counts['expansions'] >= 12
  by_id = {t.id: t for t in tasks}
  children = [t for t in made.tasks if t.parent]
  for child in children:
    parent = by_id[child.parent]
    assert child.kind == parent.kind and child.id != parent.id
    assert {g.call.tool for g in child.gold} <= {g.call.tool for g in parent.gold}
  assert max(collections.Counter(t.parent for t in children if not t.twin).values()) <= Mix().copies
  assert not {fingerprint(t) for t in children} & {fingerprint(t) for t in tasks}
  assert check_tasks(made.tasks, Simulator(splits.train, 'train')) == {}


def servers_in(value):
  """Every server that a task speaks of: its tools', their origins', those of its records."""
  for task in value:
    for tool in task.tools:
      yield tool.server
      yield from (origin.server for origin in tool.lineage)
    for state in (task.initial_state, task.final_state):
      yield from (key.rsplit('/', 1)[0] for key in state or {})


def test_nothing_planned_from_train_reaches_dev_or_test(probed, splits):
  """Invariant 10: probe, expansions and fresh tasks of a round."""
  tasks, units, report = probed
  made = mix.next_round(tasks, mix.expansions(units, Mix(), 60, 1), report, splits.train, Mix(), 9)
  train = {t.server for t in splits.train}
  held_out = {t.server for t in (*splits.dev, *splits.test)} | {o.server for t in (*splits.dev, *splits.test) for o in t.lineage}
  found = set(servers_in((*tasks, *made.tasks)))
  assert found <= train and not found & held_out
  names = {t.name for t in (*splits.dev, *splits.test)} - {t.name for t in splits.train}
  text = json.dumps(types.to_json((*tasks, *made.tasks)))
  assert not [name for name in names if f'"{name}"' in text]
  assert {server for _, server in gaps.weights(report)} == train


def test_held_out_tasks_cannot_be_slipped_in(probed, splits, held_out):
  tasks, units, report = probed
  stray = next(t for t in held_out if not t.twin)
  chosen = dataclasses.replace(mix.expansions(units, Mix(), 8, 1), failed=((stray.id,),))
  with pytest.raises(ValueError, match=f'{stray.id} offers .* not among the tools'):
    mix.next_round((*tasks, stray), chosen, report, splits.train, Mix(), 9)
  with pytest.raises(ValueError, match='none of the cells'):
    gaps.report([Probed((stray.id,), stray.kind, 'vet_corner', 'vet_corner', 4, 0.0, 1.0, 0.0, 'calls', 'failed')], report.family_of)
