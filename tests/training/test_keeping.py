"""Which checkpoints are kept."""

from __future__ import annotations

import math

import pytest

from inftool_jax.training import keeping

METRICS = {3: {'loss': 2.0, 'gate/match': 0.1}, 6: {'loss': 1.0}, 9: {'loss': math.nan, 'gate/match': 0.1}, 12: {'loss': 1.5}}


@pytest.mark.parametrize(
  ('best', 'step'), [('lowest loss', 6), ('highest loss', 3), ('highest gate/match', 9), ('highest reward', None), ('', None)]
)
def test_the_best_step_has_the_extreme_finite_value_and_is_the_newest_of_equals(best: str, step: int | None) -> None:
  assert keeping.best_step(METRICS, best) == step


def test_the_newest_and_the_best_are_kept() -> None:
  assert keeping.kept(METRICS, 2, 'highest loss') == {3, 9, 12}
  assert keeping.kept(METRICS, 1, 'lowest loss') == {6, 12}
  assert keeping.kept(METRICS, 1, '') == {12}
  assert keeping.kept({}, 2, 'lowest loss') == frozenset()


def test_a_rule_is_a_direction_and_a_metric() -> None:
  assert keeping.is_rule('highest gate/match') and keeping.metric('lowest turn tokens') == 'turn tokens'
  assert not any(map(keeping.is_rule, ('', 'loss', 'highest', 'highest ', 'best loss')))
