"""The leaves of a state: their names, the hash of their content, and whether two states have the same ones."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

Tree = TypeVar('Tree')
AT_ONCE = min(8, os.cpu_count() or 1)  # leaves hashed at the same time, each whole in host memory


@dataclasses.dataclass(frozen=True)
class Leaf:
  sha256: str  # of dtype, shape and bytes in row-major order: the same on every mesh
  shape: tuple[int, ...]
  dtype: str

  @property
  def size(self) -> int:
    """In bytes."""
    return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

  def __str__(self) -> str:
    return f'{self.dtype}[{", ".join(map(str, self.shape))}]'


def flatten(tree: Any) -> dict[str, Any]:
  """Leaf name, such as `params.layers.query`, -> leaf; plain numbers as arrays."""
  named = [(_name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
  leaves = dict(named)
  if len(leaves) != len(named):
    raise ValueError('two leaves of the state have the same name')
  return {name: np.asarray(leaf) if isinstance(leaf, (bool, int, float)) else leaf for name, leaf in leaves.items()}


def unflatten(arrays: Mapping[str, Any], like: Tree) -> Tree:
  """The inverse of `flatten` for a tree of the structure of `like`."""

  def pick(path: tuple[Any, ...], leaf: Any) -> Any:
    array = arrays[_name(path)]
    return type(leaf)(array) if isinstance(leaf, (bool, int, float)) else array

  return jax.tree_util.tree_map_with_path(pick, like)


def describe(arrays: Mapping[str, Any]) -> dict[str, Leaf]:
  """Shape, dtype and hash of each array, a few arrays at a time, wherever they lie.

  Every process of a run must call this with the same arrays: those that are divided over processes are gathered on each, one by one.
  """
  with concurrent.futures.ThreadPoolExecutor(AT_ONCE, 'hash') as pool:
    found = {name: pool.submit(_leaf, array) for name, array in arrays.items() if not _on_several_processes(array)}
    gathered = {name: _leaf(multihost_utils.process_allgather(array, tiled=True)) for name, array in arrays.items() if name not in found}
    return {name: gathered[name] if name in gathered else found[name].result() for name in arrays}


def difference(saved: Mapping[str, Leaf], wanted: Mapping[str, Any]) -> str:
  """The first tensor whose presence, shape or dtype differs, in the order of `wanted`, as a sentence; '' if there is none."""
  told = []
  for name in [*wanted, *sorted(saved.keys() - wanted.keys())]:
    there = str(saved[name]) if name in saved else 'missing'
    here = str(Leaf('', tuple(wanted[name].shape), np.dtype(wanted[name].dtype).name)) if name in wanted else 'not expected'
    if there != here:
      told.append(f'tensor {name} is {there} there and {here} here')
  return '; '.join([told[0], *([f'{len(told) - 1} more differ'] if told[1:] else [])]) if told else ''


def _name(path: tuple[Any, ...]) -> str:
  return jax.tree_util.keystr(path, simple=True, separator='.')


def _on_several_processes(array: Any) -> bool:
  return isinstance(array, jax.Array) and not array.is_fully_addressable and not array.is_fully_replicated


def _leaf(array: Any) -> Leaf:
  host = _on_host(array)
  digest = hashlib.sha256(f'{host.dtype.name}{host.shape}'.encode())
  digest.update(np.ascontiguousarray(host).reshape(-1).view(np.uint8).data)
  return Leaf(digest.hexdigest(), host.shape, host.dtype.name)


def _on_host(array: Any) -> np.ndarray:
  """The whole array. One that is divided is put together from its parts, because JAX would keep what it puts together itself."""
  if not isinstance(array, jax.Array) or array.is_fully_replicated:
    return np.asarray(array)
  whole = np.empty(array.shape, array.dtype)
  for shard in array.addressable_shards:
    if shard.replica_id == 0:
      whole[shard.index] = np.asarray(shard.data)
  return whole
