from __future__ import annotations

import itertools
import json

import pytest

from inftool_jax.evaluation import gaps, statistics
from inftool_jax.evaluation.probe import Probed
from inftool_jax.types import KINDS

FAMILIES = {'shop': 'shop', 'bank': 'bank', 'inn': 'travel', 'air': 'travel'}
_ids = itertools.count()
SUCCESS = {'mastered': 1.0, 'boundary': 0.5, 'failed': 0.0, 'suspect label': 0.0}


def unit(kind, family, verdict, failure='calls'):
  server = next(s for s, f in FAMILIES.items() if f == family)
  return Probed((f't{next(_ids)}',), kind, server, family, 4, SUCCESS[verdict], 1.0, 0.0, '' if verdict == 'mastered' else failure, verdict)


def cell(report, kind, family):
  return next(c for c in report.cells if (c.kind, c.family) == (kind, family))


@pytest.fixture
def report():
  cells = (('shop', 'mastered', ''), ('bank', 'boundary', 'calls'), ('travel', 'failed', 'schema'))
  units = [unit('single', *cell) for cell in cells for _ in range(9)]
  return gaps.report([*units, unit('parallel', 'shop', 'suspect label'), unit('parallel', 'shop', 'failed', 'state')], FAMILIES)


def test_cells_hold_rates_with_intervals_over_units(report):
  assert [(c.kind, c.family) for c in report.cells] == [(k, f) for k in KINDS for f in ('bank', 'shop', 'travel')]
  bank = cell(report, 'single', 'bank')
  assert (bank.units, bank.success, bank.verdict, bank.verdicts) == (9, 0.5, 'boundary', {'boundary': 9})
  assert (bank.low, bank.high) == statistics.wilson(4.5, 9)
  travel = cell(report, 'single', 'travel')
  assert (travel.verdict, travel.failure) == ('failed', 'schema')
  assert cell(report, 'single', 'shop').verdict == 'mastered'
  assert cell(report, 'parallel', 'shop').verdict == 'failed'
  assert (cell(report, 'multi_step', 'shop').units, cell(report, 'multi_step', 'shop').verdict) == (0, '')


def test_the_budget_goes_where_the_gaps_are_and_starves_nothing(report):
  shares = {(c.kind, c.family): c.share for c in report.cells}
  assert sum(shares.values()) == pytest.approx(1)
  assert shares['single', 'bank'] > shares['single', 'travel'] > shares['single', 'shop']
  assert shares['single', 'bank'] > 2 * shares['single', 'shop']
  assert min(shares.values()) >= gaps.FLOOR / len(shares)
  assert all(shares[kind, 'shop'] == shares[kind, 'bank'] for kind in KINDS[2:] if kind != 'parallel')


def test_few_units_say_little():
  """A cell with one failed unit among mastered ones of its kind gets less than one with nine."""
  def share(n):
    mastered = [unit('single', 'shop', 'mastered')] * 20
    return cell(gaps.report([*mastered, *[unit('single', 'bank', 'failed')] * n], FAMILIES), 'single', 'bank').share
  assert share(1) < share(3) < share(9)


def test_an_empty_probe_spends_evenly():
  shares = {c.share for c in gaps.report([], FAMILIES).cells}
  assert max(shares) == pytest.approx(min(shares)) == pytest.approx(1 / 18)


def test_weights_and_counts_spend_the_shares(report):
  weights = gaps.weights(report)
  assert set(weights) == {(k, s) for k in KINDS for s in FAMILIES}
  assert all(sum(weights[kind, s] for s in FAMILIES) / 4 == pytest.approx(1) for kind in KINDS)
  assert weights['single', 'inn'] == weights['single', 'air']
  counts = gaps.counts(report, 97)
  assert sum(counts.values()) == 97
  for c in report.cells:  # counts x weights spend the cell's share of the budget
    of_family = [s for s, f in FAMILIES.items() if f == c.family]
    spent = counts[c.kind] * sum(weights[c.kind, s] for s in of_family) / sum(weights[c.kind, s] for s in FAMILIES)
    assert spent == pytest.approx(97 * c.share, abs=1)


def test_shares_are_apportioned_whole():
  assert gaps.apportion({'a': 1, 'b': 1, 'c': 1}, 5) == {'a': 2, 'b': 2, 'c': 1}
  assert gaps.apportion({'a': 0.5, 'b': 0.25, 'c': 0.25}, 0) == {'a': 0, 'b': 0, 'c': 0}


def test_rows_show_what_was_probed(report):
  rows = gaps.rows(report)
  assert [(r.kind, r.family, r.rate.n) for r in rows] == [
    ('single', 'bank', 9), ('single', 'shop', 9), ('single', 'travel', 9), ('parallel', 'shop', 2)]
  assert rows[0].rate.success == 0.5 and rows[0].verdict == 'boundary'


def test_the_report_survives_json(report):
  assert gaps.from_json(json.loads(json.dumps(gaps.to_json(report)))) == report
  with pytest.raises(ValueError, match='GapReport'):
    gaps.from_json({'cells': []})


def test_a_unit_of_another_family_is_refused():
  with pytest.raises(ValueError, match='none of the cells'):
    gaps.report([unit('single', 'shop', 'failed')], {'bank': 'bank'})
  with pytest.raises(ValueError, match='no families'):
    gaps.report([], {})
