"""What an operation does, in the words in which people speak of APIs, also where the simulator keeps no record of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

from inftool_jax.servers import identifiers, names, operations, shapes
from inftool_jax.servers.catalog import Catalog, Operation
from inftool_jax.servers.shapes import Shape
from inftool_jax.servers.words import listed
from inftool_jax.specs import naming

Kind = Literal['create', 'read', 'list', 'search', 'update', 'patch', 'delete', 'action', 'pure']

_TEXT = frozenset(listed('query q search keyword keywords term'))
_SEARCHING = frozenset(listed('search query autocomplete'))
_UNREAD = frozenset({'OPTIONS', 'HEAD', 'TRACE'})
# Read of the world, not of what a server keeps.
_ADDRESSES = frozenset(listed('url uri link'))
# Said of many records, or of the server itself.
_MEASURES = frozenset(listed('statistic stat insight metric analytic status version health summary count info performance usage'))
_QUALIFIERS = frozenset(listed(
  'all available random trending latest newest current top popular supported recent related similar upcoming new'
))
_WORLD = frozenset(listed('web internet'))
_QUESTIONS = frozenset(listed('is has can should does'))
_LISTING = re.compile(
  r'(?:\b(?:lists?|arrays?|collections?) of|'
  r'\b(?:gets?|returns?|retrieves?|obtain|fetch(?:es)?|lists?|shows?)\b.{0,9}? all(?: the)?) ', re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Reading:
  """`entity` and `key` (a parameter) are '' where an operation has none, or none that can be told."""

  kind: Kind
  entity: str = ''
  key: str = ''


def reading(operation: Operation, catalog: Catalog) -> Reading:
  s = shapes.shape(operation.tool)
  kind = _kind(operation, s)
  if operation.entity:
    return Reading(kind, _entity(operation, catalog, s), _key(operation, s))
  if operation.role == 'pure' or _is_of_nothing_kept(s):
    return Reading(kind)
  entity, key = _of_path(s, kind) if s.tool.lineage and s.tool.lineage[0].path else _of_name(s, kind)
  if not key and entity and entity.split('_')[-1] in _MEASURES:
    return Reading(kind)
  return Reading(kind, _unqualified(entity), key)


def _is_of_nothing_kept(s: Shape) -> bool:
  """Whether an operation is about pages of the web, about the server itself, or answers a question."""
  asks = _QUESTIONS & set(naming.words(s.tool.name))
  return bool(asks) or s.phrase.noun in _WORLD or _method(s) in _UNREAD or _is_at_address(s)


def _is_at_address(s: Shape) -> bool:
  return any(names.normal(p).split('_')[-1] in _ADDRESSES for p in s.required)


def _entity(operation: Operation, catalog: Catalog, s: Shape) -> str:
  """The entity's own name; of a read by an id that no tool is called after ('browse_id'), what the read is called after."""
  name = catalog.entities[operation.entity].name
  if operation.role != 'get' or not s.phrase.noun or s.tool.lineage and s.tool.lineage[0].path:
    return name
  about = [o for o in catalog.operations.values() if o.entity == operation.entity]
  nouns = {w for o in about for w in names.phrase(o.tool.name, o.tool.server).noun.split('_')}
  written = any(o.role not in ('get', 'find', 'list') for o in about)
  return name if written or nouns & set(name.split('_')) else s.phrase.noun


def _method(s: Shape) -> str:
  return s.tool.lineage[0].method if s.tool.lineage else ''


def _key(operation: Operation, s: Shape) -> str:
  told = [p for p, _ in operation.lookup]
  last = s.path_parameters[-1] if s.path_parameters and shapes.ends_in_key(s.tool) else ''
  return operation.id_parameter or (last if last in told else '+'.join(told))


def _kind(operation: Operation, s: Shape) -> Kind:
  effect, role = operation.tool.effect, operation.role
  if role in ('get', 'find', 'list', 'read', 'open', 'below', 'survey'):
    return _of_read(operation, s)
  if effect == 'update':
    return 'patch' if _method(s) == 'PATCH' else 'update'
  return 'action' if effect == 'read' else effect


def _of_read(operation: Operation, s: Shape) -> Kind:
  if operation.role in ('get', 'find', 'open'):
    return 'read'
  if _is_at_address(s):
    return 'read'
  words = naming.words(operation.tool.name)
  if _SEARCHING & {*words, s.phrase.verb} or _TEXT & {names.normal(p) for p in s.required}:
    return 'search'
  if operation.role in ('list', 'below') or s.list_path is not None or _says_many(s):
    return 'list'
  return 'read'


def _says_many(s: Shape) -> bool:
  if s.phrase.verb not in names.VERBS and s.outputs is not None and not (s.tool.lineage and s.tool.lineage[0].path):
    return False  # 'ben_10' is there for something that its output shows to be no list
  if _LISTING.search(s.tool.description[:200]) or s.phrase.verb == 'list':
    return True
  if s.names_many and s.outputs is None and not shapes.ends_in_key(s.tool):
    return True
  return not shapes.is_one_of_many(s.tool) and (s.phrase.plural or operations.is_of_many(s, ()))


def _of_path(s: Shape, kind: Kind) -> tuple[str, str]:
  """(entity, key) by the URL template, or by the name where that says nothing."""
  nouns = shapes.path_nouns(s.tool)
  if shapes.ends_in_key(s.tool) and kind != 'list' and s.collection:
    last = s.path_parameters[-1] if s.path_parameters else ''
    if 'by' in s.collection.split('_'):
      return next(iter(nouns), ''), ''  # '/documents/findByAuthor/{author}'
    return names.phrase(s.collection, '').noun or s.collection, last
  many = next((n for n in nouns if _is_plural_in(n, s)), '')
  if s.names_many or kind in ('list', 'search'):
    return many or (nouns[0] if nouns else s.phrase.noun), ''
  if nouns and s.tool.effect == 'read' and not (set(nouns[0].split('_')) & _QUALIFIERS):
    return nouns[0], ''
  return many or ('' if kind == 'action' else next(iter(nouns), '')), ''


def _is_plural_in(noun: str, s: Shape) -> bool:
  return any(names.noun_of(w) == noun != '_'.join(w) for part in s.tool.lineage[0].path.split('/') if (w := naming.words(part)))


def _of_name(s: Shape, kind: Kind) -> tuple[str, str]:
  if not s.phrase.noun or not (s.phrase.verb in names.VERBS or (s.phrase.plural and kind != 'read')):
    return '', ''
  key = _named(s) if kind in ('read', 'update', 'patch', 'delete', 'action') else ''
  computed = kind == 'read' and s.required and not key  # 'get_duration(path)': something about what is given
  return ('', '') if computed else (s.phrase.noun, key)


def _named(s: Shape) -> str:
  """The one required parameter that can name a record."""
  scalars: Sequence[str] = [p for p in s.parameters if s.is_scalar(p) and (p in s.required or len(s.parameters) == 1)]
  telling = [p for p in scalars if identifiers.is_identifier(p) or names.normal(p).split('_')[-1] in operations.NATURAL]
  return telling[0] if len(telling) == 1 else ''


def _unqualified(noun: str) -> str:
  words = noun.split('_')
  while len(words) > 1 and words[0] in _QUALIFIERS:
    words = words[1:]
  return '_'.join(words)
