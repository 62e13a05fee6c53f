"""One solution per task: would another offered tool, called as well as it can be, do the same?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.servers import schemas
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.slots import resolved, slot_key, strong_words, type_of
from inftool_jax.types import JSON, Call, Tool


@dataclasses.dataclass(frozen=True)
class Known:
  """A value that a caller has at hand, and the parameter that gold gives it to."""

  parameter: str
  schema: Mapping[str, JSON]
  value: JSON


@dataclasses.dataclass(frozen=True)
class Goal:
  """What one gold call achieves: what it writes, or (for a call that only reads) the values it reveals."""

  difference: JSON
  revealed: tuple[JSON, ...]


def best_call(tool: Tool, known: Sequence[Known]) -> Call | None:
  """The tool called with the known values that fit it best: by name, then by words in common, then by kind of value.

  None if a required parameter stays open: without inventing something, the tool cannot be called.
  """
  arguments: dict[str, JSON] = {}
  left = list(known)
  for name in sorted(tool.parameters, key=lambda n: n not in tool.required):
    schema = resolved(tool, name)
    fitting = [k for k in left if _accepts(tool, name, k.value)]
    best = max(fitting, key=lambda k: _fit(name, schema, k), default=None)
    if best is not None and _fit(name, schema, best) >= (1 if name in tool.required else 2):
      arguments[name] = best.value
      left.remove(best)
    elif name in tool.required:
      fallback = _from_schema(schema)
      if fallback is None:
        return None
      arguments[name] = fallback
  return Call(tool.name, arguments)


def _fit(name: str, schema: Mapping[str, JSON], known: Known) -> int:
  """3: the same name; 2: words in common and the same kind of value; 1: the same kind of value; 0: neither."""
  if name.lower() == known.parameter.lower():
    return 3
  if slot_key(name, schema) != slot_key(known.parameter, known.schema) and type_of(schema) != type_of(known.schema):
    return 0
  return 2 if strong_words(name) & strong_words(known.parameter) else 1


def _accepts(tool: Tool, name: str, value: JSON) -> bool:
  document = schemas.compiled(tool.input_schema)
  return document.accepts(value, document.resolve(document.root).get('properties', {}).get(name, {}))


def _from_schema(schema: Mapping[str, JSON]) -> JSON:
  """A value that a schema names itself: constant, default, first of an enum, first example."""
  for key in ('const', 'default'):
    if key in schema:
      return schema[key]
  listed = schema.get('enum') or schema.get('examples')
  return listed[0] if isinstance(listed, Sequence) and listed and not isinstance(listed, str) else None


def solves(tool: Tool, known: Sequence[Known], goals: Sequence[Goal], simulator: Simulator, seed: int, state: JSON) -> bool:
  """Whether the tool's best call reaches one of the goals from `state`."""
  call = best_call(tool, known)
  if call is None:
    return False
  session = simulator.open(seed, state)
  result = session.execute(call)
  if result.is_error:
    return False
  difference = session.difference()
  told = {canonical_text(leaf.value) for leaf in answers.leaves(answers.data(result))}
  return any(_reaches(goal, difference, told) for goal in goals)


def _reaches(goal: Goal, difference: JSON, told: set[str]) -> bool:
  if goal.difference:
    return canonical_text(difference) == canonical_text(goal.difference)
  return bool(goal.revealed) and all(canonical_text(value) in told for value in goal.revealed)
