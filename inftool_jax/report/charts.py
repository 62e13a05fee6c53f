"""Charts as inline SVG that takes its text color and font from the page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from inftool_jax.report.model import Chart

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_INK = '#010203'  # stands for the page's text color until the SVG is written
_COLORS = ('#4a80e8', '#d9652b', '#2c9a6a', '#b0459e', '#8a7a1f', '#5a6b7b', _INK)  # six kinds, and their mean


def svg(chart: Chart) -> str:
  """The chart without its title, as one `<svg>` element; the same chart gives the same text."""
  import matplotlib
  from matplotlib.figure import Figure

  # The salt is the title: two charts on one page must not share the ids that SVG clips and markers are found by.
  style: dict[Any, Any] = {'svg.fonttype': 'none', 'svg.hashsalt': chart.title, 'text.parse_math': False, 'font.size': 9.0}
  style |= dict.fromkeys(('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color'), _INK)
  with matplotlib.rc_context(style):
    figure = Figure(figsize=(4.1, 2.6), layout='constrained')
    axes = figure.subplots()
    for number, line in enumerate(chart.lines):
      color = _COLORS[number % len(_COLORS)]
      if line.low:
        axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.16, linewidth=0)
      marker = 'o' if len(line.x) <= 12 else ''
      axes.plot(line.x, line.y, color=color, linewidth=1.7, marker=marker, markersize=4, label=line.name)
    _style(axes, chart)
    return _finish(figure)


def _style(axes: Axes, chart: Chart) -> None:
  from matplotlib import ticker

  axes.set_xlabel(chart.x_label)
  axes.grid(axis='y', color=_INK, alpha=0.12, linewidth=0.8)
  axes.tick_params(length=0)
  for side in ('top', 'left', 'right'):
    axes.spines[side].set_visible(False)
  axes.spines['bottom'].set(color=_INK, alpha=0.3)
  if chart.x_names:
    axes.set_xticks(range(len(chart.x_names)), chart.x_names)
  else:
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=all(float(x).is_integer() for line in chart.lines for x in line.x)))
  if chart.share:
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(ticker.PercentFormatter(1.0))
  if len(chart.lines) > 1:
    axes.legend(frameon=False, fontsize=8, loc='best')


def _finish(figure: Figure) -> str:
  buffer = io.StringIO()
  figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None, 'Creator': None})
  text = buffer.getvalue()
  text = text[text.index('<svg') :]
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  return text.replace(_INK, 'currentColor')
