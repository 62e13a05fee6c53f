"""What of checkpoints lies in a folder, and in which state: whole, interrupted, corrupt.

    FOLDER/step_00000012/arrays/          Orbax, one array per leaf of the state
    FOLDER/step_00000012/manifest.json    hash, shape and dtype of each leaf; policy version; position of the loop; metrics

The manifest is written last and makes the checkpoint: a step folder without it was interrupted. Nothing is ever renamed, so that
folders may be in an object store (`gs://...`), or on a file system where a rename is a copy.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from inftool_jax import types
from inftool_jax.data import manifest, places
from inftool_jax.errors import CheckpointError, StoreError
from inftool_jax.training import keeping, leaves
from inftool_jax.training.leaves import Leaf

ARRAYS = 'arrays'
_STEP = re.compile(r'step_\d{8}')
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Manifest:
  step: int
  policy_version: int
  position: types.JSON  # where the loop goes on: any JSON value
  leaves: Mapping[str, Leaf]
  metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of the update that made this state

  @property
  def size(self) -> int:
    """Bytes of all leaves."""
    return sum(leaf.size for leaf in self.leaves.values())


class DamagedError(CheckpointError):
  """A checkpoint whose bytes are not what was saved; an older one may do."""


def absolute(folder: str | os.PathLike[str]) -> Path:
  """An absolute path, on disk or in an object store."""
  path = places.place(folder)
  return path if places.is_remote(path) else path.absolute()


def step_folder(folder: Path, step: int) -> Path:
  return folder / f'step_{step:08d}'


def number(path: Path) -> int:
  """The step of a step folder."""
  return int(path.name.removeprefix('step_'))


def steps(folder: Path) -> list[Path]:
  """The step folders, oldest first, whatever is in them."""
  if not folder.exists():
    return []
  return sorted(path for path in folder.iterdir() if _STEP.fullmatch(path.name))


def is_committed(path: Path) -> bool:
  return manifest.is_whole(path / manifest.NAME)


def committed(folder: Path) -> Iterator[Path]:
  """Those with a whole manifest, newest first; the others are told."""
  for path in reversed(steps(folder)):
    if is_committed(path):
      yield path
    else:
      _log.warning('%s was interrupted before it was complete; skipped.', path)


def read_manifest(path: Path) -> Manifest | None:
  """The manifest of a step folder, None if there is no whole one. Raises DamagedError when it was changed after it was written."""
  try:
    body = manifest.read_signed(path / manifest.NAME)
  except StoreError as e:
    raise DamagedError(f'{path / manifest.NAME} is not as it was written.') from e
  if body is None:
    return None
  try:
    return types.from_json(Manifest, body)
  except ValueError as e:
    raise CheckpointError(f'{path / manifest.NAME} is of another version of this program ({e}).') from e


def tensors(path: Path, body: Manifest) -> Iterator[tuple[str, np.ndarray]]:
  """Name and content of one leaf after the other, each compared with its hash. Raises DamagedError naming the first that differs."""
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
    for name, leaf in body.leaves.items():
      like, kind = {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)}, {name: ocp.RestoreArgs(restore_type=np.ndarray)}
      try:
        array = orbax.restore(path / ARRAYS, args=ocp.args.PyTreeRestore(like, restore_args=kind, partial_restore=True))[name]
      except Exception as e:  # whatever TensorStore makes of damaged bytes
        raise unreadable(path, e, name) from e
      check(path, {name: leaf}, {name: array})
      yield name, array


def check(path: Path, saved: Mapping[str, Leaf], arrays: Mapping[str, object]) -> None:
  """Raises DamagedError naming the first leaf that is not what was saved."""
  found = leaves.describe({name: arrays[name] for name in saved})
  for name, leaf in saved.items():
    if found[name] != leaf:
      raise DamagedError(f'{path}: tensor {name} does not have the content that was saved.')


def unreadable(path: Path, cause: Exception, name: str = '') -> DamagedError:
  where = f'{path}: tensor {name}' if name else str(path)
  return DamagedError(f'{where} cannot be read ({type(cause).__name__}: {str(cause)[:200]}).')


def prune(folder: Path, step: int, newest: int, best: str) -> None:
  """Removes all but what `keeping` keeps of the committed checkpoints up to `step`, the one just saved.

  What is beyond it is damaged or was interrupted, as the run came by here again; it must not count among the newest.
  """
  whole = {number(path): _metrics(path) for path in steps(folder) if number(path) <= step and is_committed(path)}
  kept = keeping.kept(whole, newest, best)
  for path in steps(folder):
    if number(path) not in kept:
      remove(path)


def remove(path: Path) -> None:
  """A step folder goes, its manifest first, so that a crash leaves an interrupted one, not a damaged one."""
  (path / manifest.NAME).unlink(missing_ok=True)
  places.remove(path)


def _metrics(path: Path) -> Mapping[str, float]:
  """None of a checkpoint that cannot be used, so that it is not the best."""
  try:
    body = read_manifest(path)
  except CheckpointError:
    body = None
  return body.metrics if body else {}
