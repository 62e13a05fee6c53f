"""One schema object's own keywords, from any dialect (draft 4 to 2020-12, OpenAPI, Swagger, loose hand-written ones) to 2020-12.

Only keywords known here, with values of the right kind, are taken over; a keyword with a broken value is dropped, so the result
is always a valid schema. Children (properties, items, ...) are the business of `schemas`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from inftool_jax.specs import naming
from inftool_jax.types import JSON

Schema = dict[str, Any]

TYPES = ('string', 'integer', 'number', 'boolean', 'object', 'array', 'null')
_PYTHON: Mapping[str, type | tuple[type, ...]] = {
  'string': str, 'number': (int, float), 'object': dict, 'array': list, 'null': type(None)}
_NUMERIC = ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf')
_LENGTHS = ('minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties')
_LOOSE: Mapping[str, Schema] = {
  'int': {'type': 'integer'}, 'long': {'type': 'integer'}, 'int32': {'type': 'integer'}, 'int64': {'type': 'integer'},
  'float': {'type': 'number'}, 'double': {'type': 'number'}, 'decimal': {'type': 'number'},
  'bool': {'type': 'boolean'}, 'str': {'type': 'string'}, 'text': {'type': 'string'}, 'enum': {'type': 'string'},
  'date': {'type': 'string', 'format': 'date'}, 'datetime': {'type': 'string', 'format': 'date-time'},
  'date-time': {'type': 'string', 'format': 'date-time'}, 'time': {'type': 'string', 'format': 'time'},
  'uuid': {'type': 'string', 'format': 'uuid'}, 'url': {'type': 'string', 'format': 'uri'}, 'uri': {'type': 'string', 'format': 'uri'},
  'file': {'type': 'string', 'format': 'binary'}, 'binary': {'type': 'string', 'format': 'binary'},
  'list': {'type': 'array'}, 'dict': {'type': 'object'}, 'map': {'type': 'object'}, 'hash': {'type': 'object'}, 'json': {'type': 'object'},
}


def keywords(schema: Mapping[str, JSON]) -> Schema:
  """The keywords of `schema` that are its own: type, description, format, values, bounds."""
  out = _type(schema)
  description = naming.clean(schema.get('description')) or naming.clean(schema.get('title'))
  if description:
    out['description'] = description
  if isinstance(schema.get('format'), str):
    out.setdefault('format', schema['format'])
  _values(schema, out)
  for key in _NUMERIC:
    if key in schema and (number := _number(schema.get(key))) is not None and not (key == 'multipleOf' and number <= 0):
      out[key] = number
  for inclusive, exclusive in (('minimum', 'exclusiveMinimum'), ('maximum', 'exclusiveMaximum')):
    if schema.get(exclusive) is True and inclusive in out:  # draft 4: a flag beside the bound
      out[exclusive] = out.pop(inclusive)
  for key in _LENGTHS:
    if key in schema and (length := _number(schema.get(key))) is not None and length >= 0 and length == int(length):
      out[key] = int(length)
  if isinstance(schema.get('uniqueItems'), bool):
    out['uniqueItems'] = schema['uniqueItems']
  if isinstance(schema.get('pattern'), str) and _compiles(schema['pattern']):
    out['pattern'] = schema['pattern']
  for key in ('contentEncoding', 'contentMediaType'):
    if isinstance(schema.get(key), str):
      out[key] = schema[key]
  return out


def nullable(schema: Schema) -> Schema:
  """`schema`, or null."""
  kind = schema.get('type')
  if kind is None and 'const' not in schema and 'enum' not in schema:
    branches = next((k for k in ('anyOf', 'oneOf') if k in schema), None)
    if branches is None:
      return schema  # any value, null included
    return schema | {branches: [*schema[branches], {'type': 'null'}]}
  out = dict(schema)
  if kind is not None:
    kinds = kind if isinstance(kind, list) else [kind]
    out['type'] = kinds if 'null' in kinds else [*kinds, 'null']
  if 'enum' in out and None not in out['enum']:
    out['enum'] = [*out['enum'], None]
  if 'const' in out:
    out['enum'] = [out.pop('const'), None]
  return out


def is_nullable(schema: Mapping[str, JSON]) -> bool:
  return schema.get('nullable') is True or schema.get('x-nullable') is True


def fit(value: JSON, kind: JSON) -> tuple[bool, JSON]:
  """`value` as a value of type `kind` (a name, a list of names, or None for any), and whether it is one.

  Specifications quote numbers and leave strings unquoted; such values are converted, others do not fit.
  """
  kinds = kind if isinstance(kind, list) else [kind]
  if kind is None or any(is_of(value, k) for k in kinds):
    return True, value
  if 'string' in kinds and isinstance(value, (bool, int, float)):
    return True, json.dumps(value)
  if isinstance(value, str):
    text = value.strip().lower()
    if 'boolean' in kinds and text in ('true', 'false'):
      return True, text == 'true'
    if 'integer' in kinds and re.fullmatch(r'[-+]?\d{1,18}', text, re.ASCII):
      return True, int(text)
    if 'number' in kinds and (number := _number(text)) is not None:
      return True, number
  return False, None


def is_of(value: JSON, kind: JSON) -> bool:
  """Whether `value` is of the JSON Schema type `kind`."""
  if isinstance(value, bool):
    return kind == 'boolean'
  if kind == 'integer':
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
  return kind in _PYTHON and isinstance(value, _PYTHON[kind])


def loose_type(name: str) -> Schema:
  """The schema for a type's name in whatever spelling; {} (any value) for an unknown one."""
  name = name.strip().lower()
  return {'type': name} if name in TYPES else dict(_LOOSE.get(name, {}))


def _type(schema: Mapping[str, JSON]) -> Schema:
  kind = schema.get('type')
  if isinstance(kind, str):
    return loose_type(kind)
  if isinstance(kind, list):
    kinds = list(dict.fromkeys(k for k in kind if k in TYPES))
    return {'type': kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
  if isinstance(schema.get('properties'), dict):
    return {'type': 'object'}
  if 'items' in schema:
    return {'type': 'array'}
  values = schema.get('enum')
  if isinstance(values, list) and values and all(isinstance(v, str) for v in values):
    return {'type': 'string'}
  return {}


def _values(schema: Mapping[str, JSON], out: Schema) -> None:
  kind = out.get('type')
  if isinstance(schema.get('enum'), list):
    if fitting := [v for fits, v in (fit(v, kind) for v in schema['enum']) if fits]:
      out['enum'] = list({json.dumps(v, sort_keys=True): v for v in fitting}.values())
  if 'const' in schema:
    fits, value = fit(schema['const'], kind)
    if fits:
      out['const'] = value
  if 'default' in schema:
    fits, value = fit(schema['default'], kind)
    if fits and value is not None and ('enum' not in out or value in out['enum']):
      out['default'] = value
  examples = schema.get('examples')
  candidates = examples if isinstance(examples, list) else [schema['example']] if 'example' in schema else []
  scalars = [v for fits, v in (fit(v, kind) for v in candidates) if fits and isinstance(v, (str, int, float)) and len(str(v)) <= 100]
  if scalars:
    out['examples'] = scalars[:3]


def _number(value: JSON) -> int | float | None:
  if isinstance(value, str):
    try:
      value = json.loads(value, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
      return None
  if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
    return None
  return value


def _compiles(pattern: str) -> bool:
  """Whether Python can match `pattern`; the ECMA-only ones are dropped, since nothing here could check them."""
  try:
    re.compile(pattern)
  except (re.error, RecursionError, OverflowError):
    return False
  return True
