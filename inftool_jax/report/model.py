"""What a report is made of: plain frozen data that the loop fills in and the writers of this room read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from inftool_jax import types

Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Rate:
  """A success rate and its confidence interval, all in [0, 1], over `n` tasks."""

  success: float
  n: int
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Stage:
  """One finished stage. `kinds` is empty for a stage that was not evaluated; the key 'mean' is the mean over kinds."""

  name: str
  kinds: Mapping[str, Rate]
  counts: Mapping[str, int]
  wall_seconds: float
  apart: Mapping[str, Mapping[str, Rate]] = dataclasses.field(default_factory=dict)  # part of the tasks -> kind -> its rate
  failed: Mapping[str, int] = dataclasses.field(default_factory=dict)  # first failed term -> units


@dataclasses.dataclass(frozen=True)
class Results:
  evaluation_hash: str  # sha256 of the frozen evaluation file
  stages: tuple[Stage, ...]  # in the order they ran


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a chart; `low` and `high` are a band around it, or empty."""

  name: str
  x: Sequence[float]
  y: Sequence[float]
  low: Sequence[float] = ()
  high: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Chart:
  title: str
  x_label: str
  lines: tuple[Line, ...]
  share: bool = False  # y is in [0, 1] and shown in percent
  x_names: tuple[str, ...] = ()  # names of x = 0, 1, ..., instead of numbers


@dataclasses.dataclass(frozen=True)
class Gap:
  """One cell of the gap report: how well a kind goes on a family of tools, and what the next round spends there."""

  kind: str
  family: str
  rate: Rate
  verdict: str  # mastered, boundary, failed, suspect label
  share: float  # of the next round's budget


@dataclasses.dataclass(frozen=True)
class Table:
  """A small table; floats in [0, 1] of the columns named in `shares` are shown in percent."""

  columns: tuple[str, ...]
  rows: tuple[tuple[Cell, ...], ...]
  shares: frozenset[str] = frozenset()
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Baseline:
  """The parser floor or a canary policy on the evaluation file; a kind without a bound has none."""

  name: str
  kinds: Mapping[str, float]
  bounds: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def over(self, kind: str) -> bool:
    return kind in self.bounds and self.kinds.get(kind, 0.0) > self.bounds[kind]


@dataclasses.dataclass(frozen=True)
class Shown:
  """A trajectory in the viewer. `failed` is the first term that was 0, '' when none was."""

  trajectory: types.Trajectory
  stage: str
  kind: str
  success: bool
  failed: str
  tools: tuple[str, ...] = ()  # names as offered


@dataclasses.dataclass(frozen=True)
class Report:
  """Everything on the page; what is empty is left out."""

  title: str
  results: Results
  facts: Mapping[str, Cell] = dataclasses.field(default_factory=dict)  # seed, preset, parameters, ...
  charts: tuple[Chart, ...] = ()
  gaps: tuple[Gap, ...] = ()
  budget: Table = Table((), ())
  sampler: Table = Table((), ())
  baselines: tuple[Baseline, ...] = ()
  diversity: Table = Table((), ())
  comparison: str = ''  # of the last stage with SFT, as a sentence
  trajectories: tuple[Shown, ...] = ()
