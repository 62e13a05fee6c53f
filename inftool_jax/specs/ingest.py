"""Files and folders to `Tool`s.

Order: paths as given; a folder's files by their path below it (sorted as text, part by part); within a file the document's own
order. Names are given in that order, first come first served, so the same input always yields the same tools, and a file sorted
behind all others changes no name before it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from inftool_jax.errors import SpecError
from inftool_jax.specs import documents, functions, mcp, naming, openapi, python, rapidapi
from inftool_jax.specs.documents import Document
from inftool_jax.specs.naming import Names
from inftool_jax.specs.operations import Operation, Problem, Reading
from inftool_jax.specs.splitting import SPLITS
from inftool_jax.types import JSON, Origin, Tool

_SKIPPED = frozenset({'manifest.json', 'splits.json'})
_SKIPPED_STEMS = frozenset({'readme', 'license', 'licence', 'notice'})
_EXPECTED = (
  'OpenAPI 3.x or Swagger 2.0 (YAML or JSON), RapidAPI rows, MCP tools/list dumps, OpenAI or Anthropic function lists, or Python source')
MAX_OPERATIONS = 100_000  # of one file; what follows is left out and told
_SPREAD = frozenset({'RapidAPI', 'MCP'})  # their rows and dumps name their server, which may be spread over files


@dataclasses.dataclass(frozen=True)
class Counts:
  """What one file gave. `format` is '' for a file that is no specification; `merged` are definitions told again, word for word.

  `skipped` are the places that should hold an operation and became none; the other problems are simplifications.
  """

  file: str
  format: str
  servers: int
  tools: int
  problems: int
  merged: int
  skipped: int


@dataclasses.dataclass(frozen=True)
class Ingest:
  """All tools of some paths. `splits` is what their `splits.json` files state: server -> train, dev or test."""

  tools: tuple[Tool, ...]
  read: tuple[Counts, ...]
  problems: tuple[Problem, ...]
  splits: Mapping[str, str]


def one_server(tools: Sequence[Tool], name: str) -> tuple[str, list[Tool]]:
  """The server of this name, or the only one there is, and its tools. Raises SpecError when it is not clear which one is meant."""
  servers = list(dict.fromkeys(t.server for t in tools))
  if name not in servers and (name or len(servers) > 1):
    said = f'there is no server {name!r}' if name else f'the specifications hold {len(servers)} servers'
    raise SpecError(f'{said}; choose one with --server=NAME: {", ".join(servers[:20])}{", ..." if len(servers) > 20 else ""}')
  chosen = name or servers[0]
  return chosen, [t for t in tools if t.server == chosen]


def bundled_path() -> Path:
  """The folder of the specifications that come with the package."""
  return Path(__file__).parent / 'data' / 'specifications'


def load(
  paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
  dumps: Mapping[str, JSON] | None = None,
  mapping: Callable[[Callable[[Path], Reading], Sequence[Path]], Iterable[Reading]] = map,
) -> Ingest:
  """Reads every specification in `paths`: files, folders with all below them, Python modules as `python:package.module`.

  `dumps` are those of live MCP servers as `live.fetch` gives them, by the name they were fetched under; they follow the files.
  `mapping` applies the reader of one file to all of them in order, as `map` does; one that keeps what it read, or reads in several
  processes, may stand in for it. A file that is no specification, or a part of one that cannot be read, is left out and told in
  `problems`. Raises SpecError for a path that does not exist or cannot be read, for a folder without any specification, and when
  there is no tool in all of them.
  """
  given = [str(paths)] if isinstance(paths, (str, os.PathLike)) else [str(p) for p in paths]
  dumps = dumps or {}
  if not given and not dumps:
    raise SpecError(f'no specification paths are given; name at least one file or folder with {_EXPECTED}')
  gathering = _Gathering()
  seen: set[Path] = set()
  shared: set[str] = set()  # roots with files that are read under a root before them
  found: dict[str, list[tuple[Path, str]]] = {}  # root -> its files that no root before it has
  for root in dict.fromkeys(given):
    files = list(_files(root, gathering))
    found[root] = [(path, name) for path, name in files if path.resolve() not in seen]
    if len(found[root]) < len(files):
      shared.add(root)
    seen.update(path.resolve() for path, _ in files)
  readings = iter(mapping(read, [path for files in found.values() for path, _ in files]))
  for root, files in found.items():
    before = len(gathering.tools)
    for path, name in files:
      reading = next(readings)
      gathering.add(reading, name, reading.format if reading.format in _SPREAD else str(path.resolve()))
    if os.path.isdir(root) and len(gathering.tools) == before and root not in shared:
      raise SpecError(f'{root}: holds no specification{gathering.first_reason()}; put {_EXPECTED} there or name another folder')
  for name, dump in dumps.items():
    reading = mcp.read([Document('', dump)], name)
    told = tuple(('', reason) for reason in dump.get('problems', ()))
    gathering.add(_limited(dataclasses.replace(reading, problems=(*told, *reading.problems))), name, name)
  if not gathering.tools:
    raise SpecError(f'{", ".join([*given, *dumps])}: no tool could be read{gathering.first_reason()}; expected {_EXPECTED}')
  return gathering.result()


def files(paths: Sequence[str]) -> tuple[list[tuple[Path, str]], Mapping[str, str]]:
  """(file, its name) of all that `load` would read, in order, and the splits they state. Raises SpecError as `load` does."""
  gathering = _Gathering()
  return [entry for root in dict.fromkeys(paths) for entry in _files(root, gathering)], gathering.splits


def read(path: Path) -> Reading:
  """One file by the reader of its format; whatever is wrong with it is a problem of the reading."""
  try:
    return _limited(_read(path))
  except OSError as e:
    return Reading('', (), (('', f'cannot be read ({e.strerror})'),))
  except ValueError as e:
    return Reading('', (), (('', f'{e}'),))
  except RecursionError:  # YAML aliases can make a document that contains itself
    return Reading('', (), (('', 'is nested too deeply'),))


def _limited(reading: Reading) -> Reading:
  if len(reading.operations) <= MAX_OPERATIONS:
    return reading
  over = (reading.operations[MAX_OPERATIONS].pointer, f'is one operation more than {MAX_OPERATIONS:,}; it and all behind it are left out')
  return dataclasses.replace(reading, operations=reading.operations[:MAX_OPERATIONS], problems=(*reading.problems, over))


def _files(given: str, gathering: _Gathering) -> Iterator[tuple[Path, str]]:
  """(file, its name below `given`) in order. Raises SpecError for a root that is not there or not readable."""
  if given.startswith(python.PREFIX):
    try:
      yield python.locate(given.removeprefix(python.PREFIX)), given
    except ValueError as e:
      raise SpecError(f'{given}: {e}; name a module as import does') from e
    return
  root = Path(given)
  try:
    root.stat()
  except FileNotFoundError as e:
    raise SpecError(f'{root}: does not exist; give a file or folder of specifications') from e
  except OSError as e:
    raise SpecError(f'{root}: cannot be read ({e.strerror}); check the path and its permissions') from e
  if root.is_dir():
    yield from _below(root, root, gathering)
  elif root.is_file():
    if not os.access(root, os.R_OK):
      raise SpecError(f'{root}: cannot be read (permission denied); check its permissions')
    yield root, root.name
  else:
    raise SpecError(f'{root}: is neither a file nor a folder; give a file or folder of specifications')


def _below(folder: Path, root: Path, gathering: _Gathering) -> Iterator[tuple[Path, str]]:
  try:
    entries = sorted(folder.iterdir())
  except OSError as e:
    if folder == root:
      raise SpecError(f'{folder}: cannot be read ({e.strerror}); check its permissions') from e
    gathering.report(str(folder.relative_to(root)), '', f'cannot be read ({e.strerror})')
    return
  for entry in entries:
    if entry.name.startswith('.'):
      continue
    if entry.is_dir():
      if not entry.is_symlink():  # a link may lead round in a circle
        yield from _below(entry, root, gathering)
    elif entry.name.lower() == 'splits.json':
      gathering.add_splits(entry)
    elif entry.name.lower() not in _SKIPPED and entry.name.lower().split('.')[0] not in _SKIPPED_STEMS:
      yield entry, str(entry.relative_to(root))


class _Gathering:
  """Tools, counts and problems as files are read, and the names already given."""

  def __init__(self) -> None:
    self.tools: list[Tool] = []
    self._read: list[Counts] = []
    self._problems: list[Problem] = []
    self.splits: dict[str, str] = {}
    self._names = Names()
    self._owners: dict[str, str] = {}  # server -> the source it belongs to
    self._servers: dict[tuple[str, str], str] = {}  # (source, server as the document names it) -> server

  def add(self, reading: Reading, file: str, source: str) -> None:
    """Takes over one file's reading. Servers of one name are one server within a `source`, and two in different ones."""
    problems_before = len(self._problems)
    for pointer, reason in reading.problems:
      self.report(file, pointer, reason)
    tools = [self._tool(operation, file, source) for operation in reading.operations]
    self.tools += tools
    servers = len({t.server for t in tools})
    merged = sum(len(operation.repeats) for operation in reading.operations)
    problems = len(self._problems) - problems_before
    self._read.append(Counts(file, reading.format, servers, len(tools), problems, merged, _skipped(reading)))

  def report(self, file: str, pointer: str, reason: str) -> None:
    self._problems.append(Problem(file, pointer, reason))

  def first_reason(self) -> str:
    return f' ({self._problems[0]})' if self._problems else ''

  def result(self) -> Ingest:
    servers = {t.server for t in self.tools}
    for server in self.splits:
      if server not in servers:
        self.report('splits.json', f'/{server}', 'names a server that is not among the specifications')
    splits = {server: split for server, split in self.splits.items() if server in servers}
    return Ingest(tuple(self.tools), tuple(self._read), tuple(self._problems), splits)

  def add_splits(self, path: Path) -> None:
    """Raises SpecError for anything but an object server -> train, dev or test: a held-out server must not slip through."""
    try:
      stated = documents.parse_json(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as e:
      raise SpecError(f'{path}: cannot be read as JSON ({e}); mend it or take it away') from e
    if not isinstance(stated, dict) or any(split not in SPLITS for split in stated.values()):
      raise SpecError(f'{path}: must map each server to one of {", ".join(SPLITS)}; mend it or take it away')
    self.splits.update({naming.slug(server, server): split for server, split in stated.items()})

  def _tool(self, operation: Operation, file: str, source: str) -> Tool:
    server = self._server(operation.server, source, Path(file).stem)
    origins = tuple(
      Origin(
        source=file, pointer=pointer, server=operation.server, domain=operation.domain, method=operation.method,
        path=operation.path, locations=operation.locations)
      for pointer in (operation.pointer, *operation.repeats))
    return Tool(
      name=self._names.claim(operation.name, server), description=operation.description, input_schema=operation.input_schema,
      output_schema=operation.output_schema, server=server, effect=operation.effect, lineage=origins)

  def _server(self, named: str, source: str, stem: str) -> str:
    """The server's final name: the document's, with the file's stem when another source has it, numbered at last."""
    if (source, named) not in self._servers:
      candidate, number = named, 1
      while candidate in self._owners:
        candidate = naming.slug(f'{named} {stem}' if number == 1 else f'{named} {stem} {number}')
        number += 1
      self._owners[candidate] = source
      self._servers[source, named] = candidate
    return self._servers[source, named]


def _skipped(reading: Reading) -> int:
  """Problems at places that are no operation's and in none; a Python function is never skipped, its pointers are lines."""
  if reading.format == 'Python':
    return 0
  pointers = {pointer for o in reading.operations for pointer in (o.pointer, *o.repeats)}
  return sum(bool(pointer) and not any(p in pointers for p in _prefixes(pointer)) for pointer, _ in reading.problems)


def _prefixes(pointer: str) -> Iterator[str]:
  while pointer:
    yield pointer
    pointer = pointer.rpartition('/')[0]


def _read(path: Path) -> Reading:
  """Raises OSError, or ValueError with the reason it is not a specification."""
  text = documents.text(path)
  if python.is_python(text):
    return python.read(text, path.parent.name if path.stem == '__init__' else path.stem)
  parts, problems = documents.parse(text)
  first = next((p.value for p in parts if _is_known(p.value)), parts[0].value)
  if openapi.is_openapi(first):
    if len(parts) > 1:
      raise ValueError('has OpenAPI documents on several lines; give each a file of its own')
    reading = openapi.read(first, path.stem)
  elif rapidapi.is_rapidapi(first):
    reading = rapidapi.read(parts)
  elif functions.is_functions(first):
    reading = functions.read(parts, path.stem)
  elif mcp.is_mcp(first):
    reading = mcp.read(parts, path.stem)
  else:
    raise ValueError(f'is not a specification; expected {_EXPECTED}')
  return dataclasses.replace(reading, problems=(*problems, *reading.problems))


def _is_known(value: JSON) -> bool:
  return openapi.is_openapi(value) or rapidapi.is_rapidapi(value) or functions.is_functions(value) or mcp.is_mcp(value)
