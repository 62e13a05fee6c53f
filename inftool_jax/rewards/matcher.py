"""How much of the gold calls a set of predicted calls gets right, in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize

from inftool_jax.rewards.canonical import canonical_arguments
from inftool_jax.types import Call, Tool


def match(predicted: Sequence[Call], gold: Sequence[Call], tools: Sequence[Tool]) -> float:
  """The best one-to-one assignment of predicted to gold calls, whatever their order.

  A pair scores 0 if the names differ, else the share of arguments that are equal among all arguments either has. The sum
  is divided by the larger number of calls, so that a surplus call costs as much as a missing one; 1 when both are empty.
  """
  larger = max(len(predicted), len(gold))
  if larger == 0:
    return 1.0
  by_name = {tool.name: tool for tool in tools}
  rows = [canonical_arguments(call, by_name.get(call.tool)) for call in predicted]
  columns = [canonical_arguments(call, by_name.get(call.tool)) for call in gold]
  scores = np.zeros((len(rows), len(columns)))
  for i, row in enumerate(rows):
    for j, column in enumerate(columns):
      if predicted[i].tool == gold[j].tool:
        scores[i, j] = _overlap(row, column)
  chosen = optimize.linear_sum_assignment(scores, maximize=True)
  return float(scores[chosen].sum()) / larger


def _overlap(a: Mapping[str, str], b: Mapping[str, str]) -> float:
  names = a.keys() | b.keys()
  if not names:
    return 1.0
  return sum(name in a and name in b and a[name] == b[name] for name in names) / len(names)
