"""The gap report: how each kind of task goes on each family of tools, and what the next round spends there."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

from inftool_jax import types
from inftool_jax.evaluation.probe import Probed, most_frequent, verdict
from inftool_jax.evaluation.statistics import wilson
from inftool_jax.report import model
from inftool_jax.types import JSON, KINDS

# What a unit of each verdict is worth to the next round. Boundary units have a gradient, most failed ones none yet, mastered
# ones none any more. A suspect label is kept out of training by itself, but the gap beside it may be real: it counts as failed.
NEED: Mapping[str, float] = {'boundary': 1.0, 'failed': 0.7, 'suspect label': 0.7, 'mastered': 0.1}
PRIOR = 4.0  # a cell's verdicts are pulled towards those of its kind as if it had this many units more, all typical of the kind
FLOOR = 0.2  # of the budget goes evenly to all cells, so that none is starved and none goes unseen for long


@dataclasses.dataclass(frozen=True)
class Cell:
  """One kind on one family of tools. Without units, `success` is 0 and the interval [0, 1]."""

  kind: str
  family: str
  units: int
  success: float  # mean success rate of the units
  low: float  # 95 % Wilson interval over units: attempts at one unit are not independent
  high: float
  verdicts: Mapping[str, int]  # verdict -> units
  failure: str  # most frequent failure of the units, '' if nothing failed
  verdict: str  # of the cell: 'suspect label' if most units are, else by success; '' without units
  share: float  # of the next budget


@dataclasses.dataclass(frozen=True)
class GapReport:
  """`cells` cover every kind and family; their shares sum to 1."""

  cells: tuple[Cell, ...]
  family_of: Mapping[str, str]  # server -> family


def report(units: Sequence[Probed], family_of: Mapping[str, str]) -> GapReport:
  """The gap report of a probe over the families in `family_of` (server -> family).

  Raises ValueError for a unit of another family: what is planned next must not come from tools outside the probe.
  """
  names = sorted(set(family_of.values()))
  if not names:
    raise ValueError('there are no families of tools to report on')
  groups: dict[tuple[str, str], list[Probed]] = {(kind, family): [] for kind in KINDS for family in names}
  for unit in units:
    if (unit.kind, unit.family) not in groups:
      raise ValueError(f'{unit.tasks[0]} is of {unit.kind} on {unit.family}, which is none of the cells of this report')
    groups[unit.kind, unit.family].append(unit)
  shares = _shares(groups)
  return GapReport(tuple(_cell(key, group, shares[key]) for key, group in groups.items()), dict(sorted(family_of.items())))


def _shares(groups: Mapping[tuple[str, str], Sequence[Probed]]) -> dict[tuple[str, str], float]:
  """The need of each cell, made to sum to 1, above an even floor."""
  every = [unit for group in groups.values() for unit in group]
  even = sum(NEED.values()) / len(NEED)  # nothing is known at all: any constant would do
  overall = _need(every, even)
  typical = {kind: _need([unit for unit in every if unit.kind == kind], overall) for kind in KINDS}
  needs = {key: _need(group, typical[key[0]]) for key, group in groups.items()}
  total = sum(needs.values())
  return {key: FLOOR / len(groups) + (1 - FLOOR) * need / total for key, need in needs.items()}


def _need(units: Sequence[Probed], expected: float) -> float:
  """Mean worth of the units, shrunk towards what is expected of them."""
  return (sum(NEED[unit.verdict] for unit in units) + PRIOR * expected) / (len(units) + PRIOR)


def _cell(key: tuple[str, str], group: Sequence[Probed], share: float) -> Cell:
  n = len(group)
  successes = sum(unit.success for unit in group)
  verdicts: collections.Counter[str] = collections.Counter(unit.verdict for unit in group)
  failures = collections.Counter(unit.failure for unit in group if unit.failure)
  success = successes / n if n else 0.0
  overall = 'suspect label' if 2 * verdicts['suspect label'] > n else verdict(success)
  return Cell(
    *key, n, success, *wilson(min(successes, n), n), {name: verdicts[name] for name in NEED if verdicts[name]},
    most_frequent(failures), overall if n else '', share,
  )


def weights(of: GapReport) -> dict[tuple[str, str], float]:
  """(kind, server) -> weight among the tasks of that kind, for `synthesis.plan`; 1 on average over the servers of a kind.

  A family's share is divided evenly among its servers.
  """
  members = collections.Counter(of.family_of.values())
  shares = {(cell.kind, cell.family): cell.share / members[cell.family] for cell in of.cells}
  out: dict[tuple[str, str], float] = {}
  for kind in KINDS:
    mean = sum(shares[kind, family] for family in of.family_of.values()) / len(of.family_of)
    out |= {(kind, server): shares[kind, family] / mean for server, family in of.family_of.items()}
  return out


def counts(of: GapReport, total: int) -> dict[str, int]:
  """Kind -> how many of `total` units the next plan makes of it, by the shares of its cells."""
  return apportion({kind: sum(cell.share for cell in of.cells if cell.kind == kind) for kind in KINDS}, total)


def apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
  """`total` divided in proportion to `shares`, whole: what rounding leaves goes to the largest remainders, first come first served."""
  exact = {name: total * share / sum(shares.values()) for name, share in shares.items()}
  out = {name: math.floor(value) for name, value in exact.items()}
  order = sorted(exact, key=lambda name: out[name] - exact[name])
  for name in order[: total - sum(out.values())]:
    out[name] += 1
  return out


def rows(of: GapReport) -> tuple[model.Gap, ...]:
  """The cells that were probed, for the report page."""
  return tuple(
    model.Gap(cell.kind, cell.family, model.Rate(cell.success, cell.units, cell.low, cell.high), cell.verdict, cell.share)
    for cell in of.cells if cell.units
  )


def to_json(of: GapReport) -> JSON:
  return types.to_json(of)


def from_json(data: JSON) -> GapReport:
  """The inverse of `to_json`. Raises ValueError on unknown or missing fields."""
  return types.from_json(GapReport, data)
