"""What one tool shows by itself, before its server's other tools are considered."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from inftool_jax.servers import identifiers, names, schemas, values
from inftool_jax.servers.catalog import Path
from inftool_jax.servers.names import Phrase
from inftool_jax.servers.schemas import Document, Node
from inftool_jax.servers.words import listed
from inftool_jax.specs import naming
from inftool_jax.types import Tool

_PLACEHOLDER = re.compile(r'\{([^{}]+)\}')
_ENVELOPES = 2
_SCALARS = frozenset({'string', 'integer', 'number', 'boolean'})
# What a list is called that is all there is in an output.
_ENVELOPED = frozenset(listed('data result item list response record entry content payload hit'))
# Parameters of an operation, not properties of what it is about.
PAGING = frozenset(listed(
  'limit page offset cursor per_page page_size page_number max_results count size top skip page_token sort sort_by '
  'order_by order direction fields include format verbose'
))


@dataclasses.dataclass(frozen=True)
class Shape:
  tool: Tool
  phrase: Phrase
  inputs: Document
  outputs: Document | None
  parameters: Mapping[str, Node]  # resolved
  required: frozenset[str]
  path_parameters: tuple[str, ...]  # of the URL template, in order
  collection: str  # singular noun before the last placeholder of the URL template
  resource: str  # singular noun of its last segment that is no placeholder
  is_part: bool  # the URL template ends in a name behind a placeholder: '/orders/{id}/items'
  names_many: bool  # the last name in the URL template is a plural
  record_path: Path
  list_path: Path | None

  @property
  def record(self) -> Node:
    """The schema of the record in the output ({} if the output says nothing of one)."""
    if self.outputs is None:
      return {}
    if self.list_path is not None:
      node = follow(self.outputs, self.list_path)
      return self.outputs.resolve(node.get('items', {}))
    return follow(self.outputs, self.record_path)

  def kind(self, parameter: str) -> str:
    return values.type_of(self.parameters[parameter])

  def is_scalar(self, parameter: str) -> bool:
    return self.kind(parameter) in _SCALARS


def follow(document: Document, path: Path) -> Node:
  """The resolved schema of the property that `path` leads to."""
  node = document.resolve(document.root)
  for name in path:
    node = document.resolve(node.get('properties', {}).get(name, {}))
  return node


def shape(tool: Tool) -> Shape:
  """Reads a tool; total on any tool."""
  said = names.phrase(tool.name, tool.server)
  inputs = schemas.compiled(tool.input_schema)
  outputs = schemas.compiled(tool.output_schema) if tool.output_schema is not None else None
  root = inputs.resolve(inputs.root)
  parameters = {n: inputs.resolve(s) for n, s in root.get('properties', {}).items()}
  placeholders, collection, resource, is_part, names_many = _template(tool)
  placeholders = [f'path_{p}' if f'path_{p}' in parameters else p for p in placeholders]  # as a reader tells it from one in the body
  one = is_one_of_many(tool) and not said.plural
  list_path = _list_path(outputs, said) if outputs is not None and tool.effect == 'read' and not one else None
  if list_path and not _speaks_of(said, list_path[-1]) and not (tool.lineage and tool.lineage[0].path):
    list_path = None
  record_path = _record_path(outputs, said) if outputs is not None and list_path is None else ()
  return Shape(
    tool, said, inputs, outputs, parameters, frozenset(root.get('required', ())),
    tuple(p for p in placeholders if p in parameters), collection, resource, is_part, names_many, record_path, list_path,
  )


def _speaks_of(said: Phrase, listed: str) -> bool:
  """Whether a tool whose name has no verb ('ben_10') is there for a list called so, rather than for something that has one in it."""
  return said.verb in names.VERBS or names.noun_of(naming.words(listed)) in (_ENVELOPED | {said.noun, *said.noun.split('_')})


def ends_in_key(tool: Tool) -> bool:
  """Whether the URL template ends in a placeholder: what is asked for is one thing, not the many that it stands among."""
  return bool(tool.lineage) and tool.lineage[0].path.rstrip('/').endswith('}')


def is_one_of_many(tool: Tool) -> bool:
  """'/months/{month}', but not '/severity/{severity}': what stands before the last placeholder is a plural."""
  plain = [s for s in tool.lineage[0].path.split('/') if s] if ends_in_key(tool) else []
  return len(plain) > 1 and '{' not in plain[-2] and names.noun_of(naming.words(plain[-2])) != '_'.join(naming.words(plain[-2]))


def path_nouns(tool: Tool) -> list[str]:
  """Singular nouns of a URL template's literals, the last first; no verbs, no versions."""
  path = tool.lineage[0].path if tool.lineage else ''
  said = [naming.words(s) for s in reversed(path.split('/')) if s and '{' not in s]
  nouns = [w for w in said if w and w != ['api'] and not any(c.isdigit() for c in w[0]) and (len(w) > 1 or w[0] not in names.VERBS)]
  return [noun for w in nouns if (noun := names.noun_of(w) if w[0] not in names.VERBS else names.phrase('_'.join(w), '').noun)]


def _template(tool: Tool) -> tuple[list[str], str, str, bool, bool]:
  path = tool.lineage[0].path if tool.lineage else ''
  segments = [s for s in path.split('/') if s]
  placeholders = [name for s in segments for name in _PLACEHOLDER.findall(s)]
  at = next((i for i in range(len(segments) - 1, 0, -1) if '{' in segments[i] and '{' not in segments[i - 1]), 0)
  plain = [s for s in segments if '{' not in s]
  collection = names.noun_of(naming.words(segments[at - 1])) if at else ''
  resource = names.noun_of(naming.words(plain[-1])) if plain else ''
  is_part = bool(placeholders) and '{' not in segments[-1]
  return placeholders, collection, resource, is_part, bool(plain) and resource != '_'.join(naming.words(plain[-1]))


def _objects(document: Document) -> Iterator[tuple[Path, Node]]:
  """The objects of an output from the outside in: the root, then its envelopes."""
  level: list[tuple[Path, Node]] = [((), document.resolve(document.root))]
  for _ in range(_ENVELOPES + 1):
    below: list[tuple[Path, Node]] = []
    for path, node in level:
      yield path, node
      inner = [((*path, n), document.resolve(s)) for n, s in node.get('properties', {}).items()]
      below += [(p, n) for p, n in inner if values.type_of(n) == 'object']
    level = below


def _id_names(node: Node) -> list[str]:
  return [n for n in node.get('properties', {}) if identifiers.is_identifier(n)]


def _record_path(document: Document, said: Phrase) -> Path:
  """The object named like the noun, or the outermost that has an id of its own; the root if there is none."""
  with_id: list[Path] = []
  for path, node in _objects(document):
    if path and 'properties' in node and names.noun_of(naming.words(path[-1])) == said.noun:
      return path
    if _id_names(node):
      with_id.append(path)
  return with_id[0] if with_id else ()


def _list_path(document: Document, said: Phrase) -> Path | None:
  """The array of objects in an output: the one named like the noun, one whose items have an id, or the only one."""
  found: list[tuple[Path, Node]] = []
  if values.type_of(document.resolve(document.root)) == 'array':
    found.append(((), document.resolve(document.root)))
  for path, node in _objects(document):
    for name, sub in node.get('properties', {}).items():
      inner = document.resolve(sub)
      if values.type_of(inner) == 'array':
        found.append(((*path, name), inner))
  lists = [(p, n) for p, n in found if values.type_of(item := document.resolve(n.get('items', {}))) == 'object' and 'properties' in item]
  if not lists:
    return None
  root_ids = _id_names(document.resolve(document.root))
  for path, _ in lists:
    if path and names.noun_of(naming.words(path[-1])) == said.noun and (said.plural or said.verb in names.LIST_VERBS):
      return path
  if root_ids and not (said.plural or said.verb in names.LIST_VERBS):
    return None  # a record that has a list in it
  listing = said.plural or said.verb in names.LIST_VERBS or len(lists) == 1
  with_id = [p for p, n in lists if _id_names(document.resolve(n.get('items', {})))]
  return (with_id or [lists[0][0]])[0] if listing else None
