"""Gold arguments: which parameters a call fills, and with what, so that it works on the records that are there."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.servers import identifiers, schemas, values
from inftool_jax.servers.catalog import Catalog, Operation
from inftool_jax.servers.words import Pool
from inftool_jax.synthesis.slots import Slot, resolved, spoken
from inftool_jax.types import JSON, Call, Provenance, Tool

Records = Mapping[str, Mapping[str, JSON]]  # id -> record

MAX_ARGUMENTS = 4
MAX_SPOKEN = 60
# How many optional parameters a call fills: most users say what is needed and little more.
_OPTIONAL = (0, 0, 1, 1, 1, 2)


@dataclasses.dataclass(frozen=True)
class Filled:
  """A call and where its arguments come from: `slots` are to be voiced, `fixed` follow from the schema alone."""

  call: Call
  slots: tuple[Slot, ...]
  fixed: Mapping[str, Provenance]


@dataclasses.dataclass(frozen=True)
class World:
  """What arguments may refer to: the records of every entity and the pool that new values come from."""

  catalog: Catalog
  records: Mapping[str, Records]  # entity key -> records
  pool: Pool

  def ids(self, entity: str) -> list[JSON]:
    """The ids of the records of an entity, in the order of their keys."""
    field = self.catalog.entities[entity].id_field
    return [record[field] for _, record in sorted(self.records.get(entity, {}).items())]


def fill(operation: Operation, world: World, index: int, seed: int, given: Mapping[str, JSON] | None = None) -> Filled | None:
  """Gold call number `index` of an operation; None if the world has nothing that it could act on.

  Args:
    operation: what the tool does.
    world: records and value pool.
    index: number of the gold call, for its slots.
    seed: the choice's own seed.
    given: values of parameters that an earlier result reveals; they are filled but not voiced.
  """
  given = given or {}
  chosen = _parameters(operation, given, seeds.rng(seed, 'parameters'))
  record = _record(operation, world, given, seeds.rng(seed, 'record'))
  if record is None:
    return None
  arguments: dict[str, JSON] = dict(given)
  fixed: dict[str, Provenance] = {}
  slots: list[Slot] = []
  for name in chosen:
    only = _only_value(operation.tool, name)
    if only is not None:
      arguments[name], fixed[name] = only
      continue
    value = _value(operation, name, record, world, seeds.derive(seed, 'value', name))
    if not _speakable(value) or _is_default(operation.tool, name, value):
      if name in operation.tool.required:
        return None
      continue
    arguments[name] = value
    slots.append(Slot(index, operation.tool, name, value))
  voiced = [spoken(slot.value) for slot in slots if not isinstance(slot.value, bool)]
  if len(set(voiced)) < len(voiced):
    return None  # two equal values: a listener could not tell which words voice which
  ordered = {name: arguments[name] for name in operation.tool.parameters if name in arguments}
  return Filled(Call(operation.tool.name, ordered), tuple(slots), fixed)


def _parameters(operation: Operation, given: Mapping[str, JSON], rng: random.Random) -> list[str]:
  tool = operation.tool
  required = [name for name in tool.parameters if name in tool.required and name not in given]
  paging = {f.parameter for f in operation.filters if f.test in ('limit', 'offset')}
  optional = [n for n in tool.parameters if n not in tool.required and n not in given and n not in paging and _is_plain(tool, n)]
  assigned = [a.parameter for a in operation.assigns]
  count = min(rng.choice(_OPTIONAL), max(0, MAX_ARGUMENTS - len(required)))
  telling = {*assigned, *(f.parameter for f in operation.filters)}
  if operation.role in ('update', 'find', 'list') and telling.isdisjoint(required):
    count = max(count, 1)  # an update that changes nothing, a search for nothing
  picked = set(rng.sample(optional, min(count, len(optional))))
  if operation.role == 'update' and optional and not any(n in assigned for n in (*required, *picked)):
    picked |= set(rng.sample([n for n in optional if n in assigned] or optional, 1))
  return [name for name in tool.parameters if name in picked or name in required]


def _is_plain(tool: Tool, name: str) -> bool:
  return values.type_of(resolved(tool, name)) not in ('object', 'array', 'null')


def _record(operation: Operation, world: World, given: Mapping[str, JSON], rng: random.Random) -> Mapping[str, JSON] | None:
  """The record that the call is about; {} where none is needed, None where one is needed and there is none."""
  records = world.records.get(operation.entity, {}) if operation.entity else {}
  if operation.id_parameter and operation.id_parameter in given:
    return records.get(str(given[operation.id_parameter]), {})
  if records and operation.role != 'create':
    return records[rng.choice(sorted(records))]
  return None if operation.id_parameter or operation.lookup else {}


def _only_value(tool: Tool, name: str) -> tuple[JSON, Provenance] | None:
  """The one value that the schema leaves, and its place there."""
  schema = resolved(tool, name)
  if 'const' in schema:
    return schema['const'], Provenance('schema', 0, 'const')
  if isinstance(schema.get('enum'), Sequence) and len(schema['enum']) == 1:
    return schema['enum'][0], Provenance('schema', 0, 'enum')
  return None


def _value(operation: Operation, name: str, record: Mapping[str, JSON], world: World, seed: int) -> JSON:
  """A value that makes the call do something: an id that exists, a field that records have, a change that changes."""
  tool, rng = operation.tool, seeds.rng(seed, 'pick')
  fields = dict(operation.lookup) | {f.parameter: f.field for f in operation.filters if f.field}
  if name in fields and _fits(tool, name, record.get(fields[name])):
    return record[fields[name]]
  if any(f.parameter == name and f.test == 'contains' for f in operation.filters):
    return _term(record, rng)
  if name in operation.references:
    known = world.ids(operation.references[name])
    return rng.choice(known) if known else None
  now = next((record.get(a.field) for a in operation.assigns if a.parameter == name and a.how == 'set'), None)
  # The whole document goes along: a parameter's schema may refer to its $defs.
  document = schemas.compiled(tool.input_schema)
  node = document.resolve(document.root).get('properties', {}).get(name, {})
  for attempt in range(4):
    value = values.draw(document, node, name, seeds.derive(seed, attempt), world.pool)
    if canonical_text(value) != canonical_text(now):
      return value
  return None


def _term(record: Mapping[str, JSON], rng: random.Random) -> JSON:
  """A word of the record's text that a search would look for; None if it has no text."""
  texts = [v for name, v in record.items() if isinstance(v, str) and not identifiers.is_identifier(name)]
  found = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})
  return rng.choice(found) if found else None


def _fits(tool: Tool, name: str, value: JSON) -> bool:
  document = schemas.compiled(tool.input_schema)
  return value is not None and document.accepts(value, document.resolve(document.root).get('properties', {}).get(name, {}))


def _is_default(tool: Tool, name: str, value: JSON) -> bool:
  schema = resolved(tool, name)
  return name not in tool.required and 'default' in schema and canonical_text(schema['default']) == canonical_text(value)


def _speakable(value: JSON) -> bool:
  text = spoken(value)
  return value is not None and bool(text.strip()) and len(text) <= MAX_SPOKEN and '\n' not in text and text == text.strip()
