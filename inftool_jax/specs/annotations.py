"""Python's type hints, as syntax, to JSON Schema. Nothing is imported or evaluated.

Classes of the same file are followed: dataclasses, NamedTuples, TypedDicts and models by their annotated fields, Enums by their
values; so are its type aliases. They become `$defs`, which may lead back to themselves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from inftool_jax.specs import docstrings
from inftool_jax.specs.dialect import Schema
from inftool_jax.types import JSON

_MAX_DEPTH = 40
_MAX_WORDS = 200  # characters of a docstring's type
_LIST_OF = re.compile(r'(?:list|sequence|iterable|tuple) of ', re.IGNORECASE)
_NAMES: Mapping[str, Schema] = {
  'int': {'type': 'integer'}, 'float': {'type': 'number'}, 'str': {'type': 'string'}, 'bool': {'type': 'boolean'},
  'bytes': {'type': 'string', 'contentEncoding': 'base64'}, 'None': {'type': 'null'}, 'NoneType': {'type': 'null'},
  'Any': {}, 'object': {}, 'LiteralString': {'type': 'string'}, 'AnyStr': {'type': 'string'}, 'Text': {'type': 'string'},
  'datetime': {'type': 'string', 'format': 'date-time'}, 'date': {'type': 'string', 'format': 'date'},
  'time': {'type': 'string', 'format': 'time'}, 'timedelta': {'type': 'string', 'format': 'duration'},
  'UUID': {'type': 'string', 'format': 'uuid'}, 'Path': {'type': 'string'}, 'PurePath': {'type': 'string'}, 'PathLike': {'type': 'string'},
  'Decimal': {'type': 'number'}, 'Number': {'type': 'number'}, 'Real': {'type': 'number'},
}
_LISTS = frozenset({'list', 'List', 'Sequence', 'MutableSequence', 'Iterable', 'Collection', 'deque', 'Deque', 'tuple', 'Tuple'})
_SETS = frozenset({'set', 'Set', 'frozenset', 'FrozenSet', 'AbstractSet', 'MutableSet'})
_MAPPINGS = frozenset({
  'dict', 'Dict', 'Mapping', 'MutableMapping', 'defaultdict', 'DefaultDict', 'OrderedDict', 'Counter'})
_TRANSPARENT = frozenset({'Annotated', 'Required', 'NotRequired', 'ReadOnly', 'Final', 'ClassVar'})
_ENUMS = frozenset({'Enum', 'IntEnum', 'StrEnum'})
_RECORDS = frozenset({'NamedTuple', 'TypedDict', 'BaseModel'})


class Inexpressible(Exception):
  """A hint that no JSON value answers to; the message names it."""


class Hints:
  """The hints of one module. `definitions` gathers the schemas of the classes and aliases they name."""

  def __init__(self, module: ast.Module) -> None:
    self.definitions: dict[str, Schema] = {}
    self._classes = {n.name: n for n in module.body if isinstance(n, ast.ClassDef)}
    self._aliases = dict(_aliases(module))

  def schema(self, hint: ast.expr, depth: int = _MAX_DEPTH) -> Schema:
    """Raises Inexpressible."""
    if not depth:
      raise Inexpressible('a hint nested too deeply')
    if isinstance(hint, ast.Constant):
      return self._constant(hint, depth)
    if isinstance(hint, ast.BinOp) and isinstance(hint.op, ast.BitOr):
      return _union([self.schema(side, depth - 1) for side in (hint.left, hint.right)])
    if isinstance(hint, (ast.Name, ast.Attribute)):
      return self._named(_last_name(hint), hint, depth)
    if isinstance(hint, ast.Subscript):
      arguments = list(hint.slice.elts) if isinstance(hint.slice, ast.Tuple) else [hint.slice]
      return self._generic(_last_name(hint.value), arguments, hint, depth)
    raise Inexpressible(_shown(hint))

  def of_text(self, text: str) -> Schema:
    """A type as a docstring words it: `int, optional`, `list of str`, `{'a', 'b'}`; {} for words that are no type."""
    words = text.replace(' or None', ' | None').replace(' or ', ' | ')
    words = ','.join(p for p in words.split(',') if p.strip().split(' ')[0].strip('=:') not in ('optional', 'default', 'defaults')).strip()
    if match := _LIST_OF.match(words):
      return {'type': 'array', 'items': self.of_text(words[match.end() :])}
    try:
      expression = ast.parse(words, mode='eval').body
      if isinstance(expression, ast.Set):
        return {'enum': [_literal(e) for e in expression.elts]}
      return self.schema(expression)
    except (SyntaxError, ValueError, RecursionError, MemoryError, Inexpressible):
      return {}

  def _constant(self, hint: ast.Constant, depth: int) -> Schema:
    if hint.value is None:
      return {'type': 'null'}
    if not isinstance(hint.value, str):
      raise Inexpressible(_shown(hint))
    try:
      return self.schema(ast.parse(hint.value.strip(), mode='eval').body, depth - 1)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
      raise Inexpressible(_shown(hint)) from e

  def _named(self, name: str, hint: ast.expr, depth: int) -> Schema:
    if name in self._classes or name in self._aliases:
      return self._defined(name, depth)
    if name in _NAMES:
      return dict(_NAMES[name])
    if name in _LISTS:
      return {'type': 'array'}
    if name in _SETS:
      return {'type': 'array', 'uniqueItems': True}
    if name in _MAPPINGS:
      return {'type': 'object'}
    raise Inexpressible(_shown(hint))

  def _generic(self, name: str, arguments: list[ast.expr], hint: ast.expr, depth: int) -> Schema:
    if name == 'Literal':
      values = [_literal(a) for a in arguments]
      return {'enum': values}
    if name == 'Optional':
      return _union([self.schema(arguments[0], depth - 1), {'type': 'null'}])
    if name == 'Union':
      return _union([self.schema(a, depth - 1) for a in arguments])
    if name in _TRANSPARENT:
      said = [a.value for a in arguments[1:] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
      said += [d for a in arguments[1:] if (d := _field_description(a))]
      return {**self.schema(arguments[0], depth - 1), **({'description': said[0]} if said else {})}
    if name in ('tuple', 'Tuple') and not (len(arguments) == 2 and _is_ellipsis(arguments[1])):
      items = [self.schema(a, depth - 1) for a in arguments]
      return {'type': 'array', 'prefixItems': items, 'items': False, 'minItems': len(items), 'maxItems': len(items)}
    if name in _LISTS | _SETS:
      return {**self._named(name, hint, depth), 'items': self.schema(arguments[0], depth - 1)}
    if name in _MAPPINGS:
      each = self.schema(arguments[1], depth - 1) if len(arguments) > 1 else {}
      return {'type': 'object', 'additionalProperties': each} if each else {'type': 'object'}
    raise Inexpressible(_shown(hint))

  def _defined(self, name: str, depth: int) -> Schema:
    if name not in self.definitions:
      self.definitions[name] = {}  # a class may name itself
      try:
        if name in self._aliases:
          self.definitions[name] = self.schema(self._aliases[name], depth - 1)
        else:
          self.definitions[name] = self._class(self._classes[name], depth)
      except Inexpressible:
        del self.definitions[name]
        raise
    return {'$ref': f'#/$defs/{name}'}

  def _class(self, node: ast.ClassDef, depth: int) -> Schema:
    bases = {_last_name(b) for b in node.bases}
    if bases & _ENUMS or ('str' in bases and 'Enum' in bases):
      values = [v for s in node.body if isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant) and _is_json(v := s.value.value)]
      if values:
        return {'enum': values}
      raise Inexpressible(f'{node.name}, an Enum without plain values')
    decorators = {_last_name(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    of_file = [b for b in bases if b in self._classes and b != node.name]
    if not (bases & _RECORDS or 'dataclass' in decorators or of_file):
      raise Inexpressible(f'{node.name}, a class that is no record')
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for base in of_file:
      self._defined(base, depth - 1)
      inherited = self.definitions[base]
      properties.update(inherited.get('properties', {}))
      required += inherited.get('required', [])
    total = not any(k.arg == 'total' and isinstance(k.value, ast.Constant) and k.value.value is False for k in node.keywords)
    said = docstrings.parse(ast.get_docstring(node) or '')
    for field in node.body:
      if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name) or field.target.id.startswith('_'):
        continue
      marker = _last_name(field.annotation.value) if isinstance(field.annotation, ast.Subscript) else ''
      if marker == 'ClassVar':
        continue
      name, schema = field.target.id, self.schema(field.annotation, depth - 1)
      description = _field_description(field.value) or (said.parameters[name].description if name in said.parameters else '')
      properties[name] = {**schema, **({'description': description} if description else {})}
      if marker != 'NotRequired' and (marker == 'Required' or total) and (field.value is None or _is_required_field(field.value)):
        required.append(name)
    out: Schema = {'type': 'object', 'properties': properties}
    if said.description:
      out['description'] = said.description
    return out | {'required': list(dict.fromkeys(required))} if required else out


def _aliases(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
  """`Name = Literal['a', 'b']`, `Name: TypeAlias = ...`, `type Name = ...`, `Name = NewType('Name', int)`."""
  for node in module.body:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _last_name(node.annotation) == 'TypeAlias' and node.value:
      yield node.target.id, node.value
    elif type(node).__name__ == 'TypeAlias':  # Python 3.12's statement, which 3.11's ast does not know
      yield node.name.id, node.value  # type: ignore[attr-defined]
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
      value = node.value
      if isinstance(value, ast.Call) and _last_name(value.func) == 'NewType' and len(value.args) == 2:
        yield node.targets[0].id, value.args[1]
      elif isinstance(value, (ast.Subscript, ast.BinOp)):
        yield node.targets[0].id, value


def _union(schemas: list[Schema]) -> Schema:
  branches = [b for s in schemas for b in (s['anyOf'] if s.keys() == {'anyOf'} else [s])]
  return {} if {} in branches else {'anyOf': branches}


def _literal(node: ast.expr) -> JSON:
  try:
    value = ast.literal_eval(node)
  except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as e:
    raise Inexpressible(_shown(node)) from e
  if not _is_json(value):
    raise Inexpressible(_shown(node))
  return value


def _is_json(value: object) -> bool:
  return value is None or isinstance(value, (str, bool, int, float))


def _is_ellipsis(node: ast.expr) -> bool:
  return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_required_field(value: ast.expr) -> bool:
  """`Field(...)` and `Field(description='x')` have no default; `field(default=1)`, `Field(1)` and plain values have one."""
  if not isinstance(value, ast.Call) or _last_name(value.func) not in ('Field', 'field'):
    return False
  given = [k.arg for k in value.keywords]
  return all(_is_ellipsis(a) for a in value.args[:1]) and not {'default', 'default_factory'} & set(given)


def _field_description(value: ast.expr | None) -> str:
  if not isinstance(value, ast.Call):
    return ''
  said = (k.value for k in value.keywords if k.arg in ('description', 'help'))
  return next((s.value for s in said if isinstance(s, ast.Constant) and isinstance(s.value, str)), '')


def _last_name(node: ast.expr) -> str:
  """`c` of `a.b.c`, and of `a.b.c[d]`; '' for what has no name."""
  if isinstance(node, ast.Subscript):
    node = node.value
  return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ''


def _shown(node: ast.expr) -> str:
  try:
    text = ast.unparse(node)
  except RecursionError:
    return 'a hint nested too deeply'
  return text if len(text) <= 60 else f'{text[:60]}...'
