"""Servers that make, show and change many records in one call: knowledge graphs, boards, lists.

A server is one of these if a tool of it creates what a list of objects in its arguments describes ('create_entities(entities)'). A kind of
record is known by a member that can name it ('name'), or by all its members together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from inftool_jax.servers import handlers, identifiers, names, responses, schemas, shapes, values
from inftool_jax.servers.catalog import Entity, Field, Operation, Role
from inftool_jax.servers.handlers import Arguments, Context, refuse, same
from inftool_jax.servers.responses import Facts
from inftool_jax.servers.schemas import Node
from inftool_jax.servers.shapes import Shape
from inftool_jax.servers.state import Record
from inftool_jax.servers.words import listed
from inftool_jax.types import JSON

NAMING = ('name', 'title', 'key', 'slug', 'label', 'email')
MAX_SHOWN = 24  # records of a kind in one answer
_TEXT = frozenset(listed('query q search text'))


def find(server: str, tools: Sequence[Shape]) -> tuple[dict[str, Operation], dict[str, Entity]]:
  """(operations by tool name, entities by name) of what a server does with many records at once."""
  kept: dict[str, Entity] = {}
  for s in tools:
    if s.tool.effect == 'create':
      kept.update({e.name: e for p in s.parameters if p in s.required and (e := _entity(server, s, p)) is not None})
  found = {s.tool.name: op for s in tools if (op := _operation(s, kept)) is not None} if kept else {}
  return found, {n: e for n, e in kept.items() if any(op.entity == e.key for op in found.values())}


def _members(s: Shape, parameter: str) -> dict[str, Node]:
  """The members of the objects that a parameter lists; {} if it lists none."""
  node = s.parameters[parameter]
  if values.type_of(node) != 'array':
    return {}
  inner = s.inputs.resolve(node.get('items', {})).get('properties', {})
  return {n: s.inputs.resolve(v) for n, v in inner.items()}


def _one(parameter: str) -> str:
  return names.noun_of(names.normal(parameter).split('_'))


def _entity(server: str, s: Shape, parameter: str) -> Entity | None:
  """What a list of objects creates. One that speaks of another record by its name ('entityName') is no record of its own."""
  members = _members(s, parameter)
  if not members or _one(parameter) != s.phrase.noun or any(names.normal(n).endswith('_name') for n in members):
    return None
  name = s.phrase.noun
  naming = next((n for n in members if names.normal(n) in NAMING), None)
  own = naming or f'{name}_id'
  fields = {own: Field(own, members.get(own, {'type': 'string'}), s.inputs)}
  fields.update({n: Field(n, v, s.inputs) for n, v in members.items() if n != own})
  return Entity(f'{server}/{name}', name, own, frozenset({names.normal(own)}), fields, {}, {})


def _operation(s: Shape, kept: Mapping[str, Entity]) -> Operation | None:
  if s.tool.effect in ('read', 'pure'):
    return _survey(s, kept)
  for parameter in (p for p in s.parameters if p in s.required and values.type_of(s.parameters[p]) == 'array'):
    members, one = _members(s, parameter), _one(parameter)
    if one in kept and members and s.tool.effect in ('create', 'delete'):
      return Operation(s.tool, 'add_many' if s.tool.effect == 'create' else 'remove_many', kept[one].key, uses={'many': parameter})
    for entity in kept.values():
      called = f'{entity.name}_{names.normal(entity.id_field)}'
      if not members and s.tool.effect == 'delete' and one in (called, entity.name, names.normal(entity.id_field)):
        return Operation(s.tool, 'remove_many', entity.key, uses={'many': parameter})
      by = next((n for n in members if names.normal(n) == called), None)
      told = next((n for n, v in members.items() if n != by and values.type_of(v) == 'array'), None)
      if by is not None and told is not None and (field := _list_field(entity, told, s)):
        role: Role = 'shorten' if s.tool.effect == 'delete' else 'extend'
        return Operation(s.tool, role, entity.key, uses={'many': parameter, 'by': by, 'told': told, 'field': field})
  return None


def _list_field(entity: Entity, told: str, s: Shape) -> str:
  """The list of an entity that `told` is about: of its name, else of what the tool is called after."""
  lists = {_one(n): n for n, f in entity.fields.items() if values.type_of(f.document.resolve(f.schema)) == 'array'}
  return lists.get(_one(told)) or lists.get(s.phrase.noun, '')


def _survey(s: Shape, kept: Mapping[str, Entity]) -> Operation | None:
  """A read whose output lists records of these kinds."""
  shown = {_one(n): n for n in (shapes.follow(s.outputs, ()).get('properties', {}) if s.outputs is not None else {})}
  about = next((e for n, e in kept.items() if n in shown), None)
  if about is None:
    return None
  chosen = next((p for p in s.parameters if values.type_of(s.parameters[p]) == 'array' and _one(p) == names.normal(about.id_field)), '')
  text = next((p for p in s.parameters if names.normal(p) in _TEXT), '')
  return Operation(s.tool, 'survey', about.key, uses={'chosen': chosen, 'text': text})


def _of_server(context: Context, operation: Operation) -> Iterator[Entity]:
  server = operation.entity.rsplit('/', 1)[0]
  return (e for k, e in context.catalog.entities.items() if k.rsplit('/', 1)[0] == server)


def add_many(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  """What is there already stays as it is, and is not told of."""
  entity = context.catalog.entities[operation.entity]
  added: list[dict[str, JSON]] = []
  for member in handlers.listed(arguments, operation.uses['many'], dict):
    if _equal(context, entity, member) is None:
      made = identifiers.opaque(entity.key, str(context.seed), text, str(len(added)))
      key = str(member.get(entity.id_field, made))
      context.store.put(entity.key, key, {entity.id_field: key, **member})
      added.append(dict(member))
  return _facts(operation, {operation.uses['many']: added})


def remove_many(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  """What is not there is passed over."""
  entity = context.catalog.entities[operation.entity]
  members = handlers.listed(arguments, operation.uses['many'], object)
  found = [key for member in members if (key := _equal(context, entity, member)) is not None]
  for key in found:
    context.store.delete(entity.key, key)
  return _facts(operation, {})


def _equal(context: Context, entity: Entity, member: JSON) -> str | None:
  """The id of the record that is called so, or has all these members."""
  if not isinstance(member, Mapping) or entity.id_field in member:
    key = str(member[entity.id_field] if isinstance(member, Mapping) else member)
    return key if context.store.get(entity.key, key) is not None else None
  records = context.store.records(entity.key)
  return next((k for k, r in records.items() if all(same(v, r.get(n)) for n, v in member.items())), None)


def _listing(context: Context, operation: Operation, arguments: Arguments, change: Callable[[list, list], list]) -> Facts:
  uses, name = operation.uses, operation.entity.rsplit('/', 1)[-1]
  told: list[JSON] = []
  members = handlers.listed(arguments, uses['many'], dict)
  for member in members:  # all of them first: a call that fails changes nothing
    if uses['by'] in member and context.store.get(operation.entity, str(member[uses['by']])) is None:
      raise refuse(uses['many'], f'there is no {name} called {str(member[uses["by"]])[:60]!r}')
  for member in members:
    key, told_now = str(member.get(uses['by'], '')), member.get(uses['told'])
    given = told_now if isinstance(told_now, list) else []
    record = context.store.get(operation.entity, key)
    if record is not None:
      before = record.get(uses['field'])
      context.store.put(operation.entity, key, {**record, uses['field']: change(before if isinstance(before, list) else [], given)})
      told.append({uses['by']: key, uses['told']: given})
  return _facts(operation, {uses['many']: told}, told)


def extend(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  return _listing(context, operation, arguments, lambda kept, given: [*kept, *(g for g in given if g not in kept)])


def shorten(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  return _listing(context, operation, arguments, lambda kept, given: [k for k in kept if k not in given])


def survey(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  """The records asked for, and of the other kinds those that speak of them."""
  about = context.catalog.entities[operation.entity]
  chosen, sought = arguments.get(operation.uses['chosen']), arguments.get(operation.uses['text'])
  records = context.store.records(about.key)
  wanted = {str(c) for c in chosen} if isinstance(chosen, list) else records
  found = {k: r for k, r in records.items() if k in wanted and (sought is None or _contains(r, str(sought).casefold()))}
  lists: dict[str, JSON] = {}
  for entity in _of_server(context, operation):
    others = context.store.records(entity.key) if entity is not about else found
    whole = entity is about or (chosen is None and sought is None)
    told = [_shown(r, entity) for r in others.values() if whole or any(str(v) in found for v in r.values())]
    lists[entity.name] = told[:MAX_SHOWN]
  return _facts(operation, lists)


def _contains(record: Record, text: str) -> bool:
  return any(text in str(v).casefold() for v in record.values())


def _shown(record: Record, entity: Entity) -> dict[str, JSON]:
  made_up = entity.id_field == f'{entity.name}_id'
  return {n: v for n, v in record.items() if not (made_up and n == entity.id_field)}


def _facts(operation: Operation, lists: Mapping[str, JSON], told: Sequence[JSON] = ()) -> Facts:
  """`lists` under the names that the output has for them; `told` as its items are called."""
  schema = operation.tool.output_schema
  known: dict[str, JSON] = responses.acknowledgements(operation)
  if schema is not None:
    document = schemas.compiled(schema)
    by_noun = {_one(n): v for n, v in lists.items()}
    for name, node in document.resolve(document.root).get('properties', {}).items():
      if _one(name) in by_noun:
        known[names.normal(name)] = by_noun[_one(name)]
      elif told and values.type_of(document.resolve(node)) == 'array':
        known[names.normal(name)] = [_called(t, document.resolve(document.resolve(node).get('items', {}))) for t in told]
  return Facts(known, dict(lists) or {'status': known.get('status', 'done')})


def _called(told: JSON, item: Node) -> dict[str, JSON]:
  """Name and list of what was told, under the names that an item of the output has for a name and a list."""
  name, given = list(told.values())
  return {n: given if values.type_of(v) == 'array' else name for n, v in item.get('properties', {}).items()}


Handler = Callable[[Context, Operation, Arguments, str], Facts]
HANDLERS: Mapping[Role, Handler] = {
  'add_many': add_many, 'remove_many': remove_many, 'extend': extend, 'shorten': shorten, 'survey': survey,
}
