"""One definition in the place of several that say the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from inftool_jax.specs import naming
from inftool_jax.toolbox.redundancy import align, choices_of, is_structure, types_of
from inftool_jax.types import JSON, Origin, Tool

_BOUNDS = {'minimum': min, 'exclusiveMinimum': min, 'minLength': min, 'maximum': max, 'exclusiveMaximum': max, 'maxLength': max}
_LOOSENED = ('format', 'pattern', 'multipleOf')


@dataclasses.dataclass(frozen=True)
class Merged:
  """The consolidated tool, and what became of parameters: 'tool.parameter' of a member -> the parameter it is now."""

  tool: Tool
  renamed: Mapping[str, str]
  added: tuple[str, ...]  # parameters that the first tool did not have
  dropped: tuple[str, ...]  # 'tool.parameter' that the merged tool does not take


class Abstraction(Protocol):
  """One tool for redundant ones. It keeps name, server and effect of the first, which executes it, and has the lineage of all."""

  def merge(self, tools: Sequence[Tool]) -> Merged: ...


class SchemaUnion:
  """The first tool, which takes what the others take.

  Every call that the first tool accepts is accepted. Parameters of the others are its own under their names there; choices are united,
  bounds widened; what is of nested form keeps the first tool's. Parameters it has not become optional ones, unless they refer to
  definitions of their own document. Description and result are the first tool's, or of the first that says something.
  """

  def merge(self, tools: Sequence[Tool]) -> Merged:
    home, renamed, dropped = tools[0], {}, []
    properties = dict(home.parameters)
    for other in tools[1:]:
      mapping = align(home, other)
      if mapping is None:
        raise ValueError(f'{home.name} and {other.name} contradict each other and cannot be merged')
      for name, schema in other.parameters.items():
        if name in mapping:
          properties[mapping[name]] = _union(properties[mapping[name]], schema)
          renamed.update({f'{other.name}.{name}': mapping[name]} if mapping[name] != name else {})
        elif name not in properties and '"$ref"' not in json.dumps(schema):
          properties[name] = schema
        elif name not in properties or name in home.parameters:
          dropped.append(f'{other.name}.{name}')
    added = tuple(p for p in properties if p not in home.parameters)
    schema = {**home.input_schema, 'properties': properties} if properties else home.input_schema
    tool = dataclasses.replace(
      home, input_schema=schema, output_schema=next((t.output_schema for t in tools if t.output_schema is not None), None),
      description=next((t.description for t in tools if _says_something(t)), home.description), lineage=_lineage(tools))
    return Merged(tool, renamed, added, tuple(dropped))


def _says_something(tool: Tool) -> bool:
  return not set(naming.words(tool.description)) <= set(naming.words(tool.name))


def _lineage(tools: Sequence[Tool]) -> tuple[Origin, ...]:
  found = {json.dumps(vars(origin), sort_keys=True, default=dict): origin for tool in tools for origin in tool.lineage}
  return tuple(found.values())


def _union(ours: JSON, theirs: JSON) -> JSON:
  """`ours`, widened so that it accepts what `theirs` accepts; unchanged where one of them has parts."""
  if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)) or is_structure(ours) or is_structure(theirs):
    return ours
  out = dict(ours)
  if 'type' in ours and 'type' not in theirs:
    out.pop('type')
  elif 'type' in ours and not _kinds(theirs) <= _kinds(ours) | types_of(ours):
    out['type'] = [*_listed(ours), *(k for k in _listed(theirs) if k not in _listed(ours))]
  if choices := choices_of(ours):
    out.pop('const', None)
    others = choices_of(theirs)
    out['enum'] = choices + [c for c in others if c not in choices]
    if not others:
      out.pop('enum')
  for keyword, wider in _BOUNDS.items():
    if keyword in ours:
      out.pop(keyword)
      out.update({keyword: wider(ours[keyword], theirs[keyword])} if keyword in theirs else {})
  for keyword in _LOOSENED:
    if keyword in ours and ours[keyword] != theirs.get(keyword):
      out.pop(keyword)
  if 'description' not in out and 'description' in theirs:
    out['description'] = theirs['description']
  return out


def _kinds(schema: Mapping[str, JSON]) -> set[str]:
  return set(_listed(schema))


def _listed(schema: Mapping[str, JSON]) -> list[str]:
  kind = schema.get('type', ())
  return [kind] if isinstance(kind, str) else list(kind)
