"""What each tool of a server does: which entity it is about, how it finds its record, what it changes.

A server's tools are read together: an entity is what some tool creates, or what some tool takes the id of. Whatever
does not fit stays a generic 'read', 'write' or 'pure' operation, so that every tool can be called.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from inftool_jax.servers import batches, documents, entities, identifiers, names, shapes, values
from inftool_jax.servers.catalog import Assignment, Catalog, Entity, Operation, Role
from inftool_jax.servers.entities import Part
from inftool_jax.servers.shapes import Shape
from inftool_jax.servers.words import listed
from inftool_jax.types import Tool

# Parameters by which a record is named when its id is not asked for.
NATURAL = frozenset(listed('name title email username login slug code sku key label phone number handle path symbol isbn'))
# Actions that say nothing about the state of what they act on.
_NEUTRAL = frozenset(listed(
  'send run execute call notify trigger click navigate transfer set update edit modify change assign add remove move put rate charge log '
  'record deposit withdraw increase decrease write save do invoke credit debit deduct restock redeem attach detach append invite adjust '
  'extend reschedule rename mark'
))
_UNREAD = frozenset({'OPTIONS', 'HEAD', 'TRACE'})
_FEW = 4  # tools: of fewer, what most of them ask for may well be what they are about
_MOST = 0.75
_AMOUNTS = ('balance', 'stock', 'quantity', 'points', 'inventory', 'credits', 'credit', 'amount', 'total', 'count')


def classify(tools: Iterable[Tool]) -> Catalog:
  """The catalog of `tools`. Give the complete servers: an entity is known by all the tools that speak of it."""
  by_server: dict[str, list[Shape]] = collections.defaultdict(list)
  for tool in tools:
    by_server[tool.server].append(shapes.shape(tool))
  known: dict[str, Entity] = {}
  operations: dict[str, Operation] = {}
  for server, tools_of_server in by_server.items():
    special, more = documents.find(server, tools_of_server)
    if not special:
      special, more = batches.find(server, tools_of_server)
    parts = _parts([s for s in tools_of_server if s.tool.name not in special])
    kept = {**entities.build(server, parts), **more}
    actions = {p.shape.tool.name: operation(p, kept) for p in parts} | special
    kept = _with_targets(kept, actions.values())
    known.update({e.key: e for e in kept.values()})
    operations.update(actions)
  return Catalog(known, operations)


def _with_targets(kept: dict[str, Entity], operations: Iterable[Operation]) -> dict[str, Entity]:
  """The entities, with the values that actions lead to: a record that starts there would leave an action nothing to do."""
  targets: dict[str, dict[str, list]] = collections.defaultdict(lambda: collections.defaultdict(list))
  for op in operations:
    if op.outcome is not None:
      targets[op.entity][op.outcome[0]].append(op.outcome[1])
  return {n: dataclasses.replace(e, targets={f: tuple(v) for f, v in targets[e.key].items()}) for n, e in kept.items()}


@dataclasses.dataclass(frozen=True)
class _Server:
  """What a server's tools say together."""

  stems: frozenset[str]  # of all ids that are spoken of
  asked: Mapping[str, tuple[str, ...]]  # parameter -> nouns of the tools that take it
  collections: frozenset[str]  # nouns that stand before a placeholder of a URL template


def _server(tools: Sequence[Shape]) -> _Server:
  spoken = [n for s in tools for n in [*s.parameters, *s.record.get('properties', {})]]
  stems = {identifiers.stem(n) for n in spoken if identifiers.is_identifier(n)} - {''}
  asked: dict[str, list[str]] = collections.defaultdict(list)
  for s in tools:
    for parameter in s.parameters:
      asked[parameter].append(s.phrase.noun)
  return _Server(frozenset(stems), {p: tuple(nouns) for p, nouns in asked.items()}, frozenset(s.collection for s in tools) - {''})


def _parts(tools: Sequence[Shape]) -> list[Part]:
  """Role, entity and id parameter of every tool of a server, in the order of the tools."""
  context = _context(tools)
  tools = [dataclasses.replace(s, required=s.required - context) for s in tools]
  server = _server(tools)
  known: dict[str, None] = {}
  found: dict[str, Part] = {}
  for s in tools:
    if s.tool.effect == 'create':
      name = _created(s, server.stems)
      known[name] = None
      found[s.tool.name] = Part(s, 'create', name)
  for s in tools:
    target = _target(s, server, known) if _is_about_one(s, server) else None
    if target is not None:
      known[target[1]] = None
      found[s.tool.name] = Part(s, _role_of(s), target[1], target[0])
  for s in tools:
    if s.tool.name not in found:
      found[s.tool.name] = _listed(s, server, known)
      if found[s.tool.name].role == 'list':
        known[found[s.tool.name].entity] = None
  asked = {identifiers.stem(p) for s in tools for p in s.parameters if identifiers.is_identifier(p)}
  for s in tools:
    if s.tool.effect == 'read':
      known.update(dict.fromkeys(_looked_up(s, asked)))
  return [found[s.tool.name] if found[s.tool.name].entity else _by_key(s, server, known) for s in tools]


def _is_about_one(s: Shape, server: _Server) -> bool:
  """Whether a tool may be about a record whose id it takes."""
  if s.tool.effect == 'read':
    return s.list_path is None and not is_of_many(s, server.collections) and _method(s) not in _UNREAD
  return s.tool.effect in ('update', 'delete', 'action')


def _is_context(parameter: str) -> bool:
  return identifiers.is_identifier(parameter) or names.normal(parameter).split('_')[-1] in ('path', 'repo', 'workspace')


def _method(s: Shape) -> str:
  return s.tool.lineage[0].method if s.tool.lineage else ''


def _context(tools: Sequence[Shape]) -> frozenset[str]:
  """Ids and paths that most tools of a server ask for and none is about: whose credentials, which repository."""
  if len(tools) < _FEW:
    return frozenset()
  asked = collections.Counter(p for s in tools for p in s.required if _is_context(p) and p not in s.path_parameters)
  nouns = {n for s in tools for n in _endings(s.phrase.noun)}
  return frozenset(p for p, times in asked.items() if times >= _MOST * len(tools) and identifiers.stem(p) not in nouns | {''})


def is_of_many(s: Shape, known: Collection[str]) -> bool:
  """Whether a read is of many things that its output does not describe: an id that it takes is then not theirs.

  `known`: nouns that stand before a placeholder in URL templates of its server.
  """
  if shapes.ends_in_key(s.tool) or any(identifiers.is_identifier(n) for n in s.record.get('properties', {})):
    return False
  return s.phrase.plural or (s.is_part and (s.names_many or s.resource in known))


def _looked_up(s: Shape, asked: set[str]) -> list[str]:
  """What a read is there to find the id of: 'find_vessel' shows a `vessel_id` that other tools ask for."""
  shown = {identifiers.stem(n) for n in s.record.get('properties', {}) if identifiers.is_identifier(n)}
  return [n for n in _endings(s.phrase.noun) if n and n in shown and n in asked][:1]


def _role_of(s: Shape) -> Role:
  return {'read': 'get', 'update': 'update', 'delete': 'delete', 'action': 'action'}[s.tool.effect]  # type: ignore[return-value]


def _created(s: Shape, stems: frozenset[str]) -> str:
  """What a create makes: what the id in its output names if it was not given, else the noun of its name."""
  given = {names.normal(p) for p in s.parameters if p not in s.path_parameters or identifiers.stem(p)}  # '/orders/{id}/items' makes items
  own = [identifiers.stem(n) for n in s.record.get('properties', {}) if identifiers.is_identifier(n) and names.normal(n) not in given]
  noun = s.phrase.noun
  if noun in own:
    return noun
  if noun and (not own or '' in own):
    key = s.path_parameters[-1:] if shapes.ends_in_key(s.tool) else ()
    taken = {identifiers.stem(p) for p in s.required if identifiers.is_identifier(p) and p not in key}
    return f'{noun}_{s.phrase.verb}' if noun in taken and not own else _settled(noun, stems)
  return next((o for o in own if o), s.collection or next(iter(shapes.path_nouns(s.tool)), s.phrase.verb or names.normal(s.tool.name)))


def _settled(noun: str, stems: Iterable[str]) -> str:
  """`noun`, or the end of it that ids are named after ('calendar_event' where ids are 'event_id')."""
  return next((e for e in _endings(noun) if e in stems), noun)


def _endings(noun: str) -> list[str]:
  words = noun.split('_')
  return ['_'.join(words[i:]) for i in range(len(words))]


def _beginnings(noun: str) -> list[str]:
  words = noun.split('_')
  return ['_'.join(words[:i]) for i in range(len(words) - 1, 0, -1)]


def _target(s: Shape, server: _Server, known: dict[str, None]) -> tuple[str, str] | None:
  """(parameter, entity): the required parameter that holds the id of the record meant, and what it is the id of."""
  noun = s.phrase.noun
  ids = [p for p in s.parameters if p in s.required and identifiers.is_identifier(p) and s.is_scalar(p)]
  if s.tool.effect != 'read' and s.path_parameters:
    ids = [p for p in ids if p in s.path_parameters] or ids  # an id in the body is not the record written to
  if s.tool.effect == 'action' and len(ids) > 1 and not s.path_parameters:
    return ids[0], identifiers.stem(ids[0]) or s.phrase.noun or 'record'  # 'assign_vessel(shipment_id, vessel_id)' is about the shipment
  by_stem = {identifiers.stem(p): p for p in reversed(ids)}
  last = s.path_parameters[-1] if s.path_parameters and s.is_scalar(s.path_parameters[-1]) else None
  named = s.tool.effect == 'read' and shapes.is_one_of_many(s.tool) and s.collection in _endings(noun)[1:]
  if named and last is not None and last not in ids:
    return last, s.collection  # 'get_budget_month' of '/budgets/{budget_id}/months/{month}'
  for name in [*_endings(noun), *_beginnings(noun)]:
    if name and name in by_stem:
      return by_stem[name], name
  longer = next((p for p in ids if noun and identifiers.stem(p).endswith('_' + noun)), None)
  if longer is not None:
    return longer, noun
  if '' in by_stem:
    return by_stem[''], s.collection or (noun if noun in known else _settled(noun, server.stems)) or 'record'
  if last is not None and s.collection and (identifiers.is_identifier(last) or s.tool.effect != 'read' or s.collection in known):
    return last, s.collection
  if ids and s.tool.effect == 'read' and noun and identifiers.stem(ids[0]) not in known:
    nouns = server.asked[ids[0]]
    if len(nouns) == 1:
      return ids[0], _settled(noun, server.stems)  # 'album' of 'get_album(browse_id)'
    first = noun.split('_')[0]
    if all(n.split('_')[0] == first for n in nouns):
      return ids[0], first  # 'trial' of 'trial_getter(nct_id)', 'trial_outcomes_getter(nct_id)'
  return (ids[0], identifiers.stem(ids[0])) if ids else None


def _listed(s: Shape, server: _Server, known: dict[str, None]) -> Part:
  """A read of many records, or what else a tool without a record of its own may be."""
  if s.tool.effect != 'read' or not (s.list_path is not None or (s.outputs is None and (s.phrase.plural or s.phrase.verb == 'list'))):
    return Part(s, 'pure' if s.tool.effect == 'pure' else 'read' if s.tool.effect == 'read' else 'write')
  item_ids = [identifiers.stem(n) for n in s.record.get('properties', {}) if identifiers.is_identifier(n)]
  called = names.noun_of(names.normal(s.list_path[-1]).split('_')) if s.list_path else ''
  for name in [*_endings(s.phrase.noun), called, *item_ids[:1], s.resource]:
    if name and name in known:
      return Part(s, 'list', name)
  own = '' if '' in item_ids and s.phrase.noun else next(iter(item_ids), '')  # beside an id of its own, others are references
  if item_ids and (s.phrase.noun or own):
    noun = s.resource if s.phrase.noun.endswith(f'_{s.resource}') and s.names_many else s.phrase.noun
    return Part(s, 'list', own or _settled(noun, server.stems))
  if s.is_part and s.names_many:
    return Part(s, 'read')
  target = _target(s, server, known)  # a record that has a list in it
  return Part(s, 'get', target[1], target[0]) if target is not None and target[1] in known else Part(s, 'read')


def _by_key(s: Shape, server: _Server, known: dict[str, None]) -> Part:
  """A tool without an id parameter: it may name its record by a natural key, if its noun is an entity."""
  noun = s.phrase.noun
  name = next((n for n in [*_endings(noun), *_beginnings(noun), s.collection] if n in known), '')
  scalars = [p for p in s.parameters if p in s.required and s.is_scalar(p)]
  if not name or s.tool.effect == 'pure' or not scalars:
    return Part(s, 'pure' if s.tool.effect == 'pure' else 'read' if s.tool.effect == 'read' else 'write')
  if s.tool.effect == 'read' and (is_of_many(s, server.collections) or _method(s) in _UNREAD):
    return Part(s, 'read')
  if s.tool.effect == 'read' and s.phrase.verb not in names.VERBS and all(_sorts(p) for p in scalars):
    return Part(s, 'read')
  if s.tool.effect == 'read':
    return Part(s, 'find', name, keys=tuple(scalars))
  natural = [p for p in scalars if names.normal(p).split('_')[-1] in NATURAL or names.normal(p) == name]
  keys = scalars if s.tool.effect == 'delete' else natural[:1]
  return Part(s, _role_of(s), name, keys=tuple(keys)) if keys else Part(s, 'write')


def _sorts(parameter: str) -> bool:
  """Whether a parameter says what sort of records are meant, and names none: 'branch_type'."""
  return names.normal(parameter).split('_')[-1] in ('type', 'kind', 'status', 'state', 'category', 'scope')


def operation(part: Part, kept: dict[str, Entity]) -> Operation:
  """The operation of a tool, its entity's fields being known."""
  s = part.shape
  references = {} if part.role == 'pure' else entities.references(s.parameters, kept, '')
  if not part.entity:
    return Operation(s.tool, part.role, references=references, computed=_computed(s), record_path=s.record_path, list_path=s.list_path)
  entity = kept[part.entity]
  lookup = _lookup(part, entity)
  told = {p for p, _ in lookup}
  own = entity.aliases if part.role != 'create' else frozenset()  # a body that repeats the id does not change it
  assigned = [p for p in s.parameters if p not in told and names.normal(p) not in own]
  assigns = tuple(_assignment(p, s, entity) for p in assigned) if part.role in ('create', 'update', 'action') else ()
  if part.target:
    references[part.target] = entity.key
  if part.role == 'create':
    references = {p: e for p, e in references.items() if names.normal(p) not in entity.aliases}
  own_id = next((p for p in s.parameters if names.normal(p) in entity.aliases and not _of_parent(p, s)), '')
  uses = {'own': own_id} if part.role == 'create' and own_id else {}
  return Operation(
    s.tool, part.role, entity.key, part.target, lookup,
    entities.filters(s, {names.normal(f): f for f in entity.fields})[0] if part.role == 'list' else (),
    assigns, _outcome(part, entity, assigns), references, frozenset(), s.record_path, s.list_path if part.role == 'list' else None, uses,
  )


def _of_parent(parameter: str, s: Shape) -> bool:
  """'id' of 'POST /projects/{id}/keys' is the project's."""
  return parameter in s.path_parameters and not (shapes.ends_in_key(s.tool) and parameter == s.path_parameters[-1])


def _computed(s: Shape) -> frozenset[str]:
  """Numbers in the output that bear a parameter's name and yet must be the result, as nothing else in the output can be."""
  if s.outputs is None:
    return frozenset()
  nodes = {names.normal(n): s.outputs.resolve(v) for n, v in shapes.follow(s.outputs, s.record_path).get('properties', {}).items()}
  given = {names.normal(p) for p in s.parameters}
  if any(n not in given and not any(g.endswith('_' + n) for g in given) for n in nodes):
    return frozenset()
  return frozenset(n for n, v in nodes.items() if n in given and values.type_of(v) in ('integer', 'number'))


def _lookup(part: Part, entity: Entity) -> tuple[tuple[str, str], ...]:
  spelled = {names.normal(f): f for f in entity.fields}
  pairs = [(part.target, entity.id_field)] if part.target else []
  pairs += [(p, spelled[names.normal(p)]) for p in entities.parents(part) if names.normal(p) in spelled]
  if part.role == 'find':
    pairs += [(p, spelled[names.normal(p)]) for p in part.shape.parameters if p not in part.keys and names.normal(p) in spelled]
  return (*pairs, *((p, field) for p in part.keys if (field := entities.key_field(p, entity.name, spelled)) is not None))


def _assignment(parameter: str, s: Shape, entity: Entity) -> Assignment:
  spelled = {names.normal(f): f for f in entity.fields}
  verb, plain = s.phrase.verb, names.normal(parameter)
  plural = next((f for n, f in spelled.items() if n != plain and names.noun_of(n.split('_')) == plain), None)
  if s.tool.effect in ('update', 'action') and plural is not None and verb in names.ADD_VERBS | names.REMOVE_VERBS:
    return Assignment(parameter, plural, 'append' if verb in names.ADD_VERBS else 'remove')
  if verb in names.INCREASE_VERBS | names.DECREASE_VERBS and s.tool.effect != 'create' and s.kind(parameter) in ('integer', 'number'):
    amount = next((spelled[n] for n in _AMOUNTS if n in spelled), None)
    if amount is not None:
      return Assignment(parameter, amount, 'increase' if verb in names.INCREASE_VERBS else 'decrease')
  words = plain.split('_')
  stripped = '_'.join(words[1:]) if len(words) > 1 and words[0] in ('new', 'updated', 'to') else plain
  return Assignment(parameter, spelled.get(plain) or spelled.get(stripped) or parameter)


def _promised(s: Shape, entity: Entity) -> tuple[str, object] | None:
  """A field that can have but one value in the output of an action."""
  spelled = {names.normal(f): f for f in entity.fields}
  for name, schema in s.record.get('properties', {}).items():
    node = s.outputs.resolve(schema) if s.outputs is not None else {}
    allowed = [node['const']] if 'const' in node else list(node.get('enum', ()))
    if len(allowed) == 1 and allowed[0] is not None and names.normal(name) not in entities.ACKNOWLEDGEMENTS:
      return spelled.get(names.normal(name), name), allowed[0]
  return None


def _outcome(part: Part, entity: Entity, assigns: Sequence[Assignment]) -> tuple[str, object] | None:
  """The field and value an action sets by being called: what its output promises, a flag named like its verb, or the nearest status."""
  if part.role != 'action' and not (part.role == 'update' and not assigns):
    return None
  promise = _promised(part.shape, entity)
  if promise is not None:
    return promise
  verb, target = part.shape.phrase.verb, part.shape.phrase.target
  if not target and verb == 'mark':
    target = '_'.join(part.shape.phrase.noun.split('_')[1:])
  told = {a.field for a in assigns}
  flag = entities.flag(entity, verb, target)
  if flag is not None and flag[0] not in told:
    return flag
  field = entities.status_field(entity)
  if field is None or field in told:
    return None
  document = entity.fields[field].document
  stated = document.resolve(entity.fields[field].schema).get('enum')
  if stated is not None:
    value = names.nearest(verb, target, [v for v in stated if isinstance(v, str)])
    return None if value is None else (field, value)
  if not target and (verb in _NEUTRAL or not verb):
    return None
  return field, target or names.participle(verb)
