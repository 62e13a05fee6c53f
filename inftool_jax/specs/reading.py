"""Reads many files in several processes and keeps what they gave, by content: a stand-in for `map` in `ingest.load`.

A kept reading is used when file and readers are byte for byte what they were. A damaged one is made again.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from inftool_jax.specs.operations import Operation, Reading

Read = Callable[[Path], Reading]


@functools.cache
def version() -> str:
  """Hash of the readers' own source."""
  files = sorted(Path(__file__).parent.glob('*.py'))
  return hashlib.sha256(b'\0'.join(f.name.encode() + b'\0' + f.read_bytes() for f in files)).hexdigest()


def key(path: Path) -> str:
  """What a file's reading depends on: its content, its name (a server may be called after it) and the readers."""
  digest = hashlib.sha256(f'{version()}\0{path.parent.name if path.stem == "__init__" else path.stem}\0'.encode())
  try:
    if path.is_file():
      with open(path, 'rb') as f:
        while part := f.read(1 << 20):
          digest.update(part)
  except OSError:
    pass  # the reader will tell
  return digest.hexdigest()


class Reader:
  """`folder` holds the kept readings, None for none. `done` is called for each file."""

  def __init__(self, folder: Path | None, processes: int, done: Callable[[], None]) -> None:
    self._folder, self._processes, self._done = folder, processes, done

  def __call__(self, read: Read, paths: Sequence[Path]) -> Iterator[Reading]:
    keys = {path: key(path) for path in paths}
    kept = {path: reading for path in paths if (reading := self._kept(keys[path])) is not None}
    for _ in kept:
      self._done()
    fresh = dict(self._read(read, [path for path in paths if path not in kept]))
    for path, reading in fresh.items():
      self._keep(keys[path], reading)
    for path in paths:
      yield kept[path] if path in kept else fresh[path]

  def _read(self, read: Read, paths: Sequence[Path]) -> Iterator[tuple[Path, Reading]]:
    if not paths:
      return
    lost = []
    with self._pool(min(self._processes, len(paths))) as pool:
      largest_first = sorted(paths, key=_size, reverse=True)  # so that no process is left with a long one at the end
      futures = {pool.submit(read, path): path for path in largest_first}
      for future in concurrent.futures.as_completed(futures):
        try:
          yield futures[future], future.result()
          self._done()
        except BrokenProcessPool:  # one file was too much for its process; all that were open are lost with it
          lost.append(futures[future])
    for path in lost:
      with self._pool(1) as pool:
        try:
          yield path, pool.submit(read, path).result()
        except BrokenProcessPool:
          yield path, Reading('', (), (('', 'cannot be read (the process that read it died)'),))
        self._done()

  def _pool(self, processes: int) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context('spawn'))

  def _kept(self, name: str) -> Reading | None:
    if self._folder is None:
      return None
    try:
      digest, _, text = (self._folder / f'{name}.json').read_bytes().partition(b'\n')
    except OSError:
      return None
    if hashlib.sha256(text).hexdigest().encode() != digest:
      return None
    data = json.loads(text)
    operations = tuple(Operation(**{**o, 'repeats': tuple(o['repeats'])}) for o in data['operations'])
    return Reading(data['format'], operations, tuple((pointer, reason) for pointer, reason in data['problems']))

  def _keep(self, name: str, reading: Reading) -> None:
    if self._folder is None or not reading.format:  # what could not be read may be readable next time
      return
    data = {'format': reading.format, 'operations': [vars(o) for o in reading.operations], 'problems': reading.problems}
    text = json.dumps(data).encode()
    self._folder.mkdir(parents=True, exist_ok=True)
    part = self._folder / f'{name}.{os.getpid()}.partial'
    part.write_bytes(hashlib.sha256(text).hexdigest().encode() + b'\n' + text)
    part.replace(self._folder / f'{name}.json')


def _size(path: Path) -> int:
  try:
    return path.stat().st_size
  except OSError:
    return 0
