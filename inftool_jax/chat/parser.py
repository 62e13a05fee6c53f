"""The text of an assistant turn to content and calls. Total: any text gives a message, at worst one with an error code."""

from __future__ import annotations

import json
import math
from typing import Literal, NoReturn

from inftool_jax.chat.template import SPECIAL_TOKENS, TAGS
from inftool_jax.types import JSON, Call, Finish, Message

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

_OPEN, _CLOSE = TAGS[0], TAGS[1]
_RESPONSES = TAGS[2:4]


class _Malformed(Exception):
  def __init__(self, code: ParseError) -> None:
    super().__init__(code)
    self.code = code


def parse(text: str, finish: Finish) -> Message:
  """The assistant's message in `text`, its end-of-turn token already removed.

  With an error, the message has no calls and all of the text as its content, and `error` is a `ParseError`.
  """
  try:
    if finish == 'length':
      raise _Malformed('truncated')
    if finish in ('cancelled', 'deadline'):
      raise _Malformed('interrupted')
    content, calls = _split(text)
  except _Malformed as e:
    return Message('assistant', content=text, error=e.code)
  return Message('assistant', content=content, calls=calls)


def _split(text: str) -> tuple[str, tuple[Call, ...]]:
  if any(token in text for token in SPECIAL_TOKENS):
    raise _Malformed('stray_tag')
  pieces: list[str] = []
  calls: list[Call] = []
  rest = text
  while True:
    piece, opened, rest = rest.partition(_OPEN)
    _check_plain(piece)
    pieces.append(piece.strip())
    if not opened:
      return '\n'.join(p for p in pieces if p), tuple(calls)
    body, closed, rest = rest.partition(_CLOSE)
    if not closed:
      # A reply of the tool's, written before the call was even closed, is the graver mistake.
      raise _Malformed('writes_tool_response' if any(r in body for r in _RESPONSES) else 'unterminated_call')
    calls.append(_call(body))


def _check_plain(text: str) -> None:
  if any(tag in text for tag in _RESPONSES):
    raise _Malformed('writes_tool_response')
  if any(tag in text for tag in TAGS):
    raise _Malformed('stray_tag')


def _call(body: str) -> Call:
  try:
    value = _loads(body)
  except _Malformed:
    if _OPEN in body:  # the next call began before this one was closed
      raise _Malformed('unterminated_call') from None
    raise
  if not isinstance(value, dict):
    raise _Malformed('not_an_object')
  name = value.get('name')
  if not isinstance(name, str) or not name:
    raise _Malformed('missing_name')
  arguments = value.get('arguments')
  if not isinstance(arguments, dict):
    raise _Malformed('bad_arguments')
  if len(value) > 2:
    raise _Malformed('unknown_key')
  return Call(name, arguments)


def _loads(text: str) -> JSON:
  if _depth(text) > MAX_DEPTH:
    raise _Malformed('too_deep')
  try:
    value = json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair cannot be stored or tokenized
  except ValueError as e:
    raise _Malformed('bad_json') from e
  return value


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
    raise _Malformed('duplicate_key')
  return value


def _float(text: str) -> float:
  value = float(text)
  if not math.isfinite(value):
    raise _Malformed('bad_json')
  return value


def _int(text: str) -> int:
  if len(text) > MAX_DIGITS:
    raise _Malformed('bad_json')
  return int(text)


def _constant(text: str) -> NoReturn:
  raise _Malformed('bad_json')  # NaN and Infinity are no JSON
