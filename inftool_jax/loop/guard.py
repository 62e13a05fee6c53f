"""The watch over updates that fail: counted, kept for inspection, and after too many in a row the end of the run."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from inftool_jax.data import manifest
from inftool_jax.errors import TrainingError
from inftool_jax.loop.log import say
from inftool_jax.settings import Guard
from inftool_jax.training import step
from inftool_jax.training.optimizer import OptimizerConfig
from inftool_jax.types import JSON

FOLDER = 'skipped'  # in the stage's folder
KEPT = 10  # batches of a stage that are written; the others are like them


def limit(settings: Guard, optimizer: OptimizerConfig) -> float:
  """Largest gradient norm of an update that is made."""
  return settings.multiple * optimizer.clip_norm if settings.multiple else float('inf')


class Watch:
  """Sees every update of a stage. It reads an update's metrics when it sees the next one, so that no update waits for them."""

  def __init__(self, folder: pathlib.Path, settings: Guard, position: JSON):
    """`position`: what `position()` gave when the state was saved that the stage goes on from; None at its start."""
    self._folder, self._settings = folder / FOLDER, settings
    self.skipped: int = position['skipped'] if position else 0
    self._in_a_row: int = position['in a row'] if position else 0
    self._last: tuple[int, step.Batch, Mapping[str, jax.Array]] | None = None

  def saw(self, number: int, batch: step.Batch, metrics: Mapping[str, jax.Array]) -> bool:
    """Update `number` is under way; what `settle` says of those before it."""
    failing = self.settle()
    self._last = (number, batch, metrics)
    return failing

  def settle(self) -> bool:
    """Reads the last update's metrics; whether too many in a row have failed."""
    if self._last is not None:
      number, batch, metrics = self._last
      self._last = None
      if float(metrics['skipped']):
        self.skipped += 1
        self._in_a_row += 1
        self._tell(number, batch, float(metrics['grad_norm']))
      else:
        self._in_a_row = 0
    return self._in_a_row >= self._settings.in_a_row

  def position(self) -> dict[str, Any]:
    """Goes into the checkpoint. After too many in a row the count begins anew: started again, a run tries as often."""
    return {'skipped': self.skipped, 'in a row': self._in_a_row if self._in_a_row < self._settings.in_a_row else 0}

  def error(self, stage: str, done: int) -> TrainingError:
    return TrainingError(
      f'{stage}: the last {self._in_a_row} updates all failed and changed nothing. The state after update {done} is saved; the batches '
      f'are in {self._folder}. A gradient that is not finite, or has a norm above --config.guard.multiple times the clip norm, comes of '
      'a learning rate that is too high more often than of the data. The same command goes on from here.'
    )

  def counts(self) -> dict[str, int]:
    return {'skipped updates': self.skipped} if self.skipped else {}

  def _tell(self, number: int, batch: step.Batch, norm: float) -> None:
    if self.skipped > KEPT:
      say(f'  update {number} was skipped: gradient norm {norm:.3g}')
      return
    path = self._folder / f'update_{number:06d}.npz'
    fields: dict[str, Any] = batch._asdict()
    fields |= {name: np.asarray(fields[name])[: int(batch.used)] for name in step.Micro._fields}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **fields, grad_norm=norm)
    manifest.write_bytes(path, buffer.getvalue())
    say(f'  update {number} was skipped: gradient norm {norm:.3g}; its batch is in {path}')
