"""The console's lines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from inftool_jax.report import model, tables
from tests.report import sample_report


def _printed(results: model.Results) -> str:
  console = Console(file=io.StringIO(), width=150)
  console.print(tables.stage_table(results))
  return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_a_row_per_evaluated_stage_and_a_column_per_kind() -> None:
  text = _printed(sample_report.results())
  header = next(line for line in text.splitlines() if 'irrelevance' in line)
  assert header.index('single') < header.index('multi step') < header.index('missing parameter') < header.index('mean')
  assert 'round-2' in text and 'synthesise' not in text
  rate = sample_report.results().stages[2].kinds['single']
  assert f'{100 * rate.success:.1f} ({100 * rate.low:.0f}–{100 * rate.high:.0f})' in text
  assert 'mean 240' in text


def test_a_kind_that_a_stage_lacks_is_a_dash() -> None:
  rate = model.Rate(0.5, 4, 0.1, 0.9)
  text = _printed(model.Results('', (model.Stage('a', {'single': rate}, {}, 1.0), model.Stage('b', {'parallel': rate}, {}, 1.0))))
  assert text.count('—') == 2 and text.count('50.0 (10–90)') == 2


def test_a_table_without_any_evaluation_can_be_printed() -> None:
  assert 'stage' in _printed(model.Results('', ()))


def test_the_summary_of_a_stage_is_one_line() -> None:
  stage = model.Stage('sft', {'mean': model.Rate(0.352, 240, 0.31, 0.39)}, {'steps': 300, 'sampled_tokens': 1204332}, 81.2)
  assert tables.summary_line(stage) == 'sft           1 min 21 s   steps 300 · sampled tokens 1,204,332   success 35.2 % (31–39)'
  assert tables.summary_line(model.Stage('plan', {}, {}, 0.5)) == 'plan               0.5 s'


@pytest.mark.parametrize(
  ('done', 'total', 'seconds', 'text'),
  [
    (120, 320, 30.0, 'sft  120/320 steps (38 %)  4.0/s  50.0 s left  loss 1.2'),
    (0, 320, 1.0, 'sft  0/320 steps (0 %)  loss 1.2'),
    (1, 4, 120.0, 'sft  1/4 steps (25 %)  0.5/min  6 min 00 s left  loss 1.2'),
    (0, 0, 0.0, 'sft  0/0 steps  loss 1.2'),
    (4, 4, 0.01, 'sft  4/4 steps (100 %)  400/s  0.0 s left  loss 1.2'),
  ],
)
def test_progress_shows_rate_and_time_left(done: int, total: int, seconds: float, text: str) -> None:
  assert tables.progress_line('sft', done, total, seconds, 'steps', ['loss 1.2']) == text


@pytest.mark.parametrize(
  ('seconds', 'text'), [(0.04, '0.0 s'), (59.94, '59.9 s'), (59.96, '1 min 00 s'), (3599.6, '1 h 00 min'), (7625.0, '2 h 07 min')]
)
def test_durations(seconds: float, text: str) -> None:
  assert tables.duration(seconds) == text
