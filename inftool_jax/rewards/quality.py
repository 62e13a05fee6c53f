"""How often `canonical` is wrong: it is measured on calls whose sameness is known by how they were made.

A call is drawn from a tool's schema. An *equivalent* is rewritten by a stated rule that keeps its meaning, a *mutant* by one
that changes it. Nothing here uses `canonical` to decide which is which.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical
from inftool_jax.types import JSON, Call, Tool

MAX_DEPTH = 6  # of drawn values; nested schemas beyond it get an empty object or list
Arguments = dict[str, JSON]
Rule = Callable[[Arguments, Tool, random.Random], Arguments | None]  # None: the rule has nothing to work on here


@dataclasses.dataclass(frozen=True)
class FalseRates:
  equivalents: int
  mutants: int
  false_rejects: int  # equivalents taken for another call
  false_accepts: int  # mutants taken for the same call
  by_rule: Mapping[str, int]  # how many pairs each rule made
  examples: tuple[str, ...]  # the first wrong pairs, as 'rule: original | rewritten'

  @property
  def false_reject_rate(self) -> float:
    return self.false_rejects / max(1, self.equivalents)

  @property
  def false_accept_rate(self) -> float:
    return self.false_accepts / max(1, self.mutants)


def quality(tools: Sequence[Tool], seed: int, n: int) -> FalseRates:
  """Draws `n` equivalents and `n` mutants over `tools` and counts the errors of `canonical`.

  Each pair uses a random tool, call and rule among those that apply to it. Raises ValueError without a tool that has
  parameters, for then there is nothing to rewrite.
  """
  usable = [tool for tool in tools if tool.parameters]
  if not usable:
    raise ValueError('no tool with parameters to draw calls for')
  wrong: list[str] = []
  made: Counter[str] = Counter()
  counts = []
  for group, rules, same in (('equivalent', EQUIVALENT, True), ('mutant', MUTANT, False)):
    errors = 0
    for i in range(n):
      rng = seeds.rng(seed, 'quality', group, i)
      tool, rule, before, after = _pair(usable, rules, rng)
      made[rule] += 1
      if (canonical(Call(tool.name, before), tool) == canonical(Call(tool.name, after), tool)) != same:
        errors += 1
        wrong.append(f'{rule}: {tool.name} {before} | {after}')
    counts.append(errors)
  return FalseRates(n, n, counts[0], counts[1], dict(sorted(made.items())), tuple(wrong[:20]))


def _pair(tools: Sequence[Tool], rules: Mapping[str, Rule], rng: random.Random) -> tuple[Tool, str, Arguments, Arguments]:
  while True:  # ends: 'reorder' and 'add_undeclared' apply to every tool
    tool, rule = rng.choice(tools), rng.choice(sorted(rules))
    before = draw_arguments(tool, rng)
    after = rules[rule](dict(before), tool, rng)
    if after is not None:
      return tool, rule, before, after


def draw_arguments(tool: Tool, rng: random.Random) -> Arguments:
  """Random arguments of the declared types: the required ones and about half of the others."""
  return {
    name: draw(schema, rng)
    for name, schema in tool.parameters.items() if name in tool.required or rng.random() < 0.5
  }


def draw(schema: JSON, rng: random.Random, depth: int = 0) -> JSON:
  """A random value of the type `schema` names; bounds and patterns are not looked at, `canonical` does not read them."""
  schema = schema if isinstance(schema, Mapping) else {}
  if 'const' in schema:
    return schema['const']
  if schema.get('enum'):
    return rng.choice(list(schema['enum']))
  for union in ('anyOf', 'oneOf', 'allOf'):
    if schema.get(union):
      return draw(schema[union][0], rng, depth + 1)
  kind = _type(schema)
  if kind == 'boolean':
    return rng.random() < 0.5
  if kind == 'integer':
    return rng.randint(-3, 400)
  if kind == 'number':
    return rng.choice([rng.randint(0, 90), rng.randint(0, 9000) / 100])
  if kind == 'array':
    return _draw_array(schema, rng, depth)
  if kind == 'object':
    inner = schema.get('properties', {}) if depth < MAX_DEPTH else {}
    return {name: draw(s, rng, depth + 1) for name, s in inner.items()}
  return _draw_string(str(schema.get('format', '')), rng)


def _type(schema: Mapping[str, JSON]) -> str:
  kind = schema.get('type', 'object' if 'properties' in schema else 'string')
  return next((k for k in kind if k != 'null'), 'string') if isinstance(kind, (list, tuple)) else str(kind)


def _draw_array(schema: Mapping[str, JSON], rng: random.Random, depth: int) -> list[JSON]:
  members: list[JSON] = []
  for _ in range(rng.randint(1, 3) if depth < MAX_DEPTH else 0):
    member = draw(schema.get('items', {}), rng, depth + 1)
    if member not in members:
      members.append(member)
  return members


def _draw_string(form: str, rng: random.Random) -> str:
  moment = datetime.datetime(2031, 1, 1) + datetime.timedelta(minutes=rng.randrange(500_000))
  if form == 'date':
    return moment.date().isoformat()
  if form == 'date-time':
    return moment.isoformat() + 'Z'
  if form == 'time':
    return moment.time().isoformat()
  if form == 'uuid':
    digits = f'{rng.getrandbits(128):032x}'
    return '-'.join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
  return rng.choice(('Ada', 'blue', 'Rome', 'low tide', '7', '')) + rng.choice(('', ' x', '-2')) or 'empty'


# Rules on whole calls. `_one` picks a supplied argument, so a rule says only what happens to its value.


def _one(fits: Callable[[JSON, Mapping[str, JSON]], bool], change: Callable[[JSON, random.Random], JSON]) -> Rule:
  """The rule that rewrites one supplied argument whose value and schema fit."""
  def apply(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
    names = [name for name in sorted(arguments) if fits(arguments[name], tool.parameters[name])]
    if not names:
      return None
    name = rng.choice(names)
    return {**arguments, name: change(arguments[name], rng)}
  return apply


def _reorder(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments:
  return {name: arguments[name] for name in rng.sample(sorted(arguments), len(arguments))}


def _absent(arguments: Arguments, tool: Tool) -> list[str]:
  return [name for name in tool.parameters if name not in arguments and name not in tool.required]


def _state_default(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  names = [name for name in _absent(arguments, tool) if 'default' in tool.parameters[name]]
  if not names:
    return None
  name = rng.choice(names)
  return {**arguments, name: tool.parameters[name]['default']}


def _state_null(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  # Where a schema has a default and allows null, null may well mean something else than leaving out.
  names = [name for name in _absent(arguments, tool) if tool.parameters[name].get('default') is None]
  return {**arguments, rng.choice(names): None} if names else None


def _drop(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  names = [name for name in sorted(arguments) if arguments[name] is not None and arguments[name] != tool.parameters[name].get('default')]
  if not names:
    return None
  dropped = rng.choice(names)
  return {name: value for name, value in arguments.items() if name != dropped}


def _add(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  for name in _absent(arguments, tool):
    value = draw(tool.parameters[name], rng)
    if value is not None and value != tool.parameters[name].get('default'):
      return {**arguments, name: value}
  return None


def _add_undeclared(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  return None if 'not_declared' in tool.parameters else {**arguments, 'not_declared': rng.randint(1, 9)}


def _swap(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  names = sorted(arguments)
  pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1:] if _differ(arguments[a], arguments[b])]
  if not pairs:
    return None
  a, b = rng.choice(pairs)
  if any(tool.parameters[x].get('enum') or 'default' in tool.parameters[x] for x in (a, b)):
    return None  # the swapped value might be another spelling of the member or the default there
  return {**arguments, a: arguments[b], b: arguments[a]}


def _differ(a: JSON, b: JSON) -> bool:
  return isinstance(a, str) and isinstance(b, str) and a.casefold().strip() != b.casefold().strip()


def _is_number(value: JSON) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unordered(schema: Mapping[str, JSON]) -> bool:
  return schema.get('x-unordered', schema.get('uniqueItems')) is True


def _several(value: JSON) -> bool:
  return isinstance(value, list) and len(value) > 1


def _case_is_free(value: JSON, schema: Mapping[str, JSON]) -> bool:
  members = [m for m in schema.get('enum', ()) if isinstance(m, str)]
  return isinstance(value, str) and value in members and len({m.lower() for m in members}) == len(members)


def _in_another_zone(value: str, rng: random.Random) -> str:
  hours = rng.choice((-8, -3, 2, 9))
  moved = datetime.datetime.fromisoformat(value) + datetime.timedelta(hours=hours)
  return f'{moved.replace(tzinfo=None).isoformat()}{hours:+03d}:00'


def _later(value: str, rng: random.Random) -> str:
  if len(value) == 10:
    return (datetime.date.fromisoformat(value) + datetime.timedelta(days=rng.randint(1, 40))).isoformat()
  return (datetime.datetime.fromisoformat(value[:-1]) + datetime.timedelta(minutes=rng.randint(1, 4000))).isoformat() + 'Z'


def _is_drawn_moment(value: JSON, schema: Mapping[str, JSON]) -> bool:
  """A date or date-time as `draw` writes them, under the format that says so."""
  lengths = {'date': 10, 'date-time': 20}
  return isinstance(value, str) and 'enum' not in schema and len(value) == lengths.get(str(schema.get('format')), -1)


def _other_member(arguments: Arguments, tool: Tool, rng: random.Random) -> Arguments | None:
  for name in sorted(arguments):
    others = [m for m in tool.parameters[name].get('enum', ()) if m != arguments[name]]
    if others:
      return {**arguments, name: rng.choice(others)}
  return None


# Keywords under which another case may be another spelling, a union's branches included.
_SPELLING = frozenset({'enum', 'format', 'const', 'default', 'anyOf', 'oneOf', 'allOf', '$ref'})

EQUIVALENT: Mapping[str, Rule] = {
  'reorder': _reorder,
  'state_default': _state_default,
  'state_null': _state_null,
  'write_as_float': _one(lambda v, s: _is_number(v) and v == int(v), lambda v, r: float(v)),
  'enum_in_upper_case': _one(_case_is_free, lambda v, r: v.upper()),
  'another_zone': _one(lambda v, s: _is_drawn_moment(v, s) and s['format'] == 'date-time', _in_another_zone),
  'omit_zone': _one(lambda v, s: _is_drawn_moment(v, s) and s['format'] == 'date-time', lambda v, r: v[:-1]),
  'reverse_set': _one(lambda v, s: _several(v) and _unordered(s), lambda v, r: v[::-1]),
}

MUTANT: Mapping[str, Rule] = {
  'drop_argument': _drop,
  'add_argument': _add,
  'add_undeclared': _add_undeclared,
  'swap_values': _swap,
  'other_member': _other_member,
  'other_number': _one(lambda v, s: _is_number(v) and 'enum' not in s and _is_number(s.get('default', v)),
                       lambda v, r: v + r.choice((0.5, 1000, -1000))),
  'number_as_text': _one(lambda v, s: _is_number(v), lambda v, r: str(v)),
  'text_as_list': _one(lambda v, s: isinstance(v, str), lambda v, r: [v]),
  'other_text': _one(lambda v, s: isinstance(v, str) and 'enum' not in s, lambda v, r: v + r.choice(('q', ' too', '0'))),
  'other_case': _one(lambda v, s: isinstance(v, str) and v != v.upper() and not _SPELLING & set(s),
                     lambda v, r: v.upper()),
  'negate': _one(lambda v, s: isinstance(v, bool), lambda v, r: not v),
  'truth_as_number': _one(lambda v, s: isinstance(v, bool), lambda v, r: int(v)),
  'later': _one(_is_drawn_moment, _later),
  'reverse_list': _one(lambda v, s: _several(v) and not _unordered(s) and v != v[::-1], lambda v, r: v[::-1]),
  'shorten_list': _one(lambda v, s: isinstance(v, list) and bool(v), lambda v, r: v[:-1]),
}
