"""The console: stage x kind table, one summary line a stage, a progress line with rate and time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table
from rich.text import Text

from inftool_jax import types
from inftool_jax.report.model import Rate, Results, Stage

MEAN = 'mean'


def kinds_of(results: Results) -> tuple[str, ...]:
  """The kinds that were evaluated, in the usual order, others after them by name, the mean last."""
  found = {kind for stage in results.stages for kind in stage.kinds}
  others = sorted(found - {*types.KINDS, MEAN})
  return (*(k for k in types.KINDS if k in found), *others, *(k for k in (MEAN,) if k in found))


def words(identifier: str) -> str:
  return identifier.replace('_', ' ')


def percent(share: float) -> str:
  return f'{100 * share:.1f}'


def interval(rate: Rate) -> str:
  return f'{100 * rate.low:.0f}–{100 * rate.high:.0f}'


def points(mean: float, low: float, high: float) -> str:
  """A difference of shares: `+1.2 points (-0.4 to +2.9)`."""
  return f'{100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})'


def duration(seconds: float) -> str:
  """`8.2 s`, `3 min 05 s`, `2 h 07 min`."""
  if seconds < 59.95:
    return f'{seconds:.1f} s'
  whole = round(seconds)
  if whole < 3600:
    return f'{whole // 60} min {whole % 60:02d} s'
  return f'{whole // 3600} h {whole % 3600 // 60:02d} min'


def stage_table(results: Results) -> Table:
  """Success in percent with its interval, a row per evaluated stage and a column per kind; the best of a column is bold."""
  kinds = kinds_of(results)
  table = Table(title='Success on the held-out tools, percent (interval)', title_justify='left')
  table.add_column('stage')
  for kind in kinds:
    table.add_column(words(kind), justify='right')
  evaluated = [s for s in results.stages if s.kinds]
  best = {k: max(s.kinds[k].success for s in evaluated if k in s.kinds) for k in kinds}
  for stage in evaluated:
    table.add_row(stage.name, *(_rate_cell(stage.kinds.get(k), best[k]) for k in kinds))
  if evaluated:
    sizes = [max((s.kinds[k].n for s in evaluated if k in s.kinds), default=0) for k in kinds]
    table.caption = 'tasks: ' + ', '.join(f'{words(k)} {n}' for k, n in zip(kinds, sizes, strict=True))
  return table


def _rate_cell(rate: Rate | None, best: float) -> Text:
  if rate is None:
    return Text('—', style='dim')
  style = 'bold' if rate.success == best and best > 0 else ''
  return Text.assemble((percent(rate.success), style), (f' ({interval(rate)})', 'dim'))


def summary_line(stage: Stage) -> str:
  """`sft        81.2 s   steps 300 · tokens 1,204,332   success 35.2 % (31–39)`."""
  parts = [f'{stage.name:<12}{duration(stage.wall_seconds):>12}']
  if stage.counts:
    parts.append(counts(stage.counts))
  if MEAN in stage.kinds:
    rate = stage.kinds[MEAN]
    parts.append(f'success {percent(rate.success)} % ({interval(rate)})')
  return '   '.join(parts)


def counts(values: Mapping[str, int]) -> str:
  return ' · '.join(f'{words(name)} {value:,}' for name, value in values.items())


def progress_line(stage: str, done: int, total: int, seconds: float, unit: str, extra: Iterable[str] = ()) -> str:
  """`sft  120/300 steps (40 %)  4.1/s  44.0 s left  loss 1.23`; rate and time left appear with the first unit done."""
  share = f' ({100 * done / total:.0f} %)' if total else ''
  parts = [stage, f'{done:,}/{total:,} {unit}{share}']
  if done and seconds > 0:
    parts += [rate_text(done / seconds), f'{duration((total - done) * seconds / done)} left']
  return '  '.join([*parts, *extra])


def rate_text(per_second: float) -> str:
  """Per second, or per minute when that is below one a second."""
  if per_second >= 100:
    return f'{per_second:,.0f}/s'
  return f'{per_second:.1f}/s' if per_second >= 1 else f'{60 * per_second:.1f}/min'
