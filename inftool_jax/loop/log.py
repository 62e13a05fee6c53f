"""What a run prints: one line per stage, progress in between."""

from __future__ import annotations

import time

from rich.console import Console

from inftool_jax.report import tables

PROGRESS_SECONDS = 5.0
console = Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
  console.print(text, markup=False)


class Progress:
  """A line with rate and time left, every few seconds at most."""

  def __init__(self, stage: str, unit: str, total: int, started: float, done_before: int = 0):
    self._stage, self._unit, self._total, self._started = stage, unit, total, started
    self._before = done_before  # done by an earlier process: not part of this one's rate
    self._last = started

  def at(self, done: int, *extra: str) -> None:
    now = time.monotonic()
    if now - self._last < PROGRESS_SECONDS or done >= self._total:
      return
    self._last = now
    elapsed = (now - self._started) * done / max(1, done - self._before)
    say('  ' + tables.progress_line(self._stage, done, self._total, elapsed, self._unit, [e for e in extra if e]))
