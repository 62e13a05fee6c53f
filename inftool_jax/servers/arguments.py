"""Is a call's content something a server can act on? If not, the message that names the argument."""

from __future__ import annotations

import functools
import math
import re
import zoneinfo
from collections.abc import Mapping

import jsonschema

from inftool_jax.servers import schemas
from inftool_jax.specs import naming
from inftool_jax.types import JSON, Tool

MAX_DEPTH = 24
MAX_NODES = 4000
MAX_TEXT = 20_000
MAX_INTEGER = 2**63
SHOWN = 60
_CLOCK = re.compile(r'(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?')
_CLOCK_STATED = re.compile(r'\bHH:MM\b|24-hour', re.IGNORECASE)


def shown(value: object) -> str:
  """A short printable form of model text for an error message."""
  text = value if isinstance(value, str) else repr(value)
  return text[:SHOWN].encode('utf-8', 'replace').decode() + ('...' if len(text) > SHOWN else '')


def absurd(arguments: object) -> str:
  """Why `arguments` are no JSON object of a sane size, or ''. Not recursive, so nesting cannot break it."""
  if not isinstance(arguments, Mapping):
    return 'the arguments must be an object'
  stack: list[tuple[str, int, object]] = [('', 0, arguments)]
  nodes = 0
  while stack:
    top, depth, value = stack.pop()
    nodes += 1
    where = f'argument "{shown(top)}"' if top else 'the arguments'
    if nodes > MAX_NODES or depth > MAX_DEPTH:
      return f'{where}: too large or nested too deeply'
    if isinstance(value, Mapping):
      for key, member in value.items():
        if not isinstance(key, str) or _text_problem(key):
          return f'{where}: a name in it is not readable text'
        stack.append((top or key, depth + 1, member))
    elif isinstance(value, (list, tuple)):
      stack += [(top, depth + 1, member) for member in value]
    else:
      problem = _scalar_problem(value)
      if problem:
        return f'{where}: {problem}'
  return ''


def _text_problem(text: str) -> str:
  if len(text) > MAX_TEXT:
    return f'text of more than {MAX_TEXT} characters'
  return 'broken Unicode' if any('\ud800' <= c <= '\udfff' for c in text) else ''


def _scalar_problem(value: object) -> str:
  if isinstance(value, str):
    return _text_problem(value)
  if isinstance(value, bool) or value is None:
    return ''
  if isinstance(value, int):
    return '' if abs(value) < MAX_INTEGER else 'number out of range'
  if isinstance(value, float):
    return '' if math.isfinite(value) else 'not a finite number'
  return f'a {type(value).__name__} is not JSON'


def invalid(arguments: Mapping[str, JSON], tool: Tool) -> str:
  """The first thing wrong with sane `arguments` under the tool's input schema, naming the argument; '' if nothing is."""
  document = schemas.compiled(tool.input_schema)
  root = document.root if isinstance(document.root, Mapping) else {}
  unknown = _unknown(arguments, root)
  if unknown:
    return f'unknown argument "{shown(unknown)}"'
  error = document.error(dict(arguments))
  return _message(error, arguments) if error is not None else _unreal(arguments, document)


def _unreal(arguments: Mapping[str, JSON], document: schemas.Document) -> str:
  """Text that its schema takes and no server would: a time zone that does not exist, a time of day that is none."""
  declared = document.resolve(document.root).get('properties', {})
  for name, value in arguments.items():
    if not isinstance(value, str) or not isinstance(declared.get(name), Mapping):
      continue
    words = naming.words(name)
    if (words[-1:] == ['timezone'] or words[-2:] == ['time', 'zone']) and zones() and value not in zones():
      return f'argument "{name}": there is no time zone {shown(value)}'
    if words[-1:] == ['time'] and _CLOCK_STATED.search(str(declared[name].get('description', ''))) and not _CLOCK.fullmatch(value.strip()):
      return f'argument "{name}": {shown(value)} is no time of day'
  return ''


@functools.cache
def zones() -> frozenset[str]:
  """The names of the IANA database; empty where there is none."""
  return frozenset(zoneinfo.available_timezones())


def _unknown(arguments: Mapping[str, JSON], root: schemas.Node) -> str:
  """A parameter that the tool does not declare. Servers reject those also where the schema forgot to say so."""
  if root.get('additionalProperties') not in (None, False) or any(k in root for k in ('allOf', 'anyOf', 'oneOf', '$ref')):
    return ''
  return next((name for name in arguments if name not in root.get('properties', {})), '')


def _message(error: jsonschema.ValidationError, arguments: Mapping[str, JSON]) -> str:
  if not error.absolute_path:
    if error.validator == 'required':
      missing = next((n for n in error.validator_value if n not in arguments), '')
      return f'missing required argument "{missing}"'
    return f'the arguments do not fit: {shown(error.message)}'
  where = '.'.join(str(p) for p in error.absolute_path)
  return f'argument "{shown(where)}": {_expected(error)}'


def _expected(error: jsonschema.ValidationError) -> str:
  wanted = error.validator_value
  if error.validator == 'type':
    return f'expected {wanted if isinstance(wanted, str) else " or ".join(wanted)}, got {shown(error.instance)}'
  if error.validator == 'enum':
    return f'{shown(error.instance)} is not one of {", ".join(str(w) for w in wanted[:8])}'
  if error.validator == 'required' and isinstance(error.instance, Mapping):
    return f'missing {", ".join(n for n in wanted if n not in error.instance)}'
  return f'{shown(error.instance)} does not fit {error.validator} {shown(wanted)}'
