"""Success per kind with its interval, and paired differences between arms.

The unit is what can be credited once: a task, or a pair of twins, which counts as one success if both are right. So never
calling, or always asking, earns nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inftool_jax.types import KINDS

Z95 = 1.959963984540054  # two-sided 95 %


@dataclasses.dataclass(frozen=True)
class Scored:
  """One attempt at one task."""

  task_id: str
  twin: str  # id of the twin task, '' if it has none
  kind: str
  server: str
  hand_written: bool
  named_share: float | None  # share of the voiced arguments that stand beside their parameter's name; None: none is voiced
  success: bool
  failed: str  # first failed term, '' on success
  attempt: int = 0


@dataclasses.dataclass(frozen=True)
class Rate:
  """Successes among `n` units, with the 95 % Wilson interval. Without units the share is NaN and the interval [0, 1]."""

  successes: int
  n: int
  low: float
  high: float

  @property
  def share(self) -> float:
    return self.successes / self.n if self.n else math.nan


@dataclasses.dataclass(frozen=True)
class Difference:
  """Mean paired difference b - a, averaged over kinds, with its 95 % bootstrap interval."""

  mean: float
  low: float
  high: float
  n: int  # paired units, over all seeds
  seeds: int
  servers: int


def wilson(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
  """Wilson score interval of a share; it stays inside [0, 1] and is honest near both ends. (0, 1) for n = 0.

  `successes` may be a sum of shares, one per unit.
  """
  if not 0 <= successes <= n:
    raise ValueError(f'{successes} successes among {n}')
  if n == 0:
    return 0.0, 1.0
  share, z2 = successes / n, z * z
  center = (share + z2 / (2 * n)) / (1 + z2 / n)
  half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
  # At the ends the formula gives 0 and 1 up to rounding.
  return (0.0 if successes == 0 else center - half), (1.0 if successes == n else center + half)


def rate(units: Sequence[Scored]) -> Rate:
  successes = sum(unit.success for unit in units)
  return Rate(successes, len(units), *wilson(successes, len(units)))


def units(results: Sequence[Scored]) -> tuple[Scored, ...]:
  """What is credited once: each task without a twin as it is; each pair as one record, under the smaller id.

  A pair succeeds if both do; `failed` is the first failed term of the twin that failed (of the smaller id if both did);
  `named_share` is the mean of those that have one; it is hand-written if both are. Raises ValueError if an attempt is
  there twice or lacks its twin: half a pair must not be credited, nor dropped unseen.
  """
  by_key: dict[tuple[str, int], Scored] = {}
  for r in results:
    if (r.task_id, r.attempt) in by_key:
      raise ValueError(f'attempt {r.attempt} at task {r.task_id} is there twice')
    by_key[r.task_id, r.attempt] = r
  out = []
  for r in by_key.values():
    if r.twin and (r.twin, r.attempt) not in by_key:
      raise ValueError(f'attempt {r.attempt} at task {r.task_id} lacks that at its twin {r.twin}')
    if not r.twin:
      out.append(r)
    elif r.task_id < r.twin:
      out.append(_paired(r, by_key[r.twin, r.attempt]))
  return tuple(out)


def _paired(a: Scored, b: Scored) -> Scored:
  shares = [s for s in (a.named_share, b.named_share) if s is not None]
  return dataclasses.replace(
    a, success=a.success and b.success, failed=a.failed or b.failed, hand_written=a.hand_written and b.hand_written,
    named_share=sum(shares) / len(shares) if shares else None)


def success_by_kind(results: Sequence[Scored]) -> dict[str, Rate]:
  """Kind -> rate over its units, in the order of `KINDS`; only kinds that occur. Raises ValueError as `units` does."""
  return _rates_by_kind(units(results))


def mean_over_kinds(rates: Mapping[str, Rate]) -> float:
  """The headline: every kind weighs the same, however many tasks it has. NaN without kinds."""
  return sum(r.share for r in rates.values()) / len(rates) if rates else math.nan


def failures(results: Sequence[Scored]) -> dict[str, int]:
  """First failed term -> how many units failed at it, most frequent first."""
  groups = _groups([u for u in units(results) if not u.success], lambda r: r.failed)
  return {term: len(group) for term, group in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))}


def by_wording(results: Sequence[Scored]) -> dict[str, dict[str, Rate]]:
  """'generated' and 'hand_written' -> kind -> rate."""
  groups = _groups(units(results), lambda r: 'hand_written' if r.hand_written else 'generated')
  return {name: _rates_by_kind(groups.get(name, [])) for name in ('generated', 'hand_written')}


def by_naming(results: Sequence[Scored]) -> dict[str, dict[str, Rate]]:
  """'named' (every voiced argument stands beside its parameter's name), 'unnamed' (none does), 'mixed' -> kind -> rate.

  Units in which no argument is voiced are in none of them.
  """
  def naming(r: Scored) -> str:
    if r.named_share is None:
      return ''
    return {0.0: 'unnamed', 1.0: 'named'}.get(r.named_share, 'mixed')
  groups = _groups(units(results), naming)
  return {name: _rates_by_kind(groups.get(name, [])) for name in ('named', 'mixed', 'unnamed')}


def paired_difference(
    a: Mapping[int, Sequence[Scored]], b: Mapping[int, Sequence[Scored]], seed: int, resamples: int = 2000) -> Difference:
  """How much better arm `b` is than arm `a` on the same tasks.

  Both map a training seed to the results of that run. Each resample draws seeds with replacement and, within each, whole
  servers with replacement (tasks of one server rise and fall together); differences are averaged within each kind, then
  over kinds, then over seeds. With one seed the interval knows nothing of the spread between runs.
  Raises ValueError unless both arms have the same seeds, tasks and attempts.
  """
  if not a or a.keys() != b.keys():
    raise ValueError(f'the arms have different seeds: {sorted(a)} and {sorted(b)}')
  tables = [_table(units(a[s]), units(b[s])) for s in sorted(a)]
  rng = np.random.default_rng(seed)
  point = float(np.mean([_kind_mean(t, np.ones((1, t.shape[1])))[0] for t in tables]))
  # One draw per (resample, seed drawn): a seed drawn twice gets two draws of servers.
  chosen = rng.integers(len(tables), size=(resamples, len(tables)))
  drawn = np.zeros(chosen.shape)
  for i, table in enumerate(tables):
    at = chosen == i
    servers = table.shape[1]
    drawn[at] = _kind_mean(table, rng.multinomial(servers, np.full(servers, 1 / servers), size=int(at.sum())))
  low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
  n = int(sum(t[1].sum() for t in tables))
  return Difference(point, float(low), float(high), n, len(tables), max(t.shape[1] for t in tables))


def _table(a: Sequence[Scored], b: Sequence[Scored]) -> np.ndarray:
  """[2, servers, kinds]: sums of differences, and numbers of units."""
  first = {(u.task_id, u.attempt): u for u in a}
  second = {(u.task_id, u.attempt): u for u in b}
  if not first or first.keys() != second.keys():
    odd = sorted(first.keys() ^ second.keys())[:3]
    raise ValueError(f'a paired difference needs the same tasks on both sides; on one side only: {odd or "none at all"}')
  servers = sorted({u.server for u in a})
  kinds = sorted({u.kind for u in a})
  table = np.zeros((2, len(servers), len(kinds)))
  for key, u in first.items():
    table[:, servers.index(u.server), kinds.index(u.kind)] += (int(second[key].success) - int(u.success), 1)
  return table


def _kind_mean(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
  """[R]: the difference averaged within kinds, then over the kinds that servers weighted by `weights` [R, servers] have."""
  sums, counts = weights @ table[0], weights @ table[1]
  present = counts > 0
  per_kind = np.divide(sums, counts, out=np.zeros_like(sums), where=present)
  return per_kind.sum(axis=1) / present.sum(axis=1)


def _rates_by_kind(paired: Sequence[Scored]) -> dict[str, Rate]:
  return {kind: rate(group) for kind, group in sorted(_groups(paired, lambda r: r.kind).items(), key=lambda g: _kind_order(g[0]))}


def _groups(results: Sequence[Scored], key: Callable[[Scored], str]) -> dict[str, list[Scored]]:
  groups: defaultdict[str, list[Scored]] = defaultdict(list)
  for r in results:
    groups[key(r)].append(r)
  return dict(groups)


def _kind_order(kind: str) -> tuple[int, str]:
  return (KINDS.index(kind) if kind in KINDS else len(KINDS)), kind
