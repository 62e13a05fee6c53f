"""Checkpoints: Orbax writes the arrays, we hash every leaf and commit by a manifest that is written last (`training.stored`).

Orbax restores a flipped bit silently; a leaf whose bytes do not have their hash is not restored here, the checkpoint before is.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from inftool_jax import types
from inftool_jax.data import manifest, places
from inftool_jax.errors import CheckpointError, ConfigError
from inftool_jax.training import keeping, leaves, stored
from inftool_jax.training.stored import ARRAYS, DamagedError, Manifest

Tree = TypeVar('Tree')
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Restored(Generic[Tree]):
  state: Tree
  step: int
  policy_version: int
  position: types.JSON
  path: Path


class Checkpointer:
  """Saves states under `folder` in the background, one at a time; keeps the `keep` newest, and the best if `best` says by what.

  `best` is `highest METRIC` or `lowest METRIC`. Every process of a run has one, sees the same folder, and calls
  its methods together with the others. Use as a context manager, or call `close`: only then is the last save known to be complete.
  """

  def __init__(self, folder: str | os.PathLike[str], keep: int = 2, best: str = ''):
    if keep < 1:
      raise ValueError(f'keep must be at least 1, not {keep}')
    if best and not keeping.is_rule(best):
      raise ValueError(f'best must be {keeping.FORM}, not {best!r}')
    self._folder = stored.absolute(folder)
    self._keep, self._best = keep, best
    # Written where it stays: a rename would be neither needed, as our manifest commits, nor atomic everywhere.
    self._orbax = ocp.StandardCheckpointer(temporary_path_class=ocp.path.atomicity.CommitFileTemporaryPath)
    self._committer = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint')
    self._pending: concurrent.futures.Future[None] | None = None

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def check(self, metrics: Iterable[str]) -> None:
    """Raises ConfigError when the best is to be kept by a metric that is none of these."""
    if self._best and keeping.metric(self._best) not in metrics:
      raise ConfigError(f'--config: checkpoint_best is {self._best!r}, but the metrics of an update are {", ".join(sorted(metrics))}')

  def save(self, step: int, state: Any, policy_version: int, position: types.JSON, metrics: Mapping[str, float] | None = None) -> None:
    """Starts saving `state`: a pytree of arrays and numbers, whole or divided over the devices of one process or of several.

    Returns once the arrays are copied and hashed, so that the caller may donate them. A checkpoint of this step is replaced: it is
    there when it was found damaged and the run came by again. Raises CheckpointError when the save before failed.
    """
    self.wait()
    path = stored.step_folder(self._folder, step)
    arrays = leaves.flatten(state)
    finite = {name: float(value) for name, value in (metrics or {}).items() if math.isfinite(value)}
    try:
      body = Manifest(step, policy_version, position, leaves.describe(arrays), finite)
      if _is_first():
        stored.remove(path)
        path.mkdir(parents=True, exist_ok=True)
      self._orbax.save(path / ARRAYS, arrays)
    except Exception as e:  # Orbax and TensorStore raise many types; all of them mean that nothing was saved
      raise CheckpointError(_not_written(path, e)) from e
    self._pending = self._committer.submit(self._commit, path, body)

  def wait(self) -> None:
    """Blocks until the save in progress is committed. Raises CheckpointError when it failed."""
    if self._pending is None:
      return
    pending, self._pending = self._pending, None
    pending.result()

  def close(self) -> None:
    """`wait`, then lets the threads go."""
    try:
      self.wait()
    finally:
      self._committer.shutdown()
      self._orbax.close()

  def _commit(self, path: Path, body: Manifest) -> None:
    try:
      self._orbax.wait_until_finished()  # the parts of all processes are written
      if _is_first():
        _sync_tree(path)
        manifest.write_bytes(path / manifest.NAME, manifest.signed(types.to_json(body)))
        stored.prune(self._folder, body.step, self._keep, self._best)
    except Exception as e:  # raised again in `wait`, with the path
      raise CheckpointError(_not_written(path, e)) from e


def latest(folder: str | os.PathLike[str]) -> Path | None:
  """The newest committed checkpoint, its arrays not looked at; interrupted and damaged ones are skipped with a message."""
  for path in stored.committed(stored.absolute(folder)):
    try:
      stored.read_manifest(path)
      return path
    except DamagedError as e:
      _log.warning('%s Trying the checkpoint before it.', e)
  return None


def restore(folder: str | os.PathLike[str], like: Tree) -> Restored[Tree] | None:
  """The newest checkpoint whose every leaf has its hash; None when there is none yet.

  `like` gives structure, shapes, dtypes and, where its leaves have them, shardings: any, whatever the checkpoint was saved from.
  Interrupted and damaged checkpoints are skipped with a message. Raises CheckpointError when `like` does not fit, or when all
  checkpoints are damaged.
  """
  damaged = []
  for path in stored.committed(stored.absolute(folder)):
    try:
      return load(path, like)
    except DamagedError as e:
      _log.warning('%s Trying the checkpoint before it.', e)
      damaged.append(str(e))
  if damaged:
    raise CheckpointError(' '.join(damaged) + f' No checkpoint is left; delete {folder} to start this stage again.')
  return None


def load(path: str | os.PathLike[str], like: Tree) -> Restored[Tree]:
  """One checkpoint. Raises CheckpointError naming the tensor when `like` does not fit or a leaf is damaged."""
  path = stored.absolute(path)
  body = stored.read_manifest(path)
  if body is None:
    raise CheckpointError(f'{path} is no complete checkpoint: it has no {manifest.NAME}.')
  wanted = leaves.flatten(like)
  differs = leaves.difference(body.leaves, wanted)
  if differs:
    raise CheckpointError(f'{path} is of another model or optimizer: {differs}.')
  abstract = {name: _abstract(leaf) for name, leaf in wanted.items()}
  try:
    with ocp.StandardCheckpointer() as orbax:
      arrays = orbax.restore(path / ARRAYS, abstract)
  except Exception as e:  # whatever TensorStore makes of damaged bytes
    raise stored.unreadable(path, e) from e
  stored.check(path, body.leaves, arrays)
  return Restored(leaves.unflatten(arrays, like), body.step, body.policy_version, body.position, path)


def params_hash(tree: Any) -> str:
  """One hash of a pytree's names, dtypes, shapes and bytes; the order in which leaves were inserted does not count."""
  return manifest.sha256_json({name: leaf.sha256 for name, leaf in leaves.describe(leaves.flatten(tree)).items()})


def _abstract(leaf: Any) -> Any:
  """What Orbax is to restore a leaf as; a NumPy array where `like` has one."""
  if isinstance(leaf, np.ndarray):
    return leaf
  # Without a sharding of its own it comes to one device, and not to the devices that it was saved from: they may not be here.
  place = getattr(leaf, 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)


def _is_first() -> bool:
  """One process writes what all have in common."""
  return jax.process_index() == 0


def _sync_tree(path: Path) -> None:
  """Forces a checkpoint to the disk before its manifest says that it is there; an object store has no such step."""
  if places.is_remote(path):
    return
  for entry in sorted(path.rglob('*')):
    manifest.sync(entry)
  manifest.sync(path)
  manifest.sync(path.parent)


def _not_written(path: Path, cause: Exception) -> str:
  return (
    f'{path} cannot be saved ({type(cause).__name__}: {str(cause)[:200]}). Make room or give permission, then run the same command again.'
  )
