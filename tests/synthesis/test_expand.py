from __future__ import annotations

import dataclasses
import random

import pytest

from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis import aim
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.expand import expand
from inftool_jax.synthesis.plan import fingerprint, plan
from inftool_jax.synthesis.verify import check_tasks
from inftool_jax.types import KINDS
from tests.synthesis.small_tools import ALL, ORDERS, PURE

PARENTS = tuple(t for t in plan(ALL, dict.fromkeys(KINDS, 2), 3, split='train') if t.gold and not t.scenario.withheld)


def children(k=2, parents=PARENTS, seed=5):
  return expand(parents, ALL, k, seed, split='train')


def test_expansions_are_alike_in_kind_and_tools_and_new_in_the_rest():
  made = children()
  assert {t.kind for t in made} == set(KINDS)
  by_id = {p.id: p for p in PARENTS}
  for task in made:
    parent = by_id[task.parent]
    assert task.kind == parent.kind
    if task.gold:
      assert {g.call.tool for g in task.gold} == {g.call.tool for g in parent.gold}
    assert fingerprint(task) != fingerprint(parent) and task.seed != parent.seed
  assert len({t.id for t in (*made, *PARENTS)}) == len(made) + len(PARENTS)
  assert len({fingerprint(t) for t in made}) == len(made)


def test_expansions_hold():
  assert check_tasks(children(), Simulator(ALL, 'train')) == {}


def test_an_expansion_depends_on_its_own_parent_and_number_alone():
  assert children(1, PARENTS[2:4]) == tuple(t for t in children(1) if t.parent in {p.id for p in PARENTS[2:4]})
  assert children() == children() != children(seed=6)
  assert [t.id for t in children(1)] == [t.id for t in children() if '-x0-' in t.id]
  assert children(0) == expand((), ALL, 3, 5, split='train') == ()


def test_a_parent_of_other_tools_or_without_gold_is_refused():
  order = next(p for p in PARENTS if any(t in ORDERS for t in p.tools))
  with pytest.raises(ValueError, match=f'{order.id} offers .* not among'):
    expand([order], PURE, 1, 5, split='train')
  changed = dataclasses.replace(order.tools[0], description='Something else.')
  with pytest.raises(ValueError, match='not among'):
    expand([dataclasses.replace(order, tools=(changed, *order.tools[1:]))], ALL, 1, 5, split='train')
  with pytest.raises(ValueError, match='no gold calls'):
    expand([dataclasses.replace(order, gold=())], ALL, 1, 5, split='train')


def test_aiming_at_servers_leaves_the_distractors():
  bench = Bench(ALL, 'train')
  aimed = aim.at_servers(bench, ['inn'])
  assert {aimed.pick_server(kind, random.Random(i)) for kind in KINDS for i in range(9)} == {'inn'}
  assert aimed.tools == bench.tools and not bench.weights
