"""The next round's tasks, from what the probe says: failed and boundary tasks, expansions of both, and fresh ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.errors import ConfigError
from inftool_jax.evaluation import gaps
from inftool_jax.evaluation.gaps import GapReport
from inftool_jax.evaluation.probe import Probed
from inftool_jax.synthesis.draft import OFFERED
from inftool_jax.synthesis.expand import expand, require_known
from inftool_jax.synthesis.plan import plan
from inftool_jax.synthesis.wording.families import Split
from inftool_jax.types import Task, Tool


@dataclasses.dataclass(frozen=True)
class Mix:
  """Shares of a round's units; LoopTool's last round. Raises ConfigError unless they are shares of one whole."""

  failed: float = 0.20  # failed units of the probe as they are
  expansions: float = 0.45  # new units of the kind and tools of a failed or boundary one
  boundary: float = 0.27  # boundary units of the probe as they are
  fresh: float = 0.08  # planned anew, by the gap report
  copies: int = 4  # expansions of one unit at most

  def __post_init__(self) -> None:
    shares = (self.failed, self.expansions, self.boundary, self.fresh)
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6 or self.copies < 1:
      raise ConfigError(f'the shares of a round are 0 or more and sum to 1, copies are at least 1, unlike {self}')


@dataclasses.dataclass(frozen=True)
class Seeds:
  """Which units of the probe go where, each named by the ids of its tasks; `fresh` is what is left of the round."""

  failed: tuple[tuple[str, ...], ...]
  boundary: tuple[tuple[str, ...], ...]
  parents: tuple[tuple[str, ...], ...]  # to be expanded, `copies` times each
  expansions: int  # units that the parents give at most
  fresh: int


@dataclasses.dataclass(frozen=True)
class Round:
  tasks: tuple[Task, ...]
  counts: Mapping[str, int]  # 'failed', 'boundary', 'expansions', 'fresh' -> units


def expansions(units: Sequence[Probed], mix: Mix, total: int, seed: int) -> Seeds:
  """Draws the units of a round of `total` units from a probe's.

  Where the probe has too few failed or boundary units for their share, fresh ones, planned by the gap report, take the
  place. Mastered units and suspect labels are never drawn.
  """
  quota = gaps.apportion({'failed': mix.failed, 'expansions': mix.expansions, 'boundary': mix.boundary, 'fresh': mix.fresh}, total)
  pools = {name: _drawn([u.tasks for u in units if u.verdict == name], seed, name) for name in ('failed', 'boundary')}
  failed, boundary = (pools[name][: quota[name]] for name in ('failed', 'boundary'))
  parents = _drawn([*pools['failed'], *pools['boundary']], seed, 'expand')[: -(-quota['expansions'] // mix.copies)]
  expanded = min(quota['expansions'], len(parents) * mix.copies)
  return Seeds(failed, boundary, parents, expanded, total - len(failed) - len(boundary) - expanded)


def _drawn(units: Sequence[tuple[str, ...]], seed: int, what: str) -> tuple[tuple[str, ...], ...]:
  return tuple(sorted(units, key=lambda ids: (seeds.derive(seed, what, ids[0]), ids)))


def next_round(
  probe: Sequence[Task], chosen: Seeds, report: GapReport, tools: Sequence[Tool], mix: Mix, seed: int, *,
  split: Split = 'train', offered: tuple[int, int] = OFFERED,
) -> Round:
  """The tasks of a round: `chosen` ones of the probe, their expansions, fresh ones by the gap report.

  Args:
    probe: the tasks that were probed.
    chosen: of `expansions`.
    report: the probe's; its weights and shares of kinds aim what is fresh.
    tools: complete servers of one split; nothing else is reachable.
    mix: says how often a unit is expanded.
    seed: the round's.
    split: whose wording and values are used.
    offered: fewest and most tools offered.

  Raises:
    ValueError: a probe task that offers a tool which is not among `tools`, such as a held-out one.
  """
  require_known(probe, tools)
  by_id = {task.id: task for task in probe}
  kept = {name: [by_id[i] for ids in units for i in ids] for name, units in (('failed', chosen.failed), ('boundary', chosen.boundary))}
  parents = [next(by_id[i] for i in reversed(ids) if by_id[i].gold) for ids in chosen.parents]
  expanded = _limited(expand(parents, tools, mix.copies, seeds.derive(seed, 'expand'), split=split, offered=offered), chosen.expansions)
  # What the parents could not give is planned as well.
  missing = chosen.fresh + chosen.expansions - _units(expanded)
  fresh = plan(
    tools, gaps.counts(report, missing), seeds.derive(seed, 'fresh'), split=split, offered=offered, weights=gaps.weights(report))
  parts = {'failed': kept['failed'], 'boundary': kept['boundary'], 'expansions': expanded, 'fresh': fresh}
  return Round(tuple(task for part in parts.values() for task in part), {name: _units(part) for name, part in parts.items()})


def _limited(tasks: Sequence[Task], units: int) -> tuple[Task, ...]:
  """The first `units` units of tasks in which twins stand side by side."""
  out: list[Task] = []
  left = units
  for task in tasks:
    second = bool(out) and out[-1].id == task.twin
    if not second and not left:
      break
    left -= 0 if second else 1
    out.append(task)
  return tuple(out)


def _units(tasks: Sequence[Task]) -> int:
  return sum(not task.twin or task.id < task.twin for task in tasks)
