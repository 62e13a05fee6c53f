"""The house stands: a room imports only from rooms below it, and the rooms of language know nothing of arrays.

Read from the source, nothing is imported: a violation is found wherever it hides.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = 'inftool_jax'
ROOT = Path(__file__).parent.parent / PACKAGE
LAYERS = (  # top to bottom; a room imports from itself and from layers below its own
  {'main'},
  {'loop'},
  {'evaluation'},  # it plans probes and expansions, and its figures are the report's
  {'synthesis', 'training', 'report'},
  {'play'},
  {'agents', 'servers', 'sampling', 'data'},
  {'rewards', 'chat', 'models', 'toolbox'},
  {'specs', 'parallel'},
  {'types', 'errors', 'seeds'},
)
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}
SETTINGS = 'settings'  # stands aside: anyone may read it, it knows options of training, decoder and mesh, the vocabulary, servers' names
SETTINGS_MAY_IMPORT = {
  'types', 'errors', 'specs.sources', 'training.keeping', 'training.objectives', 'training.optimizer', 'models.config', 'models.lora',
  'models.published', 'parallel.mesh',
}  # fmt: skip

WITHOUT_JAX = {'types', 'errors', 'seeds', 'specs', 'toolbox', 'servers', 'agents', 'chat', 'rewards', 'play', 'synthesis', 'report'}
ARRAYS = {'jax', 'jaxlib', 'flax', 'optax', 'orbax'}
ANYWHERE_JAX_RUNS = {'models', 'parallel', 'sampling', 'training'}
THEIR_NEEDS = ARRAYS | {'numpy', 'ml_dtypes', 'safetensors'}
LOADED_WHEN_USED = {'transformers', 'tokenizers', 'mcp', 'sklearn', 'matplotlib'}


@dataclasses.dataclass(frozen=True)
class Import:
  """One import statement's target, as a dotted name that may end in an attribute."""

  file: Path
  line: int
  target: str
  at_load: bool  # runs when the module is imported, not only when a function is called

  def __str__(self) -> str:
    return f'{self.file.relative_to(ROOT.parent)}:{self.line} imports {self.target}'

  @property
  def top(self) -> str:
    return self.target.split('.')[0]

  @property
  def inside(self) -> str:
    """The target below the package, '' for others."""
    return self.target.removeprefix(f'{PACKAGE}.') if self.top == PACKAGE else ''


def _files() -> list[Path]:
  return sorted(ROOT.rglob('*.py'))


def _room(file: Path) -> str:
  return file.relative_to(ROOT).parts[0].removesuffix('.py')


def _walk(node: ast.AST, at_load: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
  for child in ast.iter_child_nodes(node):
    if isinstance(child, (ast.Import, ast.ImportFrom)):
      yield child, at_load
    elif isinstance(child, ast.If) and 'TYPE_CHECKING' in ast.dump(child.test):
      yield from ((statement, False) for statement, _ in _walk(child, False))
    else:
      yield from _walk(child, at_load and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


@functools.cache
def _imports(file: Path) -> tuple[Import, ...]:
  out = []
  for statement, at_load in _walk(ast.parse(file.read_text())):
    if isinstance(statement, ast.Import):
      targets = [alias.name for alias in statement.names]
    else:
      assert isinstance(statement, ast.ImportFrom) and statement.level == 0, f'{file}:{statement.lineno}: imports are absolute here'
      targets = [f'{statement.module}.{alias.name}' for alias in statement.names]
    out += [Import(file, statement.lineno, target, at_load) for target in targets]
  return tuple(out)


def _every_import() -> Iterator[Import]:
  return (i for file in _files() for i in _imports(file))


def _modules_of(target: str) -> Iterator[Path]:
  """The files that run when `target` is imported: the packages on the way and the module itself."""
  parts = target.split('.')[1:]
  for n in range(len(parts) + 1):
    place = ROOT.joinpath(*parts[:n])
    for file in (place / '__init__.py', place.with_suffix('.py') if n else place / '__init__.py'):
      if file.exists():
        yield file


def _chain_to_arrays(start: Path) -> list[str]:
  """The imports that lead from a module to an array library when it is loaded; [] if none does."""
  todo: list[tuple[Path, list[str]]] = [(start, [])]
  seen = {start}
  while todo:
    file, chain = todo.pop()
    for found in _imports(file):
      if not found.at_load:
        continue
      if found.top in ARRAYS:
        return [*chain, str(found)]
      for module in _modules_of(found.target) if found.top == PACKAGE else ():
        if module not in seen:
          seen.add(module)
          todo.append((module, [*chain, str(found)]))
  return []


def test_every_room_has_its_place() -> None:
  rooms = {_room(file) for file in _files()} - {'__init__', SETTINGS}
  assert rooms <= set(DEPTH), f'{sorted(rooms - set(DEPTH))} stand in no layer'
  assert (ROOT / '__init__.py').read_text() == '', 'importing the package must import nothing'


def test_a_room_imports_only_from_rooms_below() -> None:
  violations = []
  for found in _every_import():
    source, target = _room(found.file), found.inside.split('.')[0]
    if not target or target in (source, SETTINGS) or source in ('__init__', SETTINGS):
      continue
    if DEPTH[target] <= DEPTH[source]:
      violations.append(f'{found}, which is not below {source}')
  assert not violations, '\n'.join(['', *violations])


def test_settings_know_only_the_vocabulary_and_the_optimizers_options() -> None:
  for found in _imports(ROOT / f'{SETTINGS}.py'):
    assert not found.inside or any(f'{found.inside}.'.startswith(f'{allowed}.') for allowed in SETTINGS_MAY_IMPORT), found


@pytest.mark.parametrize('room', sorted(WITHOUT_JAX))
def test_language_rooms_do_without_jax(room: str) -> None:
  files = [f for f in _files() if _room(f) == room]
  assert files
  for file in files:
    assert not [str(i) for i in _imports(file) if i.top in ARRAYS]  # not even when used
    assert _chain_to_arrays(file) == []


def test_array_rooms_need_nothing_but_jax_and_its_family() -> None:
  foreign = [
    str(i) for i in _every_import()
    if _room(i.file) in ANYWHERE_JAX_RUNS and i.top not in THEIR_NEEDS | {PACKAGE} | set(sys.stdlib_module_names)
  ]  # fmt: skip
  assert not foreign


def test_heavy_libraries_are_loaded_only_when_used() -> None:
  assert not [str(i) for i in _every_import() if i.at_load and i.top in LOADED_WHEN_USED]


def test_main_is_flags_only() -> None:
  assert {i.inside.split('.')[0] for i in _imports(ROOT / 'main.py') if i.inside} == {'loop', 'errors'}
  assert len((ROOT / 'main.py').read_text().splitlines()) <= 60


def test_language_rooms_really_load_without_jax() -> None:
  modules = ['.'.join((PACKAGE, *f.relative_to(ROOT).with_suffix('').parts)) for f in _files() if _room(f) in WITHOUT_JAX]
  heavy = sorted(ARRAYS | {'transformers', 'mcp', 'sklearn', 'matplotlib', 'torch'})
  code = f'import importlib, sys\nfor m in {modules}: importlib.import_module(m)\nprint([m for m in {heavy} if m in sys.modules])'
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT.parent, capture_output=True, text=True, check=False)
  assert (done.stdout, done.returncode) == ('[]\n', 0), done.stderr


# --- The search itself can fail ---


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
  source = 'import a\nfrom b.c import d\nclass K:\n  import e\n  def f(self):\n    import g\ntry:\n  import h\nexcept ImportError: pass\n'
  file = tmp_path / 'm.py'
  file.write_text(source + 'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import i\n')
  found = {i.target: i.at_load for i in _imports(file)}
  assert found == {'a': True, 'b.c.d': True, 'e': True, 'g': False, 'h': True, 'typing.TYPE_CHECKING': True, 'i': False}
  assert _chain_to_arrays(ROOT / 'loop' / 'rounds.py') and _chain_to_arrays(ROOT / 'settings.py')
