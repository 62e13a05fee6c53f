"""What a call does to the store, one function per role; each returns the facts its result is written from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.servers import arguments as argument_checks
from inftool_jax.servers import entities, fields, identifiers, names, responses, seeding, values
from inftool_jax.servers.catalog import Assignment, Catalog, Entity, Filter, Operation, Role
from inftool_jax.servers.responses import Facts
from inftool_jax.servers.state import LOG, Record, Store
from inftool_jax.servers.words import Pool
from inftool_jax.types import JSON

Arguments = Mapping[str, JSON]

MAX_LOGGED = 400
_SHOWN_COUNTS = frozenset({'count', 'num_results', 'result_count', 'returned'})
_TOTALS = frozenset({'total', 'total_count', 'total_results', 'total_items'})


class Refusal(Exception):
  """The server cannot serve this call; the message names the argument. It becomes an error result."""


@dataclasses.dataclass(frozen=True)
class Context:
  catalog: Catalog
  store: Store
  seed: int
  pool: Pool


def refuse(parameter: str, reason: str) -> Refusal:
  return Refusal(f'argument "{parameter}": {reason}')


def listed(arguments: Arguments, parameter: str, of: type) -> list:
  """The members of a list. Raises `Refusal` where a loose schema let something else pass."""
  value = arguments[parameter]
  if not isinstance(value, list) or not all(isinstance(v, of) for v in value):
    raise refuse(parameter, 'is not a list of what it should list')
  return value


def check_references(context: Context, operation: Operation, arguments: Arguments) -> None:
  """Raises `Refusal` for an argument that should be the id of a record and is not."""
  for parameter, key in operation.references.items():
    value = arguments.get(parameter)
    if value is not None and context.store.get(key, str(value)) is None:
      raise refuse(parameter, f'no {key.rsplit("/", 1)[-1]} has the id {argument_checks.shown(value)}')


def same(a: JSON, b: JSON) -> bool:
  """Whether two values name the same thing: strings regardless of case and outer blanks, ids regardless of type."""
  if isinstance(a, (str, int)) and isinstance(b, (str, int)) and not isinstance(a, bool) and not isinstance(b, bool):
    return str(a).strip().casefold() == str(b).strip().casefold()
  return canonical_text(a) == canonical_text(b)


def locate(context: Context, operation: Operation, arguments: Arguments) -> tuple[str, Record]:
  """(id, record) that the lookup arguments mean. Raises `Refusal` if there is none."""
  entity = context.catalog.entities[operation.entity]
  lookup = [(p, f) for p, f in operation.lookup if p in arguments]
  if operation.id_parameter:
    if operation.id_parameter not in arguments:  # of a path, and yet not declared as required
      raise refuse(operation.id_parameter, f'which {entity.name} is meant?')
    key = str(arguments[operation.id_parameter])
    record = context.store.get(entity.key, key)
    if record is None:
      raise refuse(operation.id_parameter, f'no {entity.name} has the id {argument_checks.shown(key)}')
    wrong = next((p for p, f in lookup if f != entity.id_field and f in record and not same(arguments[p], record[f])), None)
    if wrong is not None:
      raise refuse(wrong, f'{entity.name} {argument_checks.shown(key)} does not belong to it')
    return key, record
  for key, record in context.store.records(entity.key).items():
    if all(same(arguments[p], record.get(f)) for p, f in lookup):
      return key, record
  parameter = lookup[0][0] if lookup else next(iter(arguments), '')
  raise refuse(parameter, f'no such {entity.name}: {argument_checks.shown(arguments.get(parameter))}')


def _about(context: Context, operation: Operation, key: str, record: Record, more: Mapping[str, JSON], plain: Mapping[str, JSON]) -> Facts:
  """Facts about one record: `more` where the record itself does not say."""
  entity = context.catalog.entities[operation.entity]
  number = record.get(entity.id_field, key)
  known = {**more, **responses.spelled(record), **dict.fromkeys(entity.aliases, number)}
  return Facts(known, plain, optional=_optional(entity), seed=seeds.derive(context.seed, entity.key, key))


def _optional(entity: Entity) -> frozenset[str]:
  return frozenset(names.normal(n) for n, f in entity.fields.items() if f.optional)


def create(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  entity = context.catalog.entities[operation.entity]
  given = operation.uses.get('own', '')
  if given in arguments:
    number: JSON = arguments[given]
    if context.store.get(entity.key, str(number)) is not None:
      raise refuse(given, f'{argument_checks.shown(number)} exists already')
  else:
    number = _free_id(context, entity, text)
  told = {a.field: arguments[a.parameter] for a in operation.assigns if a.parameter in arguments}
  record = _new_record(context, entity, number, {**_nested(entity, told.values()), **told})
  context.store.put(entity.key, str(number), record)
  plain = {entity.id_field: number, **responses.echoed(arguments), 'status': 'created'}
  return _about(context, operation, str(number), record, responses.acknowledgements(operation), plain)


def _nested(entity: Entity, given: Iterable[JSON]) -> dict[str, JSON]:
  """Fields of the entity that are told inside object arguments: 'email' of a `contact`."""
  spelled = {names.normal(f): f for f in entity.fields if f != entity.id_field}
  members = [(names.normal(n), v) for value in given if isinstance(value, Mapping) for n, v in value.items()]
  return {spelled[n]: v for n, v in members if n in spelled}


def _free_id(context: Context, entity: Entity, text: str) -> JSON:
  """The id told by the seed, the entity and the call; identical calls get their ids in turn, whatever stands between."""
  number: JSON = None
  for ordinal in range(256):
    number = seeding.new_id(entity, context.pool, str(context.seed), text, str(ordinal))
    if number is not None and context.store.get(entity.key, str(number)) is None:
      break
  return number


def _new_record(context: Context, entity: Entity, number: JSON, told: Mapping[str, JSON]) -> dict[str, JSON]:
  record: dict[str, JSON] = {}
  status = entities.status_field(entity)
  for name, field in entity.fields.items():
    others = context.store.opening_ids(entity.references.get(name, ''))
    if name == entity.id_field:
      record[name] = number
    elif name in told:
      record[name] = told[name]
    elif field.optional:
      continue
    elif others:
      target = context.catalog.entities[entity.references[name]]
      key = others[seeds.derive(context.seed, entity.key, str(number), name) % len(others)]
      record[name] = (context.store.opening_record(target.key, key) or {}).get(target.id_field, key)
    elif name == status and (first := _first_state(entity, name)) is not None:
      record[name] = first
    else:
      record[name] = seeding.field_value(entity, name, seeds.derive(context.seed, entity.key, str(number)), context.pool)
  return {**record, **{f: v for f, v in told.items() if f not in record}}


def _first_state(entity: Entity, name: str) -> JSON:
  """Where a new record's status starts: the first value of its enum that no action leads to."""
  field = entity.fields[name]
  allowed = field.document.resolve(field.schema).get('enum', [])
  return next((v for v in allowed if v not in entity.targets.get(name, ())), None)


def get(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  key, record = locate(context, operation, arguments)
  return _about(context, operation, key, record, responses.spelled(responses.echoed(arguments)), record)


def list_records(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  entity = context.catalog.entities[operation.entity]
  found = list(context.store.records(entity.key).values())
  most, skipped = values.MAX_ITEMS, 0
  for condition in operation.filters:
    value = arguments.get(condition.parameter)
    if value is None:
      continue
    if condition.test == 'limit':
      most = min(most, value) if isinstance(value, int) and value >= 0 else most
    elif condition.test == 'offset':
      skipped = value if isinstance(value, int) and value >= 0 else 0
    else:
      found = [r for r in found if _passes(r, condition, value)]
  shown = found[skipped:][:most]
  known = {
    **responses.spelled(responses.echoed(arguments)), **dict.fromkeys(_SHOWN_COUNTS, len(shown)), **dict.fromkeys(_TOTALS, len(found)),
  }
  items = tuple({**responses.spelled(r), **dict.fromkeys(entity.aliases, r.get(entity.id_field))} for r in shown)
  plain = {f'{entity.name}s': [dict(list(r.items())[:values.MAX_FIELDS]) for r in shown]}
  return Facts(known, plain, items, _optional(entity), seeds.derive(context.seed, operation.tool.name, text))


def _passes(record: Record, condition: Filter, value: JSON) -> bool:
  if condition.test == 'contains':
    wanted = str(value).strip().casefold()
    return any(wanted in v.casefold() for v in record.values() if isinstance(v, str))
  held = record.get(condition.field)
  if condition.test == 'equal':
    return any(same(value, h) for h in held) if isinstance(held, list) else same(value, held)
  low, high = (value, held) if condition.test == 'at_least' else (held, value)
  if isinstance(low, str) and isinstance(high, str):
    return low[:len(high)] <= high[:len(low)]  # dates against moments: as far as both are told
  return isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= high


def update(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  key, record = locate(context, operation, arguments)
  changed = _assigned(record, operation.assigns, arguments)
  if operation.outcome is not None:
    changed[operation.outcome[0]] = operation.outcome[1]
  if not changed:
    log(context, operation, arguments, text)
  return _changed(context, operation, key, record, changed, arguments)


def action(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  key, record = locate(context, operation, arguments)
  entity = context.catalog.entities[operation.entity]
  assigns = [a for a in operation.assigns if a.parameter in arguments]
  if operation.outcome is None and not any(a.field in entity.fields for a in assigns):
    log(context, operation, arguments, text)
    return _changed(context, operation, key, record, {}, arguments)
  return update(context, operation, arguments, text)


def _changed(context: Context, operation: Operation, key: str, record: Record, changed: Mapping[str, JSON], arguments: Arguments) -> Facts:
  entity = context.catalog.entities[operation.entity]
  now = {**record, **changed}
  if changed:
    context.store.put(entity.key, key, now)
  more = {**responses.acknowledgements(operation), **responses.spelled(responses.echoed(arguments))}
  done = names.participle(names.phrase(operation.tool.name, operation.tool.server).verb or 'update')
  plain = {entity.id_field: record.get(entity.id_field, key), **{f: v for f, v in changed.items() if f != entity.id_field}}
  return _about(context, operation, key, now, more, {**plain, **({} if 'status' in plain else {'status': done})})


def _assigned(record: Record, assigns: Sequence[Assignment], arguments: Arguments) -> dict[str, JSON]:
  changed: dict[str, JSON] = {}
  for a in assigns:
    if a.parameter not in arguments:
      continue
    value, held = arguments[a.parameter], record.get(a.field)
    if a.how == 'set':
      changed[a.field] = value
    elif a.how in ('append', 'remove'):
      kept, given = held if isinstance(held, list) else [], value if isinstance(value, list) else [value]
      without = [h for h in kept if not any(same(h, g) for g in given)]
      changed[a.field] = without if a.how == 'remove' else [*kept, *(g for g in given if not any(same(h, g) for h in kept))]
    else:
      changed[a.field] = _moved(a, held, value)
  return changed


def _moved(assignment: Assignment, held: JSON, by: JSON) -> JSON:
  start = held if isinstance(held, (int, float)) and not isinstance(held, bool) else 0
  now = round(start + (by if assignment.how == 'increase' else -by), 6)
  if now < 0:
    raise refuse(assignment.parameter, f'more than the {assignment.field} of {start}')
  return now


def delete(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  key, record = locate(context, operation, arguments)
  context.store.delete(operation.entity, key)
  entity = context.catalog.entities[operation.entity]
  status = responses.acknowledgements(operation)
  facts = _about(context, operation, key, record, {}, {entity.id_field: record.get(entity.id_field, key), 'status': 'deleted'})
  return dataclasses.replace(facts, known={**facts.known, **status})


def log(context: Context, operation: Operation, arguments: Arguments, text: str) -> str:
  """Keeps a call whose effect no field shows; returns the log entry's id."""
  entity = f'{operation.tool.server}/{LOG}'
  ordinal = 0
  while context.store.get(entity, key := identifiers.opaque('action', str(context.seed), text, str(ordinal))) is not None:
    ordinal += 1
  context.store.put(entity, key, {'tool': operation.tool.name, 'arguments': _cut(arguments)})
  return key


def _cut(value: JSON) -> JSON:
  if isinstance(value, str):
    return value[:MAX_LOGGED]
  if isinstance(value, Mapping):
    return {k: _cut(v) for k, v in value.items()}
  return [_cut(v) for v in value] if isinstance(value, (list, tuple)) else value


def write(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  key = log(context, operation, arguments, text)
  known = {**responses.acknowledgements(operation), **responses.spelled(responses.echoed(arguments))}
  plain = {'id': key, **responses.echoed(arguments), 'status': known['status']}
  return Facts({'id': key, **known}, plain, seed=seeds.derive(context.seed, operation.tool.name, text))


def read(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  seed = seeds.derive(context.seed, operation.tool.name, text)
  result = fields.phrase(seeds.rng(seed, 'result'), context.pool)
  echoes = _echoes(operation, arguments)
  count = 0 if operation.list_path is None else 1 + seeds.derive(seed, 'count') % values.MAX_ITEMS
  known = {**echoes, **(dict.fromkeys(_SHOWN_COUNTS | _TOTALS, count) if count else {})}
  return Facts(known, {**responses.echoed(arguments), 'result': result}, (echoes,) * count, seed=seed)


def pure(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  seed = seeds.derive(0, 'pure', text)
  about_numbers = any(isinstance(v, (int, float)) for v in arguments.values())
  draw = seeds.rng(seed, 'result')
  result = round(draw.uniform(1, 999), 2) if about_numbers else fields.phrase(draw, 'train')
  return Facts(_echoes(operation, arguments), {'result': result}, seed=seed)


def _echoes(operation: Operation, arguments: Arguments) -> dict[str, JSON]:
  """Arguments that a result repeats ('city' of a forecast; but not 'value' of a conversion, which is the result)."""
  return {n: v for n, v in responses.spelled(responses.echoed(arguments)).items() if n not in operation.computed}


Handler = Callable[[Context, Operation, Arguments, str], Facts]
HANDLERS: Mapping[Role, Handler] = {
  'create': create, 'get': get, 'find': get, 'list': list_records, 'update': update, 'delete': delete, 'action': action,
  'pure': pure, 'read': read, 'write': write,
}
