"""The dependency graph: which field of one tool's output can fill which parameter of another.

A field and a parameter are compared by what they are *of* (the entity: the words before an identifying last word, or else the object,
path or tool they stand in), by name, format and type. `order_id`, `id` in a result of `create_order`, and `id` of
`/orders/{id}` all are the id of an order.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax.specs import naming
from inftool_jax.types import JSON, Tool

SAME_SERVER, OTHER_SERVER = 1.0, 0.5
IDENTITY, SAME_NAME, SAME_FORMAT = 1.0, 0.8, 0.4
MIN_SCORE = 0.3
_MAX_LEVELS = 4
_MAX_FIELDS = 60

_IDENTIFYING = frozenset('id ids uuid guid key sku code slug sid token isbn iban handle username'.split())
# Names that say nothing of what they hold: equal ones match only within one entity.
_GENERIC = frozenset(
  'name type status state title description value text message data date time page limit offset count total size format language lang '
  'page_size per_page page_token start end from to note notes amount quantity number query q sort order kind label url link'.split())
_TELLING_FORMATS = frozenset({'email', 'uri', 'uuid', 'date', 'date-time', 'ipv4', 'ipv6', 'hostname'})
_VERBS = frozenset(
  'get list search find create add update edit delete remove set make new all by for of the a send fetch read retrieve lookup check '
  'show book cancel api v1 v2 v3 me my current'.split())


@dataclasses.dataclass(frozen=True)
class Slot:
  """A field of an output or a parameter of an input. `key` is the last word when it identifies, else the whole name."""

  tool: str
  server: str
  path: str  # field: JSON path, `$.orders[*].id`; parameter: its name
  entity: str  # singular, '' when nothing tells
  key: str
  types: tuple[str, ...]
  format: str
  identifies: bool


@dataclasses.dataclass(frozen=True)
class Edge:
  """`path` in the result of `source_tool` can fill `parameter` of `target_tool`. `[*]` in a path stands for any item of a list.

  `score` in (0, 1]: 1 is the same entity's identifier on the same server.
  """

  source_tool: str
  path: str
  target_tool: str
  parameter: str
  score: float


def edges(tools: Sequence[Tool], per_parameter: int = 12, across_servers: bool = True) -> tuple[Edge, ...]:
  """The edges among `tools`, at most `per_parameter` into each parameter: best score first (a server's own before others').

  Ordered by target tool and parameter as `tools` has them, then by falling score, then by source. What a delete returns feeds
  nothing: it is gone. A tool does not feed itself.
  """
  index = _index(tools)
  order = {tool.name: i for i, tool in enumerate(tools)}
  out: list[Edge] = []
  for tool in tools:
    for slot in parameters(tool):
      found: dict[tuple[str, str], float] = {}
      for field in _candidates(index, slot, across_servers):
        points = score(field, slot)
        if points >= MIN_SCORE and field.tool != slot.tool:
          found[field.tool, field.path] = points
      best = sorted(found.items(), key=lambda item: (-item[1], order[item[0][0]], item[0][1]))[:per_parameter]
      out += [Edge(source, path, slot.tool, slot.path, points) for (source, path), points in best]
  return tuple(out)


def score(field: Slot, parameter: Slot) -> float:
  """How well `field` fills `parameter`; 0 when it cannot."""
  if not _compatible(field, parameter):
    return 0.0
  same_entity = field.entity == parameter.entity and field.entity != ''
  if field.identifies and parameter.identifies and field.key == parameter.key:
    points = IDENTITY if same_entity else 0.0
  elif field.identifies != parameter.identifies:
    points = 0.0
  elif field.key == parameter.key and (same_entity or parameter.key not in _GENERIC):
    points = SAME_NAME
  elif field.format == parameter.format and field.format in _TELLING_FORMATS and same_entity:
    points = SAME_FORMAT
  else:
    points = 0.0
  return round(points * (SAME_SERVER if field.server == parameter.server else OTHER_SERVER), 6)


def parameters(tool: Tool) -> tuple[Slot, ...]:
  """The parameters of `tool` that another tool's output could fill: no booleans, no constants, no closed choices."""
  default = _entity_of_tool(tool)
  slots = []
  for name, schema in tool.parameters.items():
    types = _types(schema)
    if types and isinstance(schema, Mapping) and 'enum' not in schema and 'const' not in schema:
      entity = _entity_in_path(tool, name) or default
      slots.append(_slot(tool, name, name, entity, types, schema))
  return tuple(slots)


def fields(tool: Tool) -> tuple[Slot, ...]:
  """The scalar fields of `tool`'s output, at most 4 levels deep and 60 in all, in the schema's order.

  A field that echoes a required parameter is left out: its value is known before the call, so nothing depends on the result.
  """
  if tool.output_schema is None or tool.effect == 'delete':
    return ()
  echoed = {_bucket(slot) for slot in parameters(tool) if slot.path in tool.required}
  slots = []
  for path, name, entity, schema in _walk(tool.output_schema, '$', '', _entity_of_tool(tool), _MAX_LEVELS):
    if types := _types(schema):
      slot = _slot(tool, path, name, entity, types, schema)
      slots += [slot] if _bucket(slot) not in echoed else []
    if len(slots) == _MAX_FIELDS:
      break
  return tuple(slots)


def _slot(tool: Tool, path: str, name: str, entity: str, types: tuple[str, ...], schema: Mapping[str, JSON]) -> Slot:
  parts = naming.words(name)
  identifies = bool(parts) and parts[-1] in _IDENTIFYING
  if identifies:
    entity = '_'.join(naming.singular(w) for w in parts[:-1]) or entity
    key = naming.singular(parts[-1]) if parts[-1] == 'ids' else parts[-1]
  else:
    key = '_'.join(parts)
  return Slot(tool.name, tool.server, path, entity, key, types, str(schema.get('format', '')), identifies)


def _walk(schema: JSON, path: str, name: str, entity: str, levels: int) -> Iterator[tuple[str, str, str, Mapping[str, JSON]]]:
  """(path, name, entity, schema) of every leaf. An object's own name is the entity of its fields."""
  if not isinstance(schema, Mapping):
    return
  if isinstance(schema.get('properties'), Mapping):
    if levels:
      for child, inner in schema['properties'].items():
        step = f'.{child}' if re.fullmatch(r'\w+', child) else f'[{child!r}]'
        yield from _walk(inner, path + step, child, _entity_of_object(name) or entity, levels - 1)
  elif isinstance(schema.get('items'), Mapping):
    yield from _walk(schema['items'], f'{path}[*]', name, entity, levels)
  elif name or path != '$':
    yield path, name, entity, schema


def _index(tools: Sequence[Tool]) -> dict[tuple[str, str], list[Slot]]:
  """Fields by server and key, and under server '' those of all servers; also by (server, '=format') for telling formats."""
  index: dict[tuple[str, str], list[Slot]] = {}
  for tool in tools:
    for field in fields(tool):
      keys = [_bucket(field)]
      if field.format in _TELLING_FORMATS:
        keys.append(f'={field.format} {field.entity}')
      for key in keys:
        index.setdefault((field.server, key), []).append(field)
        index.setdefault(('', key), []).append(field)
  return index


def _bucket(slot: Slot) -> str:
  return f'{slot.entity}#{slot.key}' if slot.identifies or slot.key in _GENERIC else slot.key


def _candidates(index: Mapping[tuple[str, str], list[Slot]], slot: Slot, across_servers: bool) -> list[Slot]:
  server = '' if across_servers else slot.server
  found = index.get((server, _bucket(slot)), [])
  if slot.format in _TELLING_FORMATS:
    found = [*found, *index.get((server, f'={slot.format} {slot.entity}'), [])]
  return found


def _compatible(field: Slot, parameter: Slot) -> bool:
  wider = {*parameter.types, *(('integer',) if 'number' in parameter.types else ())}
  if not wider.intersection(field.types):
    return False
  formats = {field.format, parameter.format} & _TELLING_FORMATS
  return len(formats) < 2  # a date is no e-mail address; no format at all says nothing


def _types(schema: JSON) -> tuple[str, ...]:
  """The scalar types that can flow from tool to tool."""
  if not isinstance(schema, Mapping):
    return ()
  kind = schema.get('type')
  kinds = kind if isinstance(kind, (list, tuple)) else [kind]
  return tuple(k for k in kinds if k in ('string', 'integer', 'number'))


def _entity_of_object(name: str) -> str:
  """An object's name as an entity; wrappers that every result has are none."""
  parts = naming.words(name)
  if not parts or parts[-1] in ('data', 'result', 'results', 'items', 'item', 'response', 'list', 'entries', 'payload', 'body'):
    return ''
  return '_'.join([*parts[:-1], naming.singular(parts[-1])])


def _entity_of_tool(tool: Tool) -> str:
  """What the tool is about: the last fixed segment of its path, or else the noun of its name."""
  segments = [s for s in (tool.lineage[0].path if tool.lineage else '').split('/') if s and not s.startswith('{')]
  nouns = [w for w in naming.words(segments[-1] if segments else tool.name) if w not in _VERBS]
  nouns = nouns or [w for w in naming.words(tool.name) if w not in _VERBS]
  server = set(naming.words(tool.server))
  nouns = [w for w in nouns if w not in server] or nouns
  return '_'.join([*nouns[:-1], naming.singular(nouns[-1])]) if nouns else ''


def _entity_in_path(tool: Tool, parameter: str) -> str:
  """The collection before `{parameter}` in the path: 'order' for /orders/{id}/items."""
  before = re.search(r'([^/{}]+)/\{' + re.escape(parameter) + r'\}', tool.lineage[0].path if tool.lineage else '')
  return _entity_of_object(before[1]) if before else ''
