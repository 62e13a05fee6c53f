"""Strings that match a regular expression, made from its parse tree."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# How much further than its minimum an open repeat may go.
EXTRA = 6
MAX_REPEATS = 64
_LETTERS = string.ascii_lowercase + string.ascii_uppercase + string.digits
_CATEGORIES = {
  ops.CATEGORY_DIGIT: string.digits, ops.CATEGORY_WORD: _LETTERS, ops.CATEGORY_SPACE: ' ',
  ops.CATEGORY_NOT_DIGIT: string.ascii_lowercase, ops.CATEGORY_NOT_WORD: '-', ops.CATEGORY_NOT_SPACE: _LETTERS,
}


def matching(pattern: str, rng: random.Random) -> str:
  """A string for `pattern` (which must compile). Look-arounds and back-references are ignored: check the result."""
  return _sequence(parser.parse(pattern), rng)


def _sequence(nodes: Iterable[tuple[Any, Any]], rng: random.Random) -> str:
  return ''.join(_one(op, argument, rng) for op, argument in nodes)


def _one(op: Any, argument: Any, rng: random.Random) -> str:
  if op is ops.LITERAL:
    return chr(argument)
  if op is ops.NOT_LITERAL:
    return rng.choice([c for c in _LETTERS if ord(c) != argument])
  if op is ops.ANY:
    return rng.choice(string.ascii_lowercase)
  if op is ops.IN:
    return _from_set(argument, rng)
  if op is ops.BRANCH:
    return _sequence(rng.choice(argument[1]), rng)
  if op is ops.SUBPATTERN:
    return _sequence(argument[-1], rng)
  if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
    low, high, body = argument
    times = rng.randint(min(low, MAX_REPEATS), max(min(high, low + EXTRA, MAX_REPEATS), min(low, MAX_REPEATS)))
    return ''.join(_sequence(body, rng) for _ in range(times))
  return ''  # anchors take no room


def _from_set(members: list[tuple[Any, Any]], rng: random.Random) -> str:
  allowed: list[str] = []
  for op, argument in members:
    if op is ops.LITERAL:
      allowed.append(chr(argument))
    elif op is ops.RANGE:
      allowed += [chr(c) for c in range(argument[0], min(argument[1], argument[0] + 255) + 1)]
    elif op is ops.CATEGORY:
      allowed += _CATEGORIES.get(argument, _LETTERS)
  if members and members[0][0] is ops.NEGATE:
    allowed = [c for c in _LETTERS + ' -_' if c not in allowed]
  return rng.choice(allowed) if allowed else ''


def fits(pattern: str, text: str) -> bool:
  return re.search(pattern, text) is not None
