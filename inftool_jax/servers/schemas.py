"""JSON Schemas as they come, made safe to use: cleaned, compiled once, with references resolved inside their document."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

import jsonschema

from inftool_jax.types import JSON

Node = Mapping[str, JSON]

# Real schemas end long before these depths; what lies deeper says nothing to us.
MAX_DEPTH = 40
MAX_HOPS = 16
MAX_PATTERN = 200
MAX_CACHED = 4096

_TYPES = frozenset({'null', 'boolean', 'integer', 'number', 'string', 'array', 'object'})
_SUBSCHEMA = ('items', 'additionalProperties', 'not', 'if', 'then', 'else', 'contains', 'propertyNames')
_SUBSCHEMAS = ('allOf', 'anyOf', 'oneOf', 'prefixItems')
_NAMED = ('properties', '$defs', 'definitions')
_BOUNDS = ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum')
_SIZES = ('minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties', 'minContains', 'maxContains')


def is_number(value: JSON) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_size(value: JSON) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6


def is_pattern(value: JSON) -> bool:
  if not isinstance(value, str) or len(value) > MAX_PATTERN:
    return False
  try:
    re.compile(value)
  except (re.error, OverflowError, RecursionError):  # ECMA syntax that Python lacks, absurd repeats
    return False
  return True


def _is_names(value: JSON) -> bool:
  return isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)


def _is_type(value: JSON) -> bool:
  listed = value if isinstance(value, (list, tuple)) else [value]
  return bool(listed) and all(isinstance(v, str) and v in _TYPES for v in listed)


# Keywords that are kept when their value is what JSON Schema 2020-12 asks for; every other keyword is an annotation to us.
_PLAIN: Mapping[str, Callable[[JSON], bool]] = {
  'type': _is_type,
  'required': _is_names,
  'enum': lambda v: isinstance(v, (list, tuple)) and bool(v),
  'const': lambda v: True,
  'default': lambda v: True,
  'pattern': is_pattern,
  'format': lambda v: isinstance(v, str),
  'uniqueItems': lambda v: isinstance(v, bool),
  'multipleOf': lambda v: is_number(v) and v > 0,
  '$ref': lambda v: isinstance(v, str) and v.startswith('#'),
  'description': lambda v: isinstance(v, str),
  **dict.fromkeys(_BOUNDS, is_number),
  **dict.fromkeys(_SIZES, is_size),
}


def clean(schema: JSON, depth: int = 0) -> JSON:
  """`schema` with only the keywords we use, each well-formed. Booleans stay; what is no schema becomes {} (anything)."""
  if isinstance(schema, bool):
    return schema
  if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
    return {}
  out: dict[str, JSON] = {}
  for key, value in schema.items():
    if key in _PLAIN:
      if _PLAIN[key](value):
        out[key] = value
    elif key in _SUBSCHEMA:
      if isinstance(value, (Mapping, bool)):
        out[key] = clean(value, depth + 1)
    elif key in _SUBSCHEMAS:
      if isinstance(value, (list, tuple)) and value:
        out[key] = [clean(v, depth + 1) for v in value]
    elif key in _NAMED and isinstance(value, Mapping):
      out[key] = {k: clean(v, depth + 1) for k, v in value.items() if isinstance(k, str)}
  return out


def pointed(root: JSON, reference: str) -> JSON:
  """What a local reference ('#/$defs/Order') names in `root`; None if nothing is there."""
  place = root
  for part in reference.removeprefix('#').split('/')[1:]:
    key = part.replace('~1', '/').replace('~0', '~')
    if isinstance(place, Mapping):
      place = place.get(key)
    elif isinstance(place, list) and key.isdigit() and int(key) < len(place):
      place = place[int(key)]
    else:
      return None
  return place


def _drop_dangling(node: JSON, root: JSON) -> None:
  """Removes references of a cleaned schema that lead nowhere."""
  if isinstance(node, list):
    for member in node:
      _drop_dangling(member, root)
  elif isinstance(node, dict):
    reference = node.get('$ref')
    if isinstance(reference, str) and not isinstance(pointed(root, reference), (Mapping, bool)):
      del node['$ref']
    for key, value in node.items():
      if key in _NAMED:
        _drop_dangling(list(value.values()), root)
      elif key in _SUBSCHEMA or key in _SUBSCHEMAS:
        _drop_dangling(value, root)


@dataclasses.dataclass(frozen=True)
class Document:
  """A cleaned schema, compiled. `root` is what its references are resolved in."""

  root: JSON
  validator: jsonschema.Draft202012Validator

  def error(self, value: JSON) -> jsonschema.ValidationError | None:
    """The first thing wrong with `value`, in the order of the schema; a schema that contains itself without end says nothing."""
    try:
      return next(iter(self.validator.iter_errors(value)), None)
    except RecursionError:
      return None

  def accepts(self, value: JSON, node: JSON = None) -> bool:
    """Whether `value` is valid under `node`, a schema inside this document (the whole one if None)."""
    validator = self.validator if node is None else self.validator.evolve(schema=node)
    try:
      return bool(validator.is_valid(value))
    except RecursionError:
      return True

  def resolve(self, node: JSON) -> Node:
    """`node` with its reference and `allOf` merged into it; true and false become {} and a schema of nothing but null."""
    merged: dict[str, JSON] = _as_node(node)
    for _ in range(MAX_HOPS):  # bounded: a reference may lead back to itself
      if '$ref' in merged:
        reference = merged.pop('$ref')
        merged = _merge(_as_node(pointed(self.root, reference)), merged)
      elif 'allOf' in merged:
        for part in merged.pop('allOf'):
          merged = _merge(merged, _as_node(part))
      else:
        return merged
    return {k: v for k, v in merged.items() if k not in ('$ref', 'allOf')}


def _as_node(node: JSON) -> dict[str, JSON]:
  if node is False:
    return {'type': 'null'}
  return dict(node) if isinstance(node, Mapping) else {}


def _merge(a: Node, b: Node) -> dict[str, JSON]:
  out = {**a, **b}
  if 'properties' in a and 'properties' in b:
    out['properties'] = {**a['properties'], **b['properties']}
  if 'required' in a and 'required' in b:
    out['required'] = list(dict.fromkeys([*a['required'], *b['required']]))
  if 'allOf' in a and 'allOf' in b:
    out['allOf'] = [*a['allOf'], *b['allOf']]
  return out


# Compiled documents by the identity of the schema they came from. The schema is kept beside its document, so its
# identity is not given away while the entry lives.
_compiled: dict[int, tuple[JSON, Document]] = {}


def compiled(schema: JSON) -> Document:
  """The document of `schema` (taken as it is; it must not be changed afterwards)."""
  found = _compiled.get(id(schema))
  if found is not None and found[0] is schema:
    return found[1]
  root = clean(schema)
  _drop_dangling(root, root)
  document = Document(root, jsonschema.Draft202012Validator(root))
  if len(_compiled) >= MAX_CACHED:
    _compiled.clear()
  _compiled[id(schema)] = (schema, document)
  return document
