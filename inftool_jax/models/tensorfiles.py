"""Folders of safetensors files: every header checked before any tensor is read, tensors read in blocks, files written whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from inftool_jax.errors import CheckpointError

SINGLE, INDEX = 'model.safetensors', 'model.safetensors.index.json'
DTYPES = {'BF16': np.dtype(ml_dtypes.bfloat16), 'F16': np.dtype(np.float16), 'F32': np.dtype(np.float32)}
BLOCK_BYTES = 32 << 20  # of a tensor that is in host memory at once


@dataclasses.dataclass(frozen=True)
class Stored:
  """A tensor in a file."""

  name: str
  file: pathlib.Path
  shape: tuple[int, ...]
  dtype: str  # as safetensors names it

  def __str__(self) -> str:
    return f'{self.file}: the tensor {self.name}'

  def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows) of the tensor, at most `BLOCK_BYTES` at a time. Raises CheckpointError if it cannot be read."""
    row_bytes = DTYPES[self.dtype].itemsize * math.prod(self.shape[1:])
    step = max(1, BLOCK_BYTES // row_bytes)
    for row in range(0, self.shape[0], step):
      # Opened anew for each block: the pages that a mapped file has touched count as this process's memory until it is closed.
      with _opened(self.file, [self.name]) as f:
        rows = f.get_slice(self.name)[row : min(row + step, self.shape[0])]
      yield row, rows


def scan(folder: pathlib.Path) -> dict[str, Stored]:
  """The tensors of the checkpoint in `folder` by name: one file, or several with an index.

  Raises:
    CheckpointError: a file is missing, incomplete or no safetensors file, or index and files disagree.
  """
  if (folder / SINGLE).exists():
    return header(folder / SINGLE)
  if not (folder / INDEX).exists():
    raise CheckpointError(f'{folder} holds neither {SINGLE} nor {INDEX}')
  where = _index(folder / INDEX)
  found: dict[str, Stored] = {}
  for file in sorted(set(where.values())):
    promised = [name for name, its in where.items() if its == file]
    if not file.is_file():
      raise CheckpointError(f'{file} is missing; {INDEX} promises {_some(promised)} in it')
    held = header(file, promised)
    if absent := [name for name in promised if name not in held]:
      raise CheckpointError(f'{file} does not hold {_some(absent)}, which {INDEX} promises')
    if unnamed := [name for name in held if name not in where]:
      raise CheckpointError(f'{file} holds {_some(unnamed)}, of which {INDEX} says nothing')
    found |= {name: held[name] for name in promised}
  return found


def header(file: pathlib.Path, promised: Sequence[str] = ()) -> dict[str, Stored]:
  with _opened(file, promised) as f:
    slices = {name: f.get_slice(name) for name in f.keys()}
    return {name: Stored(name, file, tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}


@contextlib.contextmanager
def _opened(file: pathlib.Path, promised: Sequence[str] = ()) -> Iterator[Any]:
  try:
    with safe_open(file, framework='numpy') as f:
      yield f
  except (SafetensorError, OSError) as e:
    lost = f' It should hold {_some(promised)}.' if promised else ''
    raise CheckpointError(f'{file} cannot be read ({e}); is the file complete?{lost}') from e


def _index(file: pathlib.Path) -> dict[str, pathlib.Path]:
  try:
    return {name: file.parent / its for name, its in json.loads(file.read_text())['weight_map'].items()}
  except (ValueError, KeyError, TypeError, AttributeError) as e:  # no JSON, no text, or another shape
    raise CheckpointError(f'{file} is not a safetensors index: {e!r}') from e


def _some(names: Sequence[str]) -> str:
  """The first name, and how many more there are."""
  more = f' and {len(names) - 1} more' if len(names) > 1 else ''
  return f'the tensor {names[0]}{more}'


@dataclasses.dataclass(frozen=True)
class Tensor:
  """A tensor to write; `fetch` gives its values when their turn comes."""

  name: str
  shape: tuple[int, ...]
  fetch: Callable[[], np.ndarray]


def write(folder: pathlib.Path, tensors: Sequence[Tensor], dtype: str, shard_bytes: int) -> None:
  """Writes the tensors as `dtype` (a key of `DTYPES`) into one file, or into several of at most `shard_bytes` with an index.

  Each file appears whole or not at all; files of an earlier checkpoint that this one has no use for are removed. One tensor at a
  time is in host memory. Raises CheckpointError if the disk does not take it, or a value is too large for F16.
  """
  shards = _shards(tensors, DTYPES[dtype].itemsize, shard_bytes)
  names = [SINGLE] if len(shards) == 1 else [f'model-{i:05d}-of-{len(shards):05d}.safetensors' for i in range(1, len(shards) + 1)]
  for name, shard in zip(names, shards):
    write_file(folder / name, shard, dtype)
  if len(shards) > 1:
    weight_map = {t.name: name for name, shard in zip(names, shards) for t in shard}
    total = sum(math.prod(t.shape) for t in tensors)
    index = {'metadata': {'total_size': total * DTYPES[dtype].itemsize, 'total_parameters': total}, 'weight_map': weight_map}
    write_json(folder / INDEX, index)
    names.append(INDEX)
  for stale in folder.glob('model*.safetensors*'):
    if stale.name not in names:
      stale.unlink()


def _shards(tensors: Sequence[Tensor], itemsize: int, limit: int) -> list[list[Tensor]]:
  shards: list[list[Tensor]] = [[]]
  filled = 0
  for tensor in tensors:
    size = math.prod(tensor.shape) * itemsize
    if shards[-1] and filled + size > limit:
      shards.append([])
      filled = 0
    shards[-1].append(tensor)
    filled += size
  return shards


def write_file(path: pathlib.Path, tensors: Sequence[Tensor], dtype: str) -> None:
  """The safetensors format: length of the header, header (names, shapes, offsets; a multiple of 8 bytes long), values."""
  header: dict[str, Any] = {'__metadata__': {'format': 'pt'}}
  end = 0
  for t in tensors:
    start, end = end, end + math.prod(t.shape) * DTYPES[dtype].itemsize
    header[t.name] = {'dtype': dtype, 'shape': list(t.shape), 'data_offsets': [start, end]}
  text = json.dumps(header, separators=(',', ':')).encode()
  text += b' ' * (-len(text) % 8)
  with replacing(path) as f:
    f.write(len(text).to_bytes(8, 'little') + text)
    for t in tensors:
      with np.errstate(over='ignore'):  # told below
        values = np.ascontiguousarray(t.fetch().astype(DTYPES[dtype], copy=False))
      if values.shape != t.shape:
        raise ValueError(f'{t.name} was announced as {t.shape} and is {values.shape}')
      if dtype == 'F16' and not np.isfinite(values).all():
        raise CheckpointError(f'{path}: the tensor {t.name} has values too large for float16; choose bfloat16 or float32')
      f.write(values.view(np.uint8).data)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Replaces `path` by readable JSON."""
  with replacing(path) as f:
    f.write((json.dumps(value, indent=2) + '\n').encode())


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """A file to write that takes the place of `path` when it is complete and on disk. Raises CheckpointError if it cannot be."""
  part = path.with_name(f'.{path.name}.tmp')
  try:
    with open(part, 'wb') as f:
      yield f
      f.flush()
      os.fsync(f.fileno())
    os.replace(part, path)
  except OSError as e:
    raise CheckpointError(f'{path} cannot be written ({e.strerror or e})') from e
  finally:
    part.unlink(missing_ok=True)
