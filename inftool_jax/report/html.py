"""One self-contained `report.html`: no script, font or image from elsewhere, and all model text escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jinja2
from markupsafe import Markup

from inftool_jax import types
from inftool_jax.data import manifest
from inftool_jax.report import charts, tables
from inftool_jax.report.model import Cell, Rate, Report, Shown

NAME = 'report.html'
_ONE_LINE = 88  # characters of JSON that stand on one line in the viewer
_SNIPPET = 110  # characters of the user's first message in a trajectory's headline


def write(workdir: Path, report: Report) -> Path:
  """Replaces `report.html` in `workdir`. Raises StoreError when it cannot be written; the old page is then as it was."""
  path = workdir / NAME
  manifest.write_bytes(path, render(report).encode('utf-8', 'replace'))  # a model may write a lone surrogate
  return path


def render(report: Report) -> str:
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / 'templates'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {
    'words': tables.words,
    'zip': zip,
    'percent': tables.percent,
    'interval': tables.interval,
    'duration': tables.duration,
    'counts': tables.counts,
    'number': number,
    'json': pretty,
    'snippet': snippet,
    'text': result_text,
  }
  kinds = tables.kinds_of(report.results)
  return environment.get_template('report.html.j2').render(
    report=report,
    kinds=kinds,
    evaluated=[s for s in report.results.stages if s.kinds],
    failures=list(dict.fromkeys(term for s in reversed(report.results.stages) for term in s.failed)),
    headline=_headline(report),
    charts=[(chart, Markup(charts.svg(chart))) for chart in report.charts],  # our own SVG, its text escaped by matplotlib
    baseline_kinds=_baseline_kinds(report),
    choices=_choices(report.trajectories),
    total_seconds=sum(s.wall_seconds for s in report.results.stages),
    accepted=sum(shown.success for shown in report.trajectories),
  )


def number(value: Cell) -> str:
  """A cell of a table: thousands separated, floats with up to four digits that count, a dash for nothing."""
  if value is None:
    return '—'
  if isinstance(value, (bool, str)):
    return str(value)
  if isinstance(value, int):
    return f'{value:,}'
  return f'{value:,.0f}' if abs(value) >= 10_000 else f'{value:.4g}'


def pretty(value: types.JSON) -> str:
  """JSON on one line when it is short, indented when it is not."""
  line = json.dumps(value, ensure_ascii=False)
  return line if len(line) <= _ONE_LINE else json.dumps(value, indent=2, ensure_ascii=False)


def result_text(result: types.Result) -> str:
  """A tool result as the model read it, laid out when it is JSON."""
  try:
    return pretty(json.loads(result.content))
  except ValueError:
    return result.content


def snippet(shown: Shown) -> str:
  """The user's first words."""
  text = next((m.content for m in shown.trajectory.messages if m.role == 'user'), '')
  line = ' '.join(text.split())
  return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1] + '…'


def _headline(report: Report) -> list[tuple[str, Rate]]:
  """(stage, mean success) of the first evaluated stage, of SFT when there is one, and of the last."""
  means = [(s.name, s.kinds[tables.MEAN]) for s in report.results.stages if tables.MEAN in s.kinds]
  return [*means[:1], *(m for m in means[1:-1] if m[0] == 'sft'), *means[1:][-1:]]


def _baseline_kinds(report: Report) -> tuple[str, ...]:
  found = {kind for baseline in report.baselines for kind in baseline.kinds}
  usual = (*types.KINDS, tables.MEAN)
  return (*(k for k in usual if k in found), *sorted(found.difference(usual)))


def _choices(trajectories: tuple[Shown, ...]) -> Mapping[str, list[str]]:
  """What the viewer can be filtered by: label -> values that occur."""
  return {
    'stage': list(dict.fromkeys(t.stage for t in trajectories)),
    'kind': [k for k in types.KINDS if any(t.kind == k for t in trajectories)],
    'outcome': sorted({t.trajectory.outcome for t in trajectories}),
    'success': [s for s in ('yes', 'no') if any(t.success == (s == 'yes') for t in trajectories)],
  }
