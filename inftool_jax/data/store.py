"""Records on disk: ArrayRecord shards of one JSON object a record, each shard with a content hash.

A dataset NAME in a folder is `NAME-00000-of-00002.array_record`, ... and `NAME.index.json`, which lists the shards and is
written last. The same records give the same bytes. Keys stay in the order they have in memory, because the order of a
tool's parameters is part of what the policy reads.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import json
import math
import os
import re
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, overload

from array_record.python import array_record_module

from inftool_jax import types
from inftool_jax.data import manifest, places
from inftool_jax.errors import StoreError

R = TypeVar('R')

_WRITE = 'group_size:1,zstd:3,max_parallelism:1'  # one record a chunk: random access reads no other record
_READ = 'readahead_buffer_size:0,max_parallelism:0'
_INDEX = '.index.json'
_READ_AT_ONCE = 64  # records held as bytes while iterating


@dataclasses.dataclass(frozen=True)
class Shard:
  file: str
  records: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class Dataset:
  """What `write` wrote."""

  name: str
  record: str  # class name
  shards: tuple[Shard, ...]

  @property
  def records(self) -> int:
    return sum(s.records for s in self.shards)

  @property
  def content_hash(self) -> str:
    return manifest.sha256_json(types.to_json(self))

  def files(self, folder: Path) -> tuple[Path, ...]:
    """All files of the dataset, for the stage's manifest."""
    return (*(folder / s.file for s in self.shards), folder / f'{self.name}{_INDEX}')


def encode(record: object) -> bytes:
  """One record as UTF-8 JSON. NaN in a dataclass's `tuple[float, ...]` (log-probabilities) becomes null.

  Text is ASCII with escapes, so that a lone surrogate in a model's text comes back as it was. An infinite number in a
  model's arguments is written as Python's json does, the one thing here that strict JSON does not know.
  """
  plain = _map_floats(type(record), types.to_json(record), lambda x: None if x is None or math.isnan(x) else x)
  return json.dumps(plain, separators=(',', ':')).encode()


def decode(cls: type[R], data: bytes) -> R:
  """The inverse of `encode`, for a dataclass or dict. Raises ValueError when `data` is no record of this class."""
  plain = _map_floats(cls, json.loads(data), lambda x: math.nan if x is None else x)
  return plain if cls is dict else types.from_json(cls, plain)


_Change = Callable[[float | None], float | None]


@functools.cache
def _fields(hint: typing.Any) -> dict[str, typing.Any] | None:
  """Field name -> type of a dataclass, None for another type."""
  return typing.get_type_hints(hint) if dataclasses.is_dataclass(hint) else None


def _map_floats(hint: typing.Any, value: types.JSON, change: _Change) -> types.JSON:
  """`value`, the JSON form of a `hint`, with `change` applied to the items of every `tuple[float, ...]` field in it."""
  if value is None:
    return None
  if hint == tuple[float, ...]:
    return [change(v) for v in value]
  fields = _fields(hint)
  if fields is not None:
    return {k: _map_floats(fields.get(k), v, change) for k, v in value.items()}
  arguments = typing.get_args(hint)
  if typing.get_origin(hint) is tuple and any(map(_holds_floats, arguments)):
    return [_map_floats(arguments[0], v, change) for v in value]
  if type(None) in arguments:
    return _map_floats(arguments[0], value, change)
  return value


@functools.cache
def _holds_floats(hint: typing.Any) -> bool:
  """Whether a dataclass has log-probabilities somewhere below it; most have none and need no walk."""
  if hint == tuple[float, ...]:
    return True
  return any(map(_holds_floats, (_fields(hint) or {}).values())) or any(map(_holds_floats, typing.get_args(hint)))


def write(folder: Path, records: Iterable[object], name: str, shard_size: int = 1024) -> Dataset:
  """Writes dataclasses (of one class) or dicts as the dataset `name`, in place of an earlier one of that name.

  All bytes are on the disk before the first rename. Raises StoreError when there is no room or no permission, and then
  an earlier dataset is as it was (in an object store it may be gone); ValueError for a bad name, shard size or mixed records.
  """
  if not re.fullmatch(r'[a-z][a-z0-9_]*', name) or shard_size < 1:
    raise ValueError(f'dataset name {name!r} must be lower-case words, shard size {shard_size} at least 1')
  try:
    with places.staged(places.place(folder), f'{name}{_INDEX}') as local:
      return _write(local, records, name, shard_size)
  except OSError as e:
    raise manifest.unwritable(places.place(folder) / f'{name}{_INDEX}', e) from e


def _write(folder: Path, records: Iterable[object], name: str, shard_size: int) -> Dataset:
  parts: list[tuple[Path, int]] = []
  index = folder / f'{name}{_INDEX}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    kinds: set[type] = set()
    for shard in _chunks(records, shard_size):
      kinds.update(map(type, shard))
      parts.append((folder / f'.{name}-{len(parts):05d}.tmp', len(shard)))
      _write_shard(parts[-1][0], shard)
    if len(kinds) > 1:
      raise ValueError(f'dataset {name!r} mixes {sorted(k.__name__ for k in kinds)}')
    record = next(iter(kinds)).__name__ if kinds else ''
    return _publish(folder, name, record, parts)
  finally:
    for part in (*(p for p, _ in parts), manifest.temporary(index)):
      part.unlink(missing_ok=True)


def _chunks(records: Iterable[object], size: int) -> Iterator[list[object]]:
  """Lists of `size` records, the last one shorter; one empty list when there are none, for a dataset has a shard."""
  iterator = iter(records)
  chunk = list(itertools.islice(iterator, size))
  yield chunk
  while chunk := list(itertools.islice(iterator, size)):
    yield chunk


def _write_shard(path: Path, records: Sequence[object]) -> None:
  encoded = [encode(r) for r in records]  # before the file exists: a record that cannot be encoded leaves no file
  try:
    writer = array_record_module.ArrayRecordWriter(os.fspath(path), _WRITE)
    for data in encoded:
      writer.write(data)
    writer.close()
  except RuntimeError as e:  # its only exception, for a full disk too
    raise OSError(str(e)) from e
  manifest.sync(path)


def _publish(folder: Path, name: str, record: str, parts: Sequence[tuple[Path, int]]) -> Dataset:
  """Moves the parts to their names. The old index goes first: a crash in between leaves no dataset, not a mixed one."""
  names = [f'{name}-{i:05d}-of-{len(parts):05d}.array_record' for i in range(len(parts))]
  shards = tuple(Shard(n, count, manifest.sha256_file(part)) for n, (part, count) in zip(names, parts, strict=True))
  dataset = Dataset(name, record, shards)
  index = folder / f'{name}{_INDEX}'
  new_index = manifest.temporary(index)
  manifest.write_synced(new_index, manifest.signed(types.to_json(dataset)))
  index.unlink(missing_ok=True)
  for shard_name, (part, _) in zip(names, parts, strict=True):
    os.replace(part, folder / shard_name)
  os.replace(new_index, index)
  manifest.sync(folder)
  for stale in sorted(folder.glob(f'{name}-?????-of-?????.array_record')):
    if stale.name not in names:
      stale.unlink()
  return dataset


def find(folder: Path, name: str = '') -> Dataset:
  """The index of the dataset `name`, or of the only one in `folder`. Raises StoreError when there is none."""
  folder = places.place(folder)
  if not name:
    names = sorted(p.name.removesuffix(_INDEX) for p in folder.glob(f'*{_INDEX}'))
    if len(names) != 1:
      raise StoreError(f'{folder} holds {len(names)} datasets ({", ".join(names) or "none"}), and which one to read was not said.')
    name = names[0]
  path = folder / f'{name}{_INDEX}'
  body = manifest.read_signed(path)
  if body is None:
    raise StoreError(f'{path} is missing or incomplete: the dataset was not finished. Run the stage that writes it again.')
  return types.from_json(Dataset, body)


class Records(Sequence[R]):
  """The records of a dataset in order, decoded when they are asked for. Not for use by several threads."""

  def __init__(self, folder: Path, dataset: Dataset, cls: type[R]):
    """Raises StoreError naming the shard that is missing or damaged."""
    self.dataset = dataset
    self._temporary = tempfile.TemporaryDirectory() if places.is_remote(folder) else None  # as long as the records are read
    self._folder = _verified(folder, dataset, Path(self._temporary.name) if self._temporary else folder)
    self._cls = cls
    self._ends = tuple(itertools.accumulate(s.records for s in dataset.shards))
    self._readers: dict[int, array_record_module.ArrayRecordReader] = {}

  def __len__(self) -> int:
    return self.dataset.records

  @overload
  def __getitem__(self, index: int) -> R: ...
  @overload
  def __getitem__(self, index: slice) -> Sequence[R]: ...
  def __getitem__(self, index: int | slice) -> R | Sequence[R]:
    if isinstance(index, slice):
      return [self[i] for i in range(len(self))[index]]
    position = range(len(self))[index]  # negative indices, and the IndexError
    shard = bisect.bisect_right(self._ends, position)
    first = self._ends[shard] - self.dataset.shards[shard].records
    return self._decode(self._read(shard, position - first, position - first + 1)[0])

  def __iter__(self) -> Iterator[R]:
    return map(self._decode, self.encoded())

  def encoded(self) -> Iterator[bytes]:
    """The records as they are stored."""
    for shard, info in enumerate(self.dataset.shards):
      for start in range(0, info.records, _READ_AT_ONCE):
        yield from self._read(shard, start, min(start + _READ_AT_ONCE, info.records))

  def _read(self, shard: int, start: int, stop: int) -> list[bytes]:
    path = self._folder / self.dataset.shards[shard].file
    try:
      if shard not in self._readers:
        self._readers[shard] = array_record_module.ArrayRecordReader(os.fspath(path), _READ)
      return self._readers[shard].read(start, stop)
    except (RuntimeError, IndexError) as e:
      raise StoreError(f'{path} changed while it was read ({e}). Run the stage that writes it again.') from e

  def _decode(self, data: bytes) -> R:
    try:
      return decode(self._cls, data)
    except ValueError as e:
      raise StoreError(f'{self._folder / self.dataset.name}{_INDEX} does not list {self._cls.__name__} records ({e}).') from e


def read(folder: Path, cls: type[R], name: str = '') -> Records[R]:
  """The dataset `name` (or the only one in `folder`), every shard compared with its content hash first.

  Raises StoreError naming the file that is missing or damaged, or when the records are of another class.
  """
  folder = places.place(folder)
  dataset = find(folder, name)
  if dataset.record not in ('', cls.__name__):
    raise StoreError(f'{folder / dataset.name}{_INDEX} lists {dataset.record} records, not {cls.__name__}.')
  return Records(folder, dataset, cls)


def _verified(folder: Path, dataset: Dataset, into: Path) -> Path:
  """The folder in which every shard is on disk as it was written."""
  for shard in dataset.shards:
    path = folder / shard.file
    if not path.is_file():
      raise StoreError(f'{path} is missing. Delete the folder {folder} to have it made again.')
    local = places.fetched(folder, [shard.file], into)
    if manifest.sha256_file(local / shard.file) != shard.sha256:
      raise StoreError(f'{path} does not have the content that was written. Delete the folder {folder} to have it made again.')
  return into


def export_jsonl(folder: Path, path: Path, name: str = '') -> int:
  """Writes a dataset as one JSON object a line, for other programs. Returns the number of records.

  Raises StoreError when the dataset is damaged, or `path` cannot be written and then is as before.
  """
  folder, path = places.place(folder), Path(path)
  records = Records(folder, find(folder, name), dict)
  part = manifest.temporary(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(part, 'wb') as f:
      f.writelines(data + b'\n' for data in records.encoded())
    manifest.sync(part)
    os.replace(part, path)
    manifest.sync(path.parent)
  except OSError as e:
    part.unlink(missing_ok=True)
    raise manifest.unwritable(path, e) from e
  return len(records)
