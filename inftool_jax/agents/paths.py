"""JSON paths of the plain kind that provenance uses: `$.order.id`, `$.items[0].name`, `$['odd key']`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from inftool_jax.types import JSON, Result

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]""")


def value_at(result: Result, path: str) -> JSON:
  """The value at `path` in a tool's result. Raises LookupError if there is none, ValueError on a malformed path."""
  value = result.structured if result.structured is not None else _parsed(result.content)
  for step in _steps(path):
    in_object = isinstance(value, dict) and step in value
    in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
    if not in_object and not in_list:
      raise LookupError(f'the result has no {path}: {result.content[:200]}')
    value = value[step]
  return value


def last_name(path: str) -> str:
  """The innermost key of `path`, '' for `$`: what a person would call the value."""
  names = [step for step in _steps(path) if isinstance(step, str)]
  return names[-1] if names else ''


def _steps(path: str) -> Iterator[str | int]:
  if not path.startswith('$'):
    raise ValueError(f'a JSON path begins with $, unlike {path!r}')
  at = 1
  while at < len(path):
    found = _STEP.match(path, at)
    if found is None:
      raise ValueError(f'{path!r} is no plain JSON path from position {at} on')
    key, index, quoted, double = found.groups()
    yield int(index) if index is not None else next(k for k in (key, quoted, double) if k is not None)
    at = found.end()


def _parsed(content: str) -> JSON:
  try:
    return json.loads(content)
  except ValueError as e:
    raise LookupError(f'the result is no JSON: {content[:200]}') from e
