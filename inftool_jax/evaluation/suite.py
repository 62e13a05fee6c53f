"""The frozen evaluation file: held-out tasks, written once, that all figures are measured on.

Gzipped JSONL: a header; the tools of the servers that the tasks play on, one a line, for a play simulates whole servers while a
task lists only what it offers; then the tasks, one a line. The header counts both and hashes what follows it, so that
a damaged file is never measured on. The file's own hash names its version in every result.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from inftool_jax import seeds, types
from inftool_jax.data import manifest
from inftool_jax.errors import StoreError
from inftool_jax.types import JSON, KINDS, Task, Tool

FORMAT = 'inftool evaluation 1'
REPAIR = 'Restore it from the release it came with, or make a new one with `python -m tools.freeze_evaluation`.'


@dataclasses.dataclass(frozen=True)
class Suite:
  tasks: tuple[Task, ...]
  hash: str  # sha256 of the uncompressed file
  tools: tuple[Tool, ...]  # of all servers that the tasks play on, complete; to be simulated with the value pool 'test'


@dataclasses.dataclass(frozen=True)
class Unit:
  """What is credited once: a task, or two twins."""

  tasks: tuple[Task, ...]
  server: str

  @property
  def id(self) -> str:
    return self.tasks[0].id

  @property
  def kind(self) -> str:
    return self.tasks[0].kind

  @property
  def hand_written(self) -> bool:
    return all(task.scenario.hand_written for task in self.tasks)


def bundled_path() -> Path:
  """The evaluation file that comes with the package."""
  return Path(__file__).parent / 'data' / 'test.jsonl.gz'


def load(path: Path | None = None) -> Suite:
  """The suite in `path`, the bundled one if None. Raises StoreError when it is missing, damaged or of another format."""
  path = bundled_path() if path is None else path
  try:
    data = gzip.decompress(path.read_bytes())
  except FileNotFoundError as e:
    raise StoreError(f'{path} does not exist. {REPAIR}') from e
  except (OSError, EOFError, zlib.error) as e:
    raise StoreError(f'{path} cannot be read ({e}). {REPAIR}') from e
  first, _, rest = data.partition(b'\n')
  header = _header(path, first)
  if header.get('sha256') != hashlib.sha256(rest).hexdigest():
    raise StoreError(f'{path} does not have the content that was frozen. {REPAIR}')
  try:
    lines = [json.loads(line) for line in rest.splitlines()]
    tools = tuple(types.from_json(Tool, line) for line in lines[: header['tools']])
    tasks = tuple(types.from_json(Task, line) for line in lines[header['tools'] :])
  except (ValueError, TypeError, KeyError) as e:
    raise StoreError(f'{path} is of another version of this program ({e}). {REPAIR}') from e
  return Suite(tasks, hashlib.sha256(data).hexdigest(), tools)


def _header(path: Path, line: bytes) -> dict[str, JSON]:
  try:
    header = json.loads(line)
  except ValueError:
    header = None
  if not isinstance(header, dict) or header.get('format') != FORMAT:
    raise StoreError(f'{path} is no evaluation file of format {FORMAT!r}. {REPAIR}')
  return header


def save(path: Path, tasks: Sequence[Task], tools: Sequence[Tool]) -> Suite:
  """Writes a suite, whole or not at all; equal tasks and tools give equal bytes. Raises ValueError when a task lacks its twin."""
  units(tasks)
  rest = b''.join(_line(types.to_json(item)) for item in (*tools, *tasks))
  digest = hashlib.sha256(rest).hexdigest()
  data = _line({'format': FORMAT, 'tools': len(tools), 'tasks': len(tasks), 'sha256': digest}) + rest
  manifest.write_bytes(path, _compressed(data))
  return Suite(tuple(tasks), hashlib.sha256(data).hexdigest(), tuple(tools))


def _line(value: JSON) -> bytes:
  return json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode() + b'\n'


def _compressed(data: bytes) -> bytes:
  """Without the time and the name that gzip would add."""
  buffer = io.BytesIO()
  with gzip.GzipFile(filename='', mode='wb', fileobj=buffer, mtime=0) as f:
    f.write(data)
  return buffer.getvalue()


def units(tasks: Sequence[Task]) -> tuple[Unit, ...]:
  """The tasks as units, in their order; a pair stands where its first twin does. Raises ValueError for half a pair or a double."""
  by_id = {task.id: task for task in tasks}
  if len(by_id) != len(tasks):
    raise ValueError('several tasks have one id')
  return tuple(_units(tasks, by_id))


def _units(tasks: Sequence[Task], by_id: dict[str, Task]) -> Iterator[Unit]:
  done: set[str] = set()
  for task in tasks:
    if task.id in done:
      continue
    if not task.twin:
      yield Unit((task,), server_of(task))
      continue
    twin = by_id.get(task.twin)
    if twin is None:
      raise ValueError(f'task {task.id} lacks its twin {task.twin}')
    done.add(twin.id)
    yield Unit((task, twin), server_of(task, twin))


def server_of(task: Task, twin: Task | None = None) -> str:
  """The server of the first gold call; of the twin's where nothing fits; without either, that of the first offered tool."""
  for one in (task, twin):
    if one is not None and one.gold:
      return next(tool.server for tool in one.tools if tool.name == one.gold[0].call.tool)
  return task.tools[0].server


def subset(suite: Suite, n_per_kind: int | None, seed: int) -> tuple[Task, ...]:
  """About `n_per_kind` units of each kind, twins together, in the suite's order; all of them for None or 0.

  Drawn at even distances from the units ordered by wording and server, so that hand-written utterances and every server
  have the share they have in the whole; which of a server's units are drawn depends on `seed`.
  """
  if not n_per_kind:
    return suite.tasks
  if n_per_kind < 0:
    raise ValueError(f'n_per_kind={n_per_kind} must be 0 (all) or more')
  whole = units(suite.tasks)
  chosen: set[str] = set()
  for kind in KINDS:
    drawn = _evenly([unit for unit in whole if unit.kind == kind], n_per_kind, seed, kind)
    chosen |= {task.id for unit in drawn for task in unit.tasks}
  return tuple(task for task in suite.tasks if task.id in chosen)


def _evenly(group: Sequence[Unit], n: int, seed: int, kind: str) -> list[Unit]:
  if n >= len(group):
    return list(group)
  ordered = sorted(
    group, key=lambda u: (u.hand_written, seeds.derive(seed, 'server', kind, u.server), u.server, seeds.derive(seed, 'unit', u.id), u.id)
  )
  start = seeds.rng(seed, 'start', kind).random()
  return [ordered[int((i + start) * len(group) / n)] for i in range(n)]
