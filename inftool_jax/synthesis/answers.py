"""What the user wants to know: scalar fields of a result that a closing answer can state."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax.rewards.answers import says
from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.synthesis.wording.lexicon import split_name
from inftool_jax.types import JSON, Result, Tool

MAX_CHARS = 40
MAX_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One scalar of a result."""

  path: str  # $.items[0].name
  words: str  # what a user calls it: the words of the innermost key
  value: JSON


def data(result: Result) -> JSON:
  """A result as JSON data; None when it is no JSON."""
  if result.structured is not None:
    return result.structured
  try:
    return json.loads(result.content)
  except ValueError:  # a tool that answers in prose has no fields
    return None


def leaves(value: JSON, path: str = '$', key: str = '', depth: int = 0) -> Iterator[Leaf]:
  """Every scalar with its path, in order of appearance."""
  if depth > MAX_DEPTH:
    return
  if isinstance(value, Mapping):
    for name, member in value.items():
      step = f'.{name}' if name and not set(name) & set('.[]') else f'[{json.dumps(name)}]'
      if '"' not in name:
        yield from leaves(member, path + step, name, depth + 1)
  elif isinstance(value, list):
    for i, member in enumerate(value):
      yield from leaves(member, f'{path}[{i}]', key, depth + 1)
  else:
    yield Leaf(path, ' '.join(split_name(key)), value)


def askable(tool: Tool, result: Result, said: Sequence[JSON]) -> list[Leaf]:
  """The leaves a user can ask for: named, short, distinct in the result, and not among the values they said themselves.

  What a read or a pure function echoes of its arguments, defaults included, is no news either.
  """
  found = [leaf for leaf in leaves(data(result)) if leaf.words]
  spoken = {canonical_text(value) for value in said}
  names = [leaf.words for leaf in found]
  echoed = frozenset() if tool.writes else frozenset(' '.join(split_name(name)) for name in tool.parameters)
  fresh = [leaf for leaf in found if names.count(leaf.words) == 1 and leaf.words not in echoed]
  return [leaf for leaf in fresh if _statable(leaf.value) and canonical_text(leaf.value) not in spoken]


def _statable(value: JSON) -> bool:
  if isinstance(value, bool) or value is None or value == 0:
    return False  # too easily guessed: a flag, or the count of nothing
  if isinstance(value, str):
    return bool(value.strip()) and len(value) <= MAX_CHARS and not value.strip().startswith(('{', '['))
  return isinstance(value, (int, float))


def choose(tool: Tool, result: Result, said: Sequence[JSON], rng: random.Random, most: int = 2) -> tuple[Leaf, ...]:
  """One leaf to ask for, now and then `most`; () if there is none."""
  found = askable(tool, result, said)
  if not found:
    return ()
  count = most if len(found) >= most and rng.random() < 0.2 else 1
  return tuple(rng.sample(found, count))


def gives_away(opening: str, leaf_values: Sequence[JSON]) -> bool:
  """Whether the opening states one of the values, so that no call were needed to answer."""
  return any(says(opening, value) for value in leaf_values)
