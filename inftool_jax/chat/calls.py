"""Calls as JSON in model text, read strictly: what every format of tool calls shares."""

from __future__ import annotations

import json
import math
from typing import Literal, NoReturn

from inftool_jax.types import JSON, Call

ParseError = Literal[
  'truncated',  # the turn hit its token limit
  'interrupted',  # the sampler gave it up: cancelled, or past its deadline
  'stray_tag',  # a special token inside the turn, or a tag where none belongs
  'writes_tool_response',  # the policy wrote the tool's reply itself
  'unterminated_call',
  'bad_json',  # what stands in a call is no JSON, or no JSON that can be written again
  'too_deep',
  'duplicate_key',
  'not_an_object',
  'missing_name',
  'bad_arguments',  # absent, or not an object
  'unknown_key',  # beside name and arguments
]

MAX_DEPTH = 32  # brackets in brackets; schemas end long before it, and Python's own limit is never met
MAX_DIGITS = 40  # of an integer; more than any id, fewer than would overflow a float


class Malformed(Exception):
  """Text that is no proper turn; `code` says why."""

  def __init__(self, code: ParseError) -> None:
    super().__init__(code)
    self.code = code


def call(value: JSON, arguments_key: str) -> Call:
  """The call that a JSON value describes. Raises Malformed if it describes none."""
  if not isinstance(value, dict):
    raise Malformed('not_an_object')
  name = value.get('name')
  if not isinstance(name, str) or not name:
    raise Malformed('missing_name')
  arguments = value.get(arguments_key)
  if not isinstance(arguments, dict):
    raise Malformed('bad_arguments')
  if len(value) > 2:
    raise Malformed('unknown_key')
  return Call(name, arguments)


def load(text: str, separator: str = '') -> list[JSON]:
  """The JSON value in `text`, or several with `separator` between them. Raises Malformed."""
  if _depth(text) > MAX_DEPTH:
    raise Malformed('too_deep')
  values: list[JSON] = []
  try:
    rest = text.strip(_BLANKS)
    while True:
      value, end = _DECODER.raw_decode(rest)
      json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be stored or tokenized
      values.append(value)
      rest = rest[end:].lstrip(_BLANKS)
      if not rest:
        return values
      if not separator or not rest.startswith(separator):
        raise Malformed('bad_json')
      rest = rest.removeprefix(separator).lstrip(_BLANKS)
  except ValueError as e:
    raise Malformed('bad_json') from e


_BLANKS = ' \t\n\r'  # JSON's own; other blanks are no part of it


def _depth(text: str) -> int:
  """How deep brackets nest outside of strings; for text that is no JSON, at least as deep as a parser would get."""
  depth = deepest = 0
  in_string = escaped = False
  for c in text:
    if in_string:
      in_string = escaped or c != '"'
      escaped = c == '\\' and not escaped
    elif c == '"':
      in_string = True
    elif c in '[{':
      depth += 1
      deepest = max(deepest, depth)
    elif c in ']}':
      depth = max(0, depth - 1)
  return deepest


def _object(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
  value = dict(pairs)
  if len(value) != len(pairs):
    raise Malformed('duplicate_key')
  return value


def _float(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise Malformed('bad_json')
  return value


def _int(text: str) -> int:
  if len(text) > MAX_DIGITS:
    raise Malformed('bad_json')
  return int(text)


def _constant(text: str) -> NoReturn:
  raise Malformed('bad_json')  # NaN and Infinity are no JSON


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
