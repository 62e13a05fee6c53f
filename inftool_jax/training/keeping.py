"""Which checkpoints are kept: the newest, and the best by a metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_BEST = re.compile(r'(highest|lowest) (\S.*)')
FORM = "'highest METRIC' or 'lowest METRIC'"  # of what says which is best


def is_rule(best: str) -> bool:
  return _BEST.fullmatch(best) is not None


def metric(best: str) -> str:
  """The metric's name in a rule such as `highest success`; '' for no rule."""
  found = _BEST.fullmatch(best)
  return found[2] if found else ''


def best_step(metrics: Mapping[int, Mapping[str, float]], best: str) -> int | None:
  """The best by the rule `best`, of equals the newest; None without a rule or if no step has a finite value of its metric.

  Args:
    metrics: step -> metrics of the update that made it.
    best: `highest METRIC`, `lowest METRIC`, or ''.
  """
  name, sign = metric(best), -1.0 if best.startswith('lowest') else 1.0
  scored = [(sign * found[name], step) for step, found in metrics.items() if math.isfinite(found.get(name, math.nan))]
  return max(scored)[1] if scored else None


def kept(metrics: Mapping[int, Mapping[str, float]], newest: int, best: str) -> frozenset[int]:
  """The steps to keep of all that are there: the `newest` of them and the best one."""
  step = best_step(metrics, best)
  return frozenset(sorted(metrics)[-newest:]) | ({step} if step is not None else frozenset())
