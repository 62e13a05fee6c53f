"""Python source to operations: the public functions of a module, from signature, type hints and docstring. Nothing is executed.

Public is what `__all__` names where it is a plain list, else what begins with no underscore. A decorated function is read as it is
written. A file is a server of its own, named by its stem.
"""

from __future__ import annotations

import ast
import importlib.machinery
import math
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from inftool_jax.specs import docstrings, effects, mcp, naming
from inftool_jax.specs.annotations import Hints, Inexpressible
from inftool_jax.specs.dialect import Schema
from inftool_jax.specs.docstrings import Docstring
from inftool_jax.specs.operations import Operation, Reading
from inftool_jax.types import JSON

PREFIX = 'python:'  # before the name of a module, where a path is expected
MAX_CHARACTERS = 2**21
_FUNCTION = re.compile(r'^(?:async +)?def +\w+ *[(\[]', re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_python(text: str) -> bool:
  """Whether `text` is a Python module with a function at its top. No JSON or YAML has such a line and parses as Python."""
  if len(text) > MAX_CHARACTERS or not _FUNCTION.search(text):
    return False
  return _module(text) is not None


def locate(module: str) -> Path:
  """The source file of an importable module, found without importing it or its packages.

  Raises ValueError for a module that is not found or has no source.
  """
  places: list[str] | None = list(sys.path)
  spec = None
  for i, _ in enumerate(module.split('.')):
    name = '.'.join(module.split('.')[: i + 1])
    spec = importlib.machinery.PathFinder.find_spec(name, places) if places else None
    if spec is None:
      raise ValueError(f'there is no module {name} on the path of this interpreter')
    places = list(spec.submodule_search_locations or [])
  if spec is None or spec.origin is None or not spec.origin.endswith('.py'):
    raise ValueError(f'module {module} has no Python source')
  return Path(spec.origin)


def read(text: str, stem: str) -> Reading:
  """The operations of one module. Pointers are '/LINE', counted from 1."""
  module = _module(text)
  if module is None:
    raise ValueError('is not valid Python')
  hints = Hints(module)
  problems: list[tuple[str, str]] = []
  operations = [_operation(function, naming.slug(stem, 'functions'), hints, problems) for function in _public(module)]
  if not operations:
    problems.append(('', 'has no public functions'))
  return Reading('Python', tuple(operations), tuple(problems))


def _module(text: str) -> ast.Module | None:
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # invalid escapes of somebody else's source
      return ast.parse(text)
  except (SyntaxError, ValueError, RecursionError, MemoryError):
    return None


def _public(module: ast.Module) -> list[Function]:
  """In the order of their definition; the last definition of a name counts, and overloads are none."""
  found: dict[str, Function] = {}
  for node in _top(module.body):
    decorators = {d.attr if isinstance(d, ast.Attribute) else getattr(d, 'id', '') for d in node.decorator_list}
    if 'overload' not in decorators:
      found[node.name] = node
  names = _exported(module)
  return [f for name, f in found.items() if (name in names if names is not None else not name.startswith('_'))]


def _top(body: list[ast.stmt]) -> Iterator[Function]:
  for node in body:
    if isinstance(node, Function):
      yield node
    elif isinstance(node, (ast.If, ast.Try)):  # a function for each platform, say
      yield from _top([*getattr(node, 'orelse', []), *node.body])


def _exported(module: ast.Module) -> frozenset[str] | None:
  for node in module.body:
    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == '__all__' for t in node.targets):
      try:
        return frozenset(n for n in ast.literal_eval(node.value) if isinstance(n, str))
      except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
  return None


def _operation(function: Function, server: str, hints: Hints, problems: list[tuple[str, str]]) -> Operation:
  pointer = f'/{function.lineno}'
  told = docstrings.parse(ast.get_docstring(function) or '')
  properties: dict[str, Schema] = {}
  required: list[str] = []
  locations: dict[str, str] = {}
  for argument, default, location in _arguments(function):
    name = argument.arg
    properties[name] = _parameter(argument, default, told, hints, function.name, problems)
    locations[name] = location
    if default is None:
      required.append(name)
  for rest in (function.args.vararg, function.args.kwarg):
    if rest is not None:
      problems.append((f'/{rest.lineno}', f'{function.name}: *{rest.arg} takes any number of arguments; it is left out'))
  raw: Schema = {'type': 'object', 'properties': properties, **({'required': required} if required else {})}
  words = ' '.join(naming.words(function.name)) or function.name
  definitions = {'$defs': hints.definitions}
  returned = _returned(function, hints, problems)
  return Operation(
    server=server, domain='other', name=naming.valid_name(function.name, 'function'), description=told.description or words,
    input_schema=mcp.inputs({**raw, **definitions}, pointer, problems),
    output_schema=mcp.output({**returned, **definitions} if returned else None, pointer, problems),
    effect=effects.of_mcp(function.name, told.description, {}, properties), pointer=pointer, locations=locations)


def _arguments(function: Function) -> Iterator[tuple[ast.arg, ast.expr | None, str]]:
  """(argument, its default or None, how it is given): positional-only ones cannot be given by name."""
  given = function.args
  plain = [*given.posonlyargs, *given.args]
  defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
  for i, (argument, default) in enumerate(zip(plain, defaults)):
    yield argument, default, 'positional' if i < len(given.posonlyargs) else 'keyword'
  for argument, default in zip(given.kwonlyargs, given.kw_defaults):
    yield argument, default, 'keyword'


def _parameter(
  argument: ast.arg, default: ast.expr | None, told: Docstring, hints: Hints, function: str, problems: list[tuple[str, str]]
) -> Schema:
  """The hint says what is taken, the docstring where there is no hint, the default's type where there is neither."""
  said = told.parameters.get(argument.arg, docstrings.Parameter())
  value = _default(default)
  schema: Schema = {}
  if argument.annotation is not None:
    try:
      schema = hints.schema(argument.annotation)
    except Inexpressible as e:
      problems.append((f'/{argument.lineno}', f'{function}: {argument.arg} is a {e}, which no JSON schema says; any value is accepted'))
  else:
    schema = hints.of_text(said.type) if said.type else _of_value(value)
  out = {**schema, **({'description': said.description} if said.description else {})}
  if default is not None and value is None and not (isinstance(default, ast.Constant) and default.value is None):
    problems.append((f'/{default.lineno}', f'{function}: the default of {argument.arg} is no JSON value; it is not told'))
  return out if value is None else {**out, 'default': value}


def _of_value(value: JSON) -> Schema:
  kinds = {bool: 'boolean', int: 'integer', float: 'number', str: 'string', list: 'array', dict: 'object'}
  return {'type': kinds[type(value)]} if value is not None else {}


def _default(node: ast.expr | None) -> JSON:
  """The default as JSON, None where it is None or cannot be said."""
  if node is None:
    return None
  try:
    return _plain(ast.literal_eval(node))
  except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
    return None


def _plain(value: object) -> JSON:
  """Raises ValueError for what is no JSON value."""
  if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
    return value
  if isinstance(value, (list, tuple)):
    return [_plain(v) for v in value]
  if isinstance(value, dict) and all(isinstance(k, str) for k in value):
    return {k: _plain(v) for k, v in value.items()}
  raise ValueError('is no JSON value')


def _returned(function: Function, hints: Hints, problems: list[tuple[str, str]]) -> Schema | None:
  hint = function.returns
  if hint is None or (isinstance(hint, ast.Constant) and hint.value is None):
    return None
  try:
    return hints.schema(hint)
  except Inexpressible as e:
    problems.append((f'/{hint.lineno}', f'{function.name}: returns a {e}, which no JSON schema says; it has no output schema'))
    return None
