from __future__ import annotations

import asyncio

import pytest

from inftool_jax.evaluation import baselines, evaluate, suite
from inftool_jax.evaluation.canaries import CANARIES
from inftool_jax.evaluation.statistics import Scored
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import KINDS


@pytest.fixture(scope='module')
def rows(held_out, tokenizer, splits):
  return {row.name: row for row in asyncio.run(baselines.run_all(held_out, Simulator(splits.test, 'test'), tokenizer))}


def test_every_baseline_has_a_row_with_kinds_and_mean(rows):
  assert tuple(rows) == ('floor', *CANARIES)
  assert all(tuple(row.kinds) == (*KINDS, 'mean') for row in rows.values())


def test_canaries_keep_their_bounds_and_the_floor_its_own(rows):
  assert [(name, kind) for name, row in rows.items() for kind in row.kinds if row.over(kind)] == []
  assert rows['floor'].bounds == {'mean': baselines.FLOOR_BOUND}
  assert all(set(rows[name].bounds) == set(KINDS) for name in CANARIES)


def row_of(name, successes, n):
  results = tuple(Scored(f't{i}', '', 'parallel', 's', False, None, i < successes, '' if i < successes else 'calls') for i in range(n))
  return baselines.row(name, evaluate.Evaluation(results, (), 0.0, 0.0, {}))


def test_a_bound_is_a_whole_number_of_units():
  over = [(s, n) for s, n in ((0, 40), (1, 40), (2, 40), (10, 500), (11, 500)) if row_of('echo', s, n).over('parallel')]
  assert over == [(2, 40), (11, 500)]


def test_the_floor_is_over_its_bound_in_the_mean_alone():
  row = row_of('floor', 3, 10)
  assert row.over('mean') and not row.over('parallel')


def test_the_kept_rows_are_those_of_the_bundled_file_and_keep_their_bounds():
  kept = baselines.kept(suite.load().hash)
  assert kept is not None and tuple(row.name for row in kept) == baselines.NAMES
  assert [(row.name, kind) for row in kept for kind in row.kinds if row.over(kind)] == []
  assert baselines.kept('0' * 64) is None


def test_the_kept_rows_can_be_measured_again(tokenizer):
  """On the part of the file that is cheap: one canary that makes calls, and the floor, on the kind where they score."""
  file = suite.load()
  tasks = [task for task in file.tasks if task.kind == 'multiple']
  kept = {row.name: row.kinds['multiple'] for row in baselines.kept(file.hash)}
  again = asyncio.run(baselines.run_all(tasks, Simulator(file.tools, 'test'), tokenizer, ('floor', 'first_tool_always')))
  assert {row.name: row.kinds['multiple'] for row in again} == {name: kept[name] for name in ('floor', 'first_tool_always')}


def test_unknown_names_are_refused(tokenizer, splits):
  with pytest.raises(KeyError, match='no baseline is called'):
    asyncio.run(baselines.run('nobody', (), Simulator(splits.test, 'test'), tokenizer))
