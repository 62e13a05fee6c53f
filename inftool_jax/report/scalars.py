"""TensorBoard scalars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tensorboardX import SummaryWriter


class Scalars:
  """Writes named numbers by step under `folder`. Use as a context manager, or call `close`."""

  def __init__(self, folder: Path, resume_step: int | None = None):
    """`resume_step`: the first step that will be written; what an interrupted run wrote from there on is hidden."""
    self._writer = SummaryWriter(str(folder), purge_step=resume_step)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """`values`: name such as 'sft/loss' -> number."""
    for name, value in values.items():
      self._writer.add_scalar(name, float(value), step)

  def flush(self) -> None:
    self._writer.flush()

  def close(self) -> None:
    self._writer.close()
