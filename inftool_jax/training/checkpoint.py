"""Checkpoints: Orbax writes the arrays, we hash every leaf and commit by a manifest that is written last.

    FOLDER/step_00000012/arrays/          Orbax, one array per leaf of the state
    FOLDER/step_00000012/manifest.json    hash, shape and dtype of each leaf; policy version; position of the loop

A step folder without its manifest was interrupted and is passed over. Orbax restores a flipped bit silently; a leaf
whose bytes do not have their hash is not restored here, the checkpoint before is.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from inftool_jax import types
from inftool_jax.data import manifest
from inftool_jax.errors import CheckpointError, StoreError

Tree = TypeVar('Tree')

_STEP = re.compile(r'step_(\d{8})')
_ARRAYS = 'arrays'
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Leaf:
  sha256: str  # of dtype, shape and bytes in row-major order
  shape: tuple[int, ...]
  dtype: str


@dataclasses.dataclass(frozen=True)
class Manifest:
  step: int
  policy_version: int
  position: types.JSON  # where the loop goes on: any JSON value
  leaves: Mapping[str, Leaf]


@dataclasses.dataclass(frozen=True)
class Restored(Generic[Tree]):
  state: Tree
  step: int
  policy_version: int
  position: types.JSON
  path: Path


class Checkpointer:
  """Saves states under `folder` in the background, one at a time, and keeps the `keep` newest.

  Use as a context manager, or call `close`: only then is the last save known to be complete.
  """

  def __init__(self, folder: Path, keep: int = 2):
    if keep < 1:
      raise ValueError(f'keep must be at least 1, not {keep}')
    self._folder = Path(folder).absolute()
    self._keep = keep
    self._orbax = ocp.StandardCheckpointer()
    self._committer = concurrent.futures.ThreadPoolExecutor(1, 'checkpoint')
    self._pending: concurrent.futures.Future[None] | None = None

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def save(self, step: int, state: Any, policy_version: int, position: types.JSON) -> None:
    """Starts saving `state` (a pytree of arrays and numbers, all on this process's devices, whole or divided over them).

    Returns once the arrays are copied, so that the caller may donate them. A checkpoint of this step is replaced: it is
    there when it was found damaged and the run came by again. Raises CheckpointError when the save before failed.
    """
    self.wait()
    path = self._folder / f'step_{step:08d}'
    arrays = _flatten(state)
    leaves = {name: _leaf(name, array) for name, array in arrays.items()}
    try:
      path.mkdir(parents=True, exist_ok=True)
      (path / manifest.NAME).unlink(missing_ok=True)
      self._orbax.save(path / _ARRAYS, arrays, force=True)
    except Exception as e:  # Orbax and TensorStore raise many types; all of them mean that nothing was saved
      raise CheckpointError(_not_written(path, e)) from e
    self._pending = self._committer.submit(self._commit, path, Manifest(step, policy_version, position, leaves))

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
      self._orbax.wait_until_finished()
      _sync_tree(path)
      manifest.write_bytes(path / manifest.NAME, manifest.signed(types.to_json(body)))
      _prune(self._folder, self._keep)
    except Exception as e:  # raised again in `wait`, with the path
      raise CheckpointError(_not_written(path, e)) from e


def latest(folder: Path) -> Path | None:
  """The newest committed checkpoint, its arrays not looked at; interrupted and damaged ones are skipped with a message."""
  for path in _committed(Path(folder)):
    try:
      _read_manifest(path)
      return path
    except _DamagedError as e:
      _log.warning('%s Trying the checkpoint before it.', e)
  return None


def restore(folder: Path, like: Tree) -> Restored[Tree] | None:
  """The newest checkpoint whose every leaf has its hash; None when there is none yet.

  `like` gives structure, shapes, dtypes and, where its leaves have them, shardings: any, whatever the checkpoint was saved from.
  Interrupted and damaged checkpoints are skipped with a message. Raises CheckpointError when `like` does not fit, or when all
  checkpoints are damaged.
  """
  damaged = []
  for path in _committed(Path(folder)):
    try:
      return load(path, like)
    except _DamagedError as e:
      _log.warning('%s Trying the checkpoint before it.', e)
      damaged.append(str(e))
  if damaged:
    raise CheckpointError(' '.join(damaged) + f' No checkpoint is left; delete {folder} to start this stage again.')
  return None


def load(path: Path, like: Tree) -> Restored[Tree]:
  """One checkpoint. Raises CheckpointError naming the tensor when `like` does not fit or a leaf is damaged."""
  path = Path(path).absolute()
  body = _read_manifest(path)
  if body is None:
    raise CheckpointError(f'{path} is no complete checkpoint: it has no {manifest.NAME}.')
  wanted = _flatten(like)
  _check_fit(path, body, wanted)
  abstract = {name: _abstract(leaf) for name, leaf in wanted.items()}
  try:
    with ocp.StandardCheckpointer() as orbax:
      arrays = orbax.restore(path / _ARRAYS, abstract)
  except Exception as e:  # whatever TensorStore makes of damaged bytes
    raise _DamagedError(f'{path} cannot be read ({type(e).__name__}: {str(e)[:200]}).') from e
  for name, leaf in body.leaves.items():
    if _leaf(name, arrays[name]).sha256 != leaf.sha256:
      raise _DamagedError(f'{path}: tensor {name} does not have the content that was saved.')
  return Restored(_unflatten(arrays, like), body.step, body.policy_version, body.position, path)


def params_hash(tree: Any) -> str:
  """One hash of a pytree's names, dtypes, shapes and bytes; the order in which leaves were inserted does not count."""
  return manifest.sha256_json({name: _leaf(name, array).sha256 for name, array in _flatten(tree).items()})


class _DamagedError(CheckpointError):
  """A checkpoint whose bytes are not what was saved; an older one may do."""


def _flatten(tree: Any) -> dict[str, Any]:
  """Leaf name, such as `params.layers.query`, -> leaf."""
  named = [(jax.tree_util.keystr(path, simple=True, separator='.'), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
  leaves = dict(named)
  if len(leaves) != len(named):
    raise ValueError('two leaves of the state have the same name')
  return {name: np.asarray(leaf) if isinstance(leaf, (bool, int, float)) else leaf for name, leaf in leaves.items()}


def _unflatten(arrays: Mapping[str, Any], like: Tree) -> Tree:
  def pick(path: tuple[Any, ...], leaf: Any) -> Any:
    array = arrays[jax.tree_util.keystr(path, simple=True, separator='.')]
    return type(leaf)(array) if isinstance(leaf, (bool, int, float)) else array

  return jax.tree_util.tree_map_with_path(pick, like)


def _abstract(leaf: Any) -> Any:
  """What Orbax is to restore a leaf as; a NumPy array where `like` has one."""
  if isinstance(leaf, np.ndarray):
    return leaf
  # Without a sharding of its own it comes to one device, and not to the devices that it was saved from: they may not be here.
  place = getattr(leaf, 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)


def _leaf(name: str, array: Any) -> Leaf:
  if isinstance(array, jax.Array) and not array.is_fully_addressable:
    raise CheckpointError(f'tensor {name} lies on several processes; gather it, or save from one process.')
  host = np.asarray(jax.device_get(array))
  digest = hashlib.sha256(f'{host.dtype.name}{host.shape}'.encode())
  digest.update(np.ascontiguousarray(host).reshape(-1).view(np.uint8).data)
  return Leaf(digest.hexdigest(), host.shape, host.dtype.name)


def _check_fit(path: Path, body: Manifest, wanted: Mapping[str, Any]) -> None:
  missing = sorted(wanted.keys() - body.leaves.keys())
  unknown = sorted(body.leaves.keys() - wanted.keys())
  if missing or unknown:
    raise CheckpointError(f'{path} is of another model or optimizer: it lacks {missing[:3]} and has {unknown[:3]} besides.')
  for name, leaf in body.leaves.items():
    shape, dtype = tuple(wanted[name].shape), np.dtype(wanted[name].dtype).name
    if (shape, dtype) != (leaf.shape, leaf.dtype):
      raise CheckpointError(f'{path}: tensor {name} is {leaf.dtype}{list(leaf.shape)}, but {dtype}{list(shape)} is expected.')


def _read_manifest(path: Path) -> Manifest | None:
  try:
    body = manifest.read_signed(path / manifest.NAME)
  except StoreError as e:
    raise _DamagedError(f'{path / manifest.NAME} is not as it was written.') from e
  return None if body is None else types.from_json(Manifest, body)


def _committed(folder: Path) -> Iterator[Path]:
  """Newest first, those with a whole manifest."""
  for path in sorted(folder.glob('step_*'), reverse=True):
    if not _STEP.fullmatch(path.name):
      continue
    if manifest.is_whole(path / manifest.NAME):
      yield path
    else:
      _log.warning('%s was interrupted before it was complete; skipped.', path)


def _prune(folder: Path, keep: int) -> None:
  """Removes all but the newest `keep` committed checkpoints, and interrupted ones older than the newest."""
  steps = sorted(p for p in folder.glob('step_*') if _STEP.fullmatch(p.name))
  committed = [p for p in steps if manifest.is_whole(p / manifest.NAME)]
  kept = frozenset(committed[-keep:])
  for path in steps:
    if path in kept or path > committed[-1]:
      continue
    (path / manifest.NAME).unlink(missing_ok=True)  # first, so that a crash leaves an interrupted one, not a damaged one
    shutil.rmtree(path)


def _sync_tree(path: Path) -> None:
  """Forces a checkpoint to the disk before its manifest says that it is there."""
  for entry in sorted(path.rglob('*')):
    manifest.sync(entry)
  manifest.sync(path)
  manifest.sync(path.parent)


def _not_written(path: Path, cause: Exception) -> str:
  return (
    f'{path} cannot be saved ({type(cause).__name__}: {str(cause)[:200]}). Make room or give permission, then run the same command again.'
  )
