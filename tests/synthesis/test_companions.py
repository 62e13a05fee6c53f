"""Companions: other requests over the very tools that a task offers."""

from __future__ import annotations

import dataclasses

import pytest

from inftool_jax import specs
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.companions import companions
from inftool_jax.synthesis.plan import fingerprint, plan
from inftool_jax.synthesis.verify import check_task
from inftool_jax.types import KINDS, TWINNED

TOOLS = specs.split((INGEST := specs.load([specs.bundled_path()])).tools, 0, INGEST.splits).train
PARENTS = plan(TOOLS, dict.fromkeys(KINDS, 3), 3, split='train')
WEIGHTS = {'single': 1, 'parallel': 1, 'multi_step': 1, 'missing_parameter': 1, 'irrelevance': 1}


def made(k=4, parents=PARENTS, seed=5):
  return companions(parents, TOOLS, k, seed, WEIGHTS, split='train')


def test_companions_offer_the_same_tools_in_the_same_order_and_ask_for_something_else():
  by_id = {p.id: p for p in PARENTS}
  tasks = made()
  assert len(tasks) > 3 * len(PARENTS)
  assert {t.kind for t in tasks} == set(WEIGHTS)
  for task in tasks:
    assert task.tools == by_id[task.parent].tools
    assert bool(task.gold) == (task.kind != 'irrelevance')
  for parent in PARENTS:
    own = [fingerprint(t) for t in (parent, *(t for t in tasks if t.parent == parent.id))]
    assert len(set(own)) == len(own)
  assert len({t.id for t in (*tasks, *PARENTS)}) == len(tasks) + len(PARENTS)


def test_companions_are_fair_tasks_but_for_the_twin_that_they_do_without():
  simulator = Simulator(TOOLS, 'train')
  for task in made():
    assert task.twin == ''
    assert check_task(dataclasses.replace(task, twin='another') if task.kind in TWINNED else task, simulator) == []


def test_a_companion_depends_on_its_own_parent_and_number():
  assert made(2, PARENTS[3:5]) == tuple(t for t in made(2) if t.parent in {p.id for p in PARENTS[3:5]})
  assert [t.id for t in made(1)] == [t.id for t in made(2) if '-c0-' in t.id]
  assert made(2) == made(2) != made(2, seed=6)
  assert made(0) == ()


def test_a_parent_of_another_split_is_refused():
  held_out = specs.split(INGEST.tools, 0, INGEST.splits).test
  for kind in ('single', 'irrelevance'):
    with pytest.raises(ValueError, match='not among the tools that may be planned with'):
      companions(plan(held_out, {'single': 1}, 3, split='train'), TOOLS, 2, 5, {kind: 1}, split='train')
