"""A tool's prompt form made shorter, step by step, until it fits.

Length is that of the JSON text of {name, description, parameters}. The steps, each on top of those before it:
 1. descriptions to their first sentence (200 characters); examples away
 2. descriptions of optional parameters away
 3. optional parameters beyond the first 8 away
 4. enums beyond 8 values away (a default stays); choices (anyOf, oneOf) beyond 2 branches away
 5. descriptions inside of parameters away, and optional properties inside of them
 6. optional parameters beyond the first 3 away
 7. all optional parameters away; enums beyond 4 values away
 8. descriptions of parameters and all that lies inside of them away
 9. the tool's description to 80 characters
A required parameter is never dropped, nor one that the schema's own choices require. The output schema stays: no prompt shows it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping

from inftool_jax.specs import naming
from inftool_jax.specs.dialect import Schema
from inftool_jax.types import JSON, Tool

_NESTED = ('items', 'additionalProperties', 'not')
_NESTED_LISTS = ('prefixItems', 'anyOf', 'oneOf', 'allOf')
_OWN = ('type', 'format', 'enum', 'const')


def compact(tool: Tool, limit_chars: int) -> Tool:
  """`tool` itself if it fits, else the form after the first step that makes it fit, else the smallest form."""
  for step in _STEPS:
    if length(tool) <= limit_chars:
      return tool
    tool = step(tool)
  return tool


def length(tool: Tool) -> int:
  """Characters of the JSON text a prompt shows for `tool`."""
  shown = {'name': tool.name, 'description': tool.description, 'parameters': tool.input_schema}
  return len(json.dumps(shown, ensure_ascii=False))


def _everywhere(schema: JSON, change: Callable[[Schema], Schema]) -> JSON:
  """`change` applied to `schema` and every subschema, the inner ones first."""
  if not isinstance(schema, Mapping):
    return schema
  out = dict(schema)
  for key in ('properties', 'patternProperties'):
    if key in out:
      out[key] = {n: _everywhere(s, change) for n, s in out[key].items()}
  for key in _NESTED:
    if key in out:
      out[key] = _everywhere(out[key], change)
  for key in _NESTED_LISTS:
    if key in out:
      out[key] = [_everywhere(s, change) for s in out[key]]
  return change(out)


def _with_schema(tool: Tool, **changes: JSON) -> Tool:
  return dataclasses.replace(tool, input_schema={**tool.input_schema, **changes})


def _per_parameter(tool: Tool, change: Callable[[str, Schema], Schema]) -> Tool:
  return _with_schema(tool, properties={n: change(n, s) for n, s in tool.parameters.items()})


def _needed(tool: Tool) -> frozenset[str]:
  """Parameters that must stay: required ones, and those that a choice at the top requires."""
  branches = [b for key in ('anyOf', 'oneOf', 'allOf') for b in tool.input_schema.get(key, ()) if isinstance(b, Mapping)]
  return frozenset([*tool.required, *(name for branch in branches for name in branch.get('required', ()))])


def _first_sentences(tool: Tool) -> Tool:
  def change(schema: Schema) -> Schema:
    out = _without(schema, 'examples')
    return out | {'description': naming.first_sentence(out['description'])} if 'description' in out else out

  shorter = dataclasses.replace(tool, description=naming.first_sentence(tool.description))
  return dataclasses.replace(shorter, input_schema=_everywhere(tool.input_schema, change))


def _no_optional_descriptions(tool: Tool) -> Tool:
  needed = _needed(tool)
  return _per_parameter(tool, lambda n, s: s if n in needed else _everywhere(s, lambda inner: _without(inner, 'description')))


def _optional(kept: int) -> Callable[[Tool], Tool]:
  def step(tool: Tool) -> Tool:
    needed = _needed(tool)
    optional = [n for n in tool.parameters if n not in needed][:kept]
    return _with_schema(tool, properties={n: s for n, s in tool.parameters.items() if n in needed or n in optional})

  return step


def _choices(values: int) -> Callable[[Tool], Tool]:
  def change(schema: Schema) -> Schema:
    out = dict(schema)
    if len(out.get('enum', ())) > values:
      kept = out['enum'][:values]
      out['enum'] = kept if 'default' not in out or out['default'] in kept else [*kept[:-1], out['default']]
    for key in ('anyOf', 'oneOf'):
      if key in out:
        out[key] = out[key][:2]
    return out

  return lambda tool: _per_parameter(tool, lambda _, s: _everywhere(s, change))


def _required_inside(tool: Tool) -> Tool:
  def change(schema: Schema) -> Schema:
    out = _without(schema, 'description')
    if out.get('properties') and out.get('required'):
      out['properties'] = {n: s for n, s in out['properties'].items() if n in out['required']}
    return out

  def outer(schema: Schema) -> Schema:
    said = {'description': schema['description']} if 'description' in schema else {}
    return _everywhere(schema, change) | said

  return _per_parameter(tool, lambda _, s: outer(s) if isinstance(s, Mapping) else s)


def _shapes(tool: Tool) -> Tool:
  def change(schema: Schema) -> Schema:
    if not isinstance(schema, Mapping):
      return schema
    return {k: schema[k] for k in _OWN if k in schema}

  return _per_parameter(tool, lambda _, s: change(s))


def _short_description(tool: Tool) -> Tool:
  return dataclasses.replace(tool, description=naming.cut(tool.description, 80))


def _without(schema: Schema, key: str) -> Schema:
  return {k: v for k, v in schema.items() if k != key}


def _in_turn(*steps: Callable[[Tool], Tool]) -> Callable[[Tool], Tool]:
  def step(tool: Tool) -> Tool:
    for one in steps:
      tool = one(tool)
    return tool

  return step


_STEPS: tuple[Callable[[Tool], Tool], ...] = (
  _first_sentences, _no_optional_descriptions, _optional(8), _choices(8), _required_inside, _optional(3),
  _in_turn(_optional(0), _choices(4)), _shapes, _short_description)
