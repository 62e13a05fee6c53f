"""The records a server keeps: their ids, fields and references, told from all the tools that speak of them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from inftool_jax.servers import identifiers, names, schemas, values
from inftool_jax.servers.catalog import Entity, Field, Filter, Role
from inftool_jax.servers.schemas import Node
from inftool_jax.servers.shapes import PAGING, Shape
from inftool_jax.servers.words import listed
from inftool_jax.types import JSON

MAX_FIELDS = 24
# Said about a call, not about a record.
ACKNOWLEDGEMENTS = frozenset(listed('success ok deleted message error removed done acknowledged'))
NUMERAL = '^[1-9][0-9]{6}$'  # of an id that tools take as text and outputs show as a number
_TEXT = frozenset(listed('query q search keyword keywords term text'))
_LIMITS = frozenset(listed('limit max_results count top per_page page_size size'))
_LOW = frozenset(listed('min from after since start minimum'))
_HIGH = frozenset(listed('max to before until end maximum'))
_STATUS = ('status', 'state', 'stage', 'phase')
_SPEAKS = ('get', 'find', 'list', 'create')  # whose outputs show the record, most telling first
_POSITIVE: Mapping[str, str] = {'disable': 'enable', 'deactivate': 'activate', 'unlock': 'lock', 'unpin': 'pin', 'reopen': 'close'}


@dataclasses.dataclass(frozen=True)
class Part:
  """What a tool is to its server: role, entity ('' if none), id parameter ('' if none), natural keys."""

  shape: Shape
  role: Role
  entity: str = ''
  target: str = ''
  keys: tuple[str, ...] = ()


def build(server: str, parts: Sequence[Part]) -> dict[str, Entity]:
  """Entity name -> entity."""
  by_entity: dict[str, list[Part]] = collections.defaultdict(list)
  for part in parts:
    if part.entity:
      by_entity[part.entity].append(part)
  kept = {name: _entity(f'{server}/{name}', name, spoken) for name, spoken in by_entity.items()}
  return {n: dataclasses.replace(e, references=references(_nodes(e), kept, e.id_field)) for n, e in kept.items()}


def _nodes(entity: Entity) -> dict[str, Node]:
  return {n: f.document.resolve(f.schema) for n, f in entity.fields.items()}


def _entity(key: str, name: str, parts: Sequence[Part]) -> Entity:
  targets = [p for p in parts if p.target]
  called = {names.normal(p.target) for p in targets}
  if any(identifiers.is_identifier(p.target) for p in targets) or not called:
    asked = {names.normal(p.target) for p in targets if identifiers.is_identifier(p.target)}
    aliases = frozenset(asked | {'id', f'{name}_id', f'{name}_uuid'})
  else:
    aliases = frozenset(called)
  shown = [p for role in _SPEAKS for p in parts if p.role == role] or [p for p in parts if p.role in ('update', 'action')]
  fields = _shown_fields(shown)
  id_field = next((f for f in fields if names.normal(f) in aliases), targets[0].target if targets else f'{name}_id')
  own: dict[str, Field] = {id_field: _id_field(id_field, fields, targets)}
  own.update({n: f for n, f in fields.items() if names.normal(n) not in aliases})
  for part in parts:
    _add_parameters(own, part, aliases)
  return Entity(key, name, id_field, aliases, dict(list(own.items())[:MAX_FIELDS]), {}, {})


def _shown_fields(parts: Sequence[Part]) -> dict[str, Field]:
  out: dict[str, Field] = {}
  taken: set[str] = set()
  for part in parts:
    document = part.shape.outputs
    for name, schema in part.shape.record.get('properties', {}).items():
      if document is not None and names.normal(name) not in taken and names.normal(name) not in ACKNOWLEDGEMENTS:
        taken.add(names.normal(name))
        out[name] = Field(name, schema, document)
  return out


def _id_field(name: str, fields: Mapping[str, Field], targets: Sequence[Part]) -> Field:
  """The id's field: in the form in which tools take it, if outputs can show it so, else as they show it."""
  if targets:
    shape, shown = targets[0].shape, fields.get(name)
    taken = shape.parameters[targets[0].target]
    node = shown.document.resolve(shown.schema) if shown is not None else {}
    if shown is not None and values.type_of(taken) == 'string' and not {'pattern', 'enum', 'format'} & set(taken):
      if values.type_of(node) == 'integer':
        return Field(name, {**taken, 'pattern': NUMERAL}, shape.inputs)
      if values.type_of(node) == 'string' and {'pattern', 'format'} & set(node):
        return Field(name, node, shown.document)
    return Field(name, taken, shape.inputs)
  return fields[name] if name in fields else Field(name, {'type': 'string'}, schemas.compiled({}))


def _add_parameters(own: dict[str, Field], part: Part, aliases: frozenset[str]) -> None:
  """Adds the fields that only parameters speak of, and marks those that a create may leave out."""
  spelled = {names.normal(n): n for n in own}
  s = part.shape
  extra: Iterable[str] = ()
  if part.role == 'create':
    extra = s.parameters
  elif part.role == 'list':
    extra = filters(s, spelled)[1]
  elif part.role in ('find', 'get', 'update', 'delete', 'action'):
    extra = [*(p for p in part.keys if key_field(p, part.entity, spelled) is None), *parents(part)]
  for parameter in extra:
    plain = names.normal(parameter)
    if plain in aliases:
      continue
    optional = part.role == 'create' and parameter not in s.required
    if plain not in spelled:
      own[parameter] = Field(parameter, s.parameters[parameter], s.inputs, optional)
      spelled[plain] = parameter
    elif optional:
      own[spelled[plain]] = dataclasses.replace(own[spelled[plain]], optional=True)


def key_field(parameter: str, entity: str, spelled: Mapping[str, str]) -> str | None:
  """The field (among `spelled`: normal name -> field) that a natural key stands for: its own name, or 'email' for 'customer_email'."""
  plain = names.normal(parameter)
  short = plain.removeprefix(entity + '_') if plain != entity else 'name'
  return spelled.get(plain) or spelled.get(short)


def parents(part: Part) -> list[str]:
  """Parameters that say under which other record the one meant stands."""
  s = part.shape
  if not part.target or part.role not in ('get', 'update', 'delete', 'action'):
    return []
  by_id = [p for p in s.parameters if p in s.required and identifiers.is_identifier(p)] if part.role in ('get', 'delete') else []
  return [p for p in dict.fromkeys([*s.path_parameters, *by_id]) if p != part.target and s.is_scalar(p)]


def filters(s: Shape, spelled: Mapping[str, str]) -> tuple[tuple[Filter, ...], list[str]]:
  """(the filters of a list, parameters that need a field of their own); `spelled`: normal name -> field."""
  out: list[Filter] = []
  hidden: list[str] = []
  for parameter in s.parameters:
    plain = names.normal(parameter)
    words = plain.split('_')
    if plain in spelled and plain not in PAGING and s.is_scalar(parameter):
      out.append(Filter(parameter, spelled[plain], 'equal'))
    elif plain in _TEXT:
      out.append(Filter(parameter, '', 'contains'))
    elif plain in _LIMITS:
      out.append(Filter(parameter, '', 'limit'))
    elif plain in ('offset', 'skip'):
      out.append(Filter(parameter, '', 'offset'))
    elif (bound := _bounded(words, spelled)) is not None:
      out.append(Filter(parameter, bound, 'at_least' if _LOW & set(words) else 'at_most'))
    elif plain not in PAGING and s.is_scalar(parameter) and words[0] not in ('include', 'with', 'only', 'show'):
      hidden.append(parameter)
      out.append(Filter(parameter, parameter, 'equal'))
  return tuple(out), hidden


def _bounded(words: Sequence[str], spelled: Mapping[str, str]) -> str | None:
  """The field that a parameter such as 'max_price' or 'from_date' bounds."""
  rest = [w for w in words if w not in _LOW and w not in _HIGH]
  if len(rest) == len(words):
    return None
  wanted = '_'.join(rest) or 'date'
  return next((f for n, f in spelled.items() if n == wanted or n.endswith('_' + wanted)), None)


def references(nodes: Mapping[str, JSON], kept: Mapping[str, Entity], own_id: str) -> dict[str, str]:
  """Field or parameter -> key of the entity whose id it holds, for the names that say so."""
  out: dict[str, str] = {}
  for name, node in nodes.items():
    if name == own_id or values.type_of(node) not in ('string', 'integer', 'number') or not identifiers.is_identifier(name):
      continue
    words = identifiers.stem(name).split('_')
    known = next((e for i in range(len(words)) if (e := '_'.join(words[i:])) in kept), None)
    if known is not None:
      out[name] = kept[known].key
  return out


def status_field(entity: Entity) -> str | None:
  spelled = {names.normal(f): f for f in entity.fields}
  for name in _STATUS:
    found = spelled.get(name) or next((f for n, f in spelled.items() if n.endswith('_' + name)), None)
    if found is not None and values.type_of(_nodes(entity)[found]) == 'string':
      return found
  return None


def flag(entity: Entity, verb: str, target: str) -> tuple[str, bool] | None:
  """A boolean field that an action's verb speaks of, and the value it gets: ('archived', True) for 'archive'."""
  if not verb:
    return None
  positive = _POSITIVE.get(verb) or (verb[2:] if verb.startswith('un') and len(verb) > 4 else verb)
  wanted = {w for base in ([target] if target else [names.participle(positive), positive]) for w in (base, f'is_{base}')}
  for name, node in _nodes(entity).items():
    if names.normal(name) in wanted and values.type_of(node) == 'boolean':
      return name, positive == verb
  return None
