"""When two calls are the same: equal canonical text, equal call.

The one definition that the matcher, the simulator's determinism key and deduplication share. The rules:

- an optional parameter that is omitted has its default; null is the same as omitted where the parameter is optional
  (unless its schema gives null a meaning of its own by allowing it beside another default);
- 5 = 5.0, but never '5': a wrong type stays distinct, and so do true and 1;
- strings under `format: date-time` are instants (zone missing: UTC; time missing: midnight), under `date`, `time` and
  `uuid` they are compared by what they say; any other string is compared exactly, blanks included;
- an enum value in another case is the enum's value if no two values of that enum differ by case alone;
- arrays are ordered unless the schema says `uniqueItems` (or `x-unordered`, which wins); objects have no order;
- arguments of a tool that was not offered, and parameters it does not declare, are compared as plain JSON.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping

from inftool_jax.types import JSON, Call, Tool

# Schemas end long before this depth; what is nested deeper is compared as plain JSON, without recursion.
MAX_DEPTH = 32
# A union inside a union costs this much of the depth: few enough are followed that no schema takes exponential time.
UNION_STEP = 8
# Python refuses to write larger integers in decimal (its default is 4,300 digits).
MAX_DECIMAL_BITS = 14_000

_DATE = re.compile(r'(\d{4})-(\d\d)-(\d\d)', re.ASCII)
_TIME = re.compile(r'(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?', re.ASCII | re.IGNORECASE)
_UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', re.IGNORECASE)


def canonical(call: Call, tool: Tool | None) -> str:
  """The canonical JSON text of a call: name and arguments, not its id. `tool` is None if no such tool is offered."""
  schema = tool.input_schema if tool is not None and tool.name == call.tool else {}
  return canonical_text({'name': call.tool, 'arguments': canonical_value(call.arguments, schema)})


def canonical_arguments(call: Call, tool: Tool | None) -> dict[str, str]:
  """Parameter name -> canonical text of its value; parameters that have their default or are null are left out."""
  schema = tool.input_schema if tool is not None and tool.name == call.tool else {}
  value = canonical_value(call.arguments, schema)
  return {name: canonical_text(v) for name, v in value.items()} if isinstance(value, dict) else {}


def canonical_value(value: JSON, schema: JSON) -> JSON:
  """The canonical form of `value` under a JSON Schema; total on JSON, NaN and any nesting included.

  Compare forms by `canonical_text`: Python's own `==` takes true for 1 and NaN for different from itself.
  """
  return _value(value, schema, schema if isinstance(schema, Mapping) else {}, 0)


def canonical_text(value: JSON) -> str:
  """One text per JSON value: keys sorted, integral numbers without a point. Not recursive, so nesting cannot break it."""
  out: list[str] = []
  stack: list[tuple[bool, JSON]] = [(False, value)]  # (is a piece of text already, piece or value)
  while stack:
    is_text, item = stack.pop()
    if is_text:
      out.append(item)
    elif isinstance(item, Mapping):
      pieces: list[tuple[bool, JSON]] = [(True, '{')]
      for i, key in enumerate(sorted(item)):
        pieces += [(True, (',' if i else '') + json.dumps(key) + ':'), (False, item[key])]
      stack += reversed([*pieces, (True, '}')])
    elif isinstance(item, (list, tuple)):
      pieces = [(True, '[')]
      for i, member in enumerate(item):
        pieces += [(True, ','), (False, member)] if i else [(False, member)]
      stack += reversed([*pieces, (True, ']')])
    else:
      out.append(_scalar_text(item))
  return ''.join(out)


def _scalar_text(value: JSON) -> str:
  if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
    number = _number(value)
    if isinstance(number, int) and number.bit_length() > MAX_DECIMAL_BITS:
      return hex(number)
    return json.dumps(number)  # NaN and Infinity are written bare, so no string can equal them
  return json.dumps(value)


def _value(value: JSON, schema: JSON, root: Mapping[str, JSON], depth: int) -> JSON:
  if depth >= MAX_DEPTH:
    return value
  schema = _resolved(value, schema, root, depth)
  if isinstance(value, Mapping):
    return _object(value, schema, root, depth)
  if isinstance(value, (list, tuple)):
    return _array(value, schema, root, depth)
  if isinstance(value, bool) or value is None:
    return value
  if isinstance(value, (int, float)):
    return _number(value)
  return _string(value, schema)


def _number(value: float) -> float:
  if isinstance(value, float) and value.is_integer():
    return int(value)
  return value


def _object(value: Mapping[str, JSON], schema: Mapping[str, JSON], root: Mapping[str, JSON], depth: int) -> dict[str, JSON]:
  properties = _mapping(schema.get('properties'))
  rest = _mapping(schema.get('additionalProperties'))
  required = _list(schema.get('required'))
  out = {}
  for name in sorted(value):
    form = _value(value[name], properties.get(name, rest), root, depth + 1)
    if name in properties and name not in required and _is_omitted(form, properties[name], root, depth + 1):
      continue
    out[name] = form
  return out


def _is_omitted(form: JSON, schema: JSON, root: Mapping[str, JSON], depth: int) -> bool:
  """Whether an optional parameter with this canonical value says no more than leaving it out."""
  merged = _resolved(form, schema, root, depth)
  outer = _mapping(schema)
  holder = outer if 'default' in outer else merged
  if 'default' not in holder:
    return form is None
  default = _value(holder['default'], schema, root, depth)
  if canonical_text(form) == canonical_text(default):
    return True
  return form is None and not _allows_null(outer, root, depth)


def _allows_null(schema: JSON, root: Mapping[str, JSON], depth: int) -> bool:
  merged = _resolved(None, schema, root, depth)
  return bool(merged) and _fits(None, merged, root, depth) and ('type' in merged or 'enum' in merged or 'const' in merged)


def _array(value: list[JSON] | tuple[JSON, ...], schema: Mapping[str, JSON], root: Mapping[str, JSON], depth: int) -> list[JSON]:
  prefix = _list(schema.get('prefixItems'))
  items = _mapping(schema.get('items'))
  out = [_value(v, prefix[i] if i < len(prefix) else items, root, depth + 1) for i, v in enumerate(value)]
  unordered = schema.get('x-unordered', schema.get('uniqueItems')) is True
  return sorted(out, key=canonical_text) if unordered else out


def _string(value: str, schema: Mapping[str, JSON]) -> str:
  allowed = [schema['const']] if 'const' in schema else schema.get('enum')
  if isinstance(allowed, (list, tuple)):
    return _enum_spelling(value, [a for a in allowed if isinstance(a, str)])
  form = _FORMATS.get(str(schema.get('format', '')))
  return form(value) if form is not None else value


def _enum_spelling(value: str, allowed: list[str]) -> str:
  if value in allowed:
    return value
  same = [a for a in allowed if a.casefold() == value.casefold()]
  return same[0] if len(same) == 1 else value


def _date_form(text: str) -> str:
  found = _DATE.fullmatch(text.strip())
  return found.group() if found else text


def _time_parts(text: str) -> tuple[str, str] | None:
  """('HH:MM:SS[.fraction without trailing zeros]', zone as '+HH:MM' or '') of an RFC 3339 time."""
  found = _TIME.fullmatch(text)
  if not found:
    return None
  hour, minute, second, fraction, zone = found.groups()
  clock = f'{hour}:{minute}:{second or "00"}' + (f'.{fraction.rstrip("0")}' if fraction and fraction.strip('0') else '')
  if zone is None:
    return clock, ''
  if zone in 'Zz' or zone.replace(':', '')[1:] == '0000':
    return clock, '+00:00'
  digits = zone.replace(':', '')
  return clock, f'{digits[:3]}:{digits[3:]}'


def _time_form(text: str) -> str:
  parts = _time_parts(text.strip())
  return ''.join(parts) if parts else text


def _instant_form(text: str) -> str:
  """A date-time as UTC with its fraction kept digit by digit; what is no date-time is left as it is."""
  stripped = text.strip()
  date, rest = stripped[:10], stripped[10:]
  if not _DATE.fullmatch(date) or (rest and rest[0] not in 'Tt '):
    return text
  parts = _time_parts(rest[1:]) if rest else ('00:00:00', '')
  if parts is None:
    return text
  clock, zone = parts
  seconds, _, fraction = clock.partition('.')
  try:
    moment = datetime.datetime.fromisoformat(f'{date}T{seconds}{zone or "+00:00"}').astimezone(datetime.UTC)
  except (ValueError, OverflowError):  # no such day, leap second, a year beyond the calendar
    return text
  return moment.isoformat()[:19] + (f'.{fraction}' if fraction else '') + 'Z'


def _uuid_form(text: str) -> str:
  return text.strip().lower() if _UUID.fullmatch(text.strip()) else text


_FORMATS: Mapping[str, Callable[[str], str]] = {
  'date': _date_form, 'time': _time_form, 'date-time': _instant_form, 'uuid': _uuid_form,
}


def _mapping(value: JSON) -> Mapping[str, JSON]:
  return value if isinstance(value, Mapping) else {}


def _list(value: JSON) -> list[JSON] | tuple[JSON, ...]:
  return value if isinstance(value, (list, tuple)) else ()


def _resolved(value: JSON, schema: JSON, root: Mapping[str, JSON], depth: int) -> Mapping[str, JSON]:
  """`schema` with its local `$ref`, `allOf` and the first `anyOf`/`oneOf` branch that fits `value` merged into it."""
  schema = _mapping(schema)
  for _ in range(MAX_DEPTH - depth):  # bounded: a `$ref` may lead back to itself
    if isinstance(schema.get('$ref'), str):
      schema = _merged(_without(schema, '$ref'), _pointed(root, schema['$ref']))
    elif 'allOf' in schema:
      parts, schema = _list(schema['allOf']), _without(schema, 'allOf')
      for part in parts:
        schema = _merged(schema, _mapping(part))
    elif 'anyOf' in schema or 'oneOf' in schema:
      key = 'anyOf' if 'anyOf' in schema else 'oneOf'
      branches, schema = _list(schema[key]), _without(schema, key)
      schema = _merged(schema, next((_mapping(b) for b in branches if _fits(value, b, root, depth + UNION_STEP)), {}))
    else:
      return schema
  return {}


def _without(schema: Mapping[str, JSON], key: str) -> dict[str, JSON]:
  return {k: v for k, v in schema.items() if k != key}


def _merged(schema: Mapping[str, JSON], part: Mapping[str, JSON]) -> dict[str, JSON]:
  merged = {**part, **schema}
  if 'properties' in schema and 'properties' in part:
    merged['properties'] = {**_mapping(part['properties']), **_mapping(schema['properties'])}
  if isinstance(schema.get('required'), (list, tuple)) and isinstance(part.get('required'), (list, tuple)):
    merged['required'] = [*schema['required'], *part['required']]
  return merged


def _pointed(root: Mapping[str, JSON], reference: str) -> Mapping[str, JSON]:
  """The schema a local reference such as '#/$defs/Address' names; {} if there is none."""
  place: JSON = root
  for part in reference.removeprefix('#').split('/')[1:]:
    place = _mapping(place).get(part.replace('~1', '/').replace('~0', '~'))
  return _mapping(place)


_TYPES: Mapping[str, Callable[[JSON], bool]] = {
  'null': lambda v: v is None,
  'boolean': lambda v: isinstance(v, bool),
  'integer': lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and isinstance(_number(v), int),
  'number': lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
  'string': lambda v: isinstance(v, str),
  'array': lambda v: isinstance(v, (list, tuple)),
  'object': lambda v: isinstance(v, Mapping),
}


def _fits(value: JSON, schema: JSON, root: Mapping[str, JSON], depth: int) -> bool:
  """Whether a branch of a union is the one meant: type, constants, required properties and their constants agree."""
  if depth >= MAX_DEPTH:
    return False
  schema = _resolved(value, schema, root, depth)
  types = [schema['type']] if isinstance(schema.get('type'), str) else _list(schema.get('type'))
  if types and not any(_TYPES[t](value) for t in types if isinstance(t, str) and t in _TYPES):
    return False
  allowed = [schema['const']] if 'const' in schema else schema.get('enum')
  if isinstance(allowed, (list, tuple)):
    form = _string(value, schema) if isinstance(value, str) else value
    return canonical_text(form) in {canonical_text(a) for a in allowed}
  if not isinstance(value, Mapping):
    return True
  if any(name not in value for name in _list(schema.get('required'))):
    return False
  return all(_fits(value[k], s, root, depth + 1) for k, s in _mapping(schema.get('properties')).items() if k in value)
