from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inftool_jax.evaluation import statistics
from inftool_jax.evaluation.statistics import Rate, Scored


def scored(task_id, success, kind='single', twin='', server='shop', hand_written=False, named_share=1.0, failed='calls', attempt=0):
  return Scored(task_id, twin, kind, server, hand_written, named_share, success, '' if success else failed, attempt)


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts):
  successes, n = counts
  low, high = statistics.wilson(successes, n)
  expected = stats.binomtest(successes, n).proportion_ci(method='wilson') if n else (0, 1)
  assert (low, high) == pytest.approx(tuple(expected), abs=1e-9)
  assert 0 <= low <= (successes / n if n else 0) <= high <= 1


def test_wilson_refuses_nonsense():
  with pytest.raises(ValueError, match='3 successes among 2'):
    statistics.wilson(3, 2)


def pair(i, main, twin, kind='irrelevance', attempt=0):
  return [scored(f'{i}a', main, kind, f'{i}b', attempt=attempt), scored(f'{i}b', twin, kind, f'{i}a', attempt=attempt)]


def test_twins_count_once_and_only_together():
  never_calls = [r for i in range(4) for r in pair(i, True, False)]
  assert statistics.success_by_kind(never_calls)['irrelevance'] == Rate(0, 4, *statistics.wilson(0, 4))
  mixed = [*pair(0, True, True), *pair(1, False, True), scored('x', True), scored('y', False)]
  rates = statistics.success_by_kind(mixed)
  assert list(rates) == ['single', 'irrelevance']
  assert [(r.successes, r.n) for r in rates.values()] == [(1, 2), (1, 2)]
  assert statistics.mean_over_kinds(rates) == 0.5


def test_attempts_are_paired_one_by_one():
  results = [*pair(0, True, False, attempt=0), *pair(0, False, True, attempt=1), *pair(0, True, True, attempt=2)]
  assert statistics.success_by_kind(results)['irrelevance'].successes == 1
  assert statistics.success_by_kind(results)['irrelevance'].n == 3


def test_half_a_pair_or_a_double_is_an_error():
  with pytest.raises(ValueError, match='0a lacks that at its twin 0b'):
    statistics.units(pair(0, True, True)[:1])
  with pytest.raises(ValueError, match='x is there twice'):
    statistics.units([scored('x', True), scored('x', True)])


def test_kinds_weigh_the_same():
  results = [scored(f's{i}', True) for i in range(9)] + [scored('p', False, 'parallel')]
  assert statistics.mean_over_kinds(statistics.success_by_kind(results)) == 0.5
  assert math.isnan(statistics.mean_over_kinds({}))


def test_breakdowns():
  results = [
    scored('a', True, named_share=1.0), scored('b', False, named_share=0.0, failed='schema'), scored('c', True, named_share=0.5),
    scored('d', False, hand_written=True), scored('e', True, 'parallel', named_share=None), *pair(0, False, False),
  ]
  naming = statistics.by_naming(results)
  assert {n: {k: (r.successes, r.n) for k, r in kinds.items()} for n, kinds in naming.items()} == {
    'named': {'single': (1, 2), 'irrelevance': (0, 1)}, 'mixed': {'single': (1, 1)}, 'unnamed': {'single': (0, 1)}}
  wording = statistics.by_wording(results)
  assert wording['hand_written']['single'].n == 1
  assert wording['generated']['single'].n == 3
  assert statistics.failures(results) == {'calls': 2, 'schema': 1}


def arm(rates, n=30, servers=6):
  """Per kind the first share of the tasks of every server succeeds."""
  return [
    scored(f'{kind}/{s}/{i}', i < share * n, kind, server=f's{s}')
    for kind, share in rates.items() for s in range(servers) for i in range(n)
  ]


def test_paired_difference_is_the_mean_over_kinds():
  a, b = arm({'single': 0.2, 'parallel': 0.1}), arm({'single': 0.5, 'parallel': 0.2})
  difference = statistics.paired_difference({0: a, 1: a}, {0: b, 1: b}, seed=7)
  assert difference.mean == pytest.approx(0.2)
  assert (difference.n, difference.seeds, difference.servers) == (720, 2, 6)
  # Every server and seed shows the same difference, so there is nothing for the bootstrap to vary.
  assert (difference.low, difference.high) == pytest.approx((0.2, 0.2))
  assert difference == statistics.paired_difference({0: a, 1: a}, {0: b, 1: b}, seed=7)


def test_the_interval_sees_servers_and_seeds():
  same = arm({'single': 0.5})
  one_server_better = [scored(r.task_id, r.success or r.server == 's0', r.kind, server=r.server) for r in same]
  by_server = statistics.paired_difference({0: same}, {0: one_server_better}, seed=1)
  assert by_server.low == 0 < by_server.mean < by_server.high
  # 15 of 180 tasks changed: taken one by one, not by server, the interval would exclude 0.
  all_better = [scored(r.task_id, True, r.kind, server=r.server) for r in same]
  by_seed = statistics.paired_difference({0: same, 1: same}, {0: same, 1: all_better}, seed=1)
  assert (by_seed.low, by_seed.mean, by_seed.high) == pytest.approx((0, 0.25, 0.5))


def test_pairing_needs_the_same_tasks_and_seeds():
  a = arm({'single': 0.5})
  with pytest.raises(ValueError, match='same tasks'):
    statistics.paired_difference({0: a}, {0: a[1:]}, seed=0)
  with pytest.raises(ValueError, match='different seeds'):
    statistics.paired_difference({0: a}, {1: a}, seed=0)
  with pytest.raises(ValueError, match='different seeds'):
    statistics.paired_difference({}, {}, seed=0)
