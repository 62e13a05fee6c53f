"""TensorBoard scalars."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tensorboardX import SummaryWriter

from inftool_jax.data import places

UPLOAD_SECONDS = 60.0


class Scalars:
  """Writes named numbers by step under `folder`; to an object store now and then. Use as a context manager, or call `close`."""

  def __init__(self, folder: Path, resume_step: int | None = None):
    """`resume_step`: the first step that will be written; what an interrupted run wrote from there on is hidden."""
    self._folder = folder
    self._temporary = tempfile.TemporaryDirectory() if places.is_remote(folder) else None
    self._uploaded = time.monotonic()
    self._writer = SummaryWriter(self._temporary.name if self._temporary else str(folder), purge_step=resume_step)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def write(self, step: int, values: Mapping[str, float]) -> None:
    """`values`: name such as 'sft/loss' -> number."""
    for name, value in values.items():
      self._writer.add_scalar(name, float(value), step)
    if self._temporary and time.monotonic() - self._uploaded > UPLOAD_SECONDS:
      self.flush()

  def flush(self) -> None:
    self._writer.flush()
    self._upload()

  def close(self) -> None:
    self._writer.close()
    self._upload()

  def _upload(self) -> None:
    if self._temporary:
      self._uploaded = time.monotonic()
      places.send(Path(self._temporary.name), self._folder)
