"""MCP `tools/list` dumps to operations: one server a file, one a line, a list of servers, or the raw (JSON-RPC) result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inftool_jax.specs import effects, naming
from inftool_jax.specs.dialect import Schema
from inftool_jax.specs.documents import Document
from inftool_jax.specs.operations import Operation, Reading
from inftool_jax.specs.schemas import Expander
from inftool_jax.types import JSON, Effect


def is_mcp(value: JSON) -> bool:
  """Whether `value` is a server with tools, a result with tools, a list of such, or a bare list of tools."""
  if isinstance(value, list):
    return bool(value) and (is_mcp(value[0]) or _is_tool(value[0]))
  if not isinstance(value, dict):
    return False
  holder = value['result'] if isinstance(value.get('result'), dict) else value
  tools = holder.get('tools')
  return isinstance(tools, list) and all(isinstance(t, dict) and 'name' in t for t in tools[:1])


def read(parts: list[Document], stem: str) -> Reading:
  """The operations of a file's servers, in their order. `stem` names a server that has no name of its own."""
  operations: list[Operation] = []
  problems: list[tuple[str, str]] = []
  for pointer, server in _servers(parts):
    if not is_mcp(server):
      problems.append((pointer, 'is not a server with a list of tools'))
      continue
    place = f'{pointer}/result/tools' if isinstance(server.get('result'), dict) else f'{pointer}/tools'
    tools = (server['result'] if isinstance(server.get('result'), dict) else server)['tools']
    if not tools:
      problems.append((place, 'is empty'))
    for i, tool in enumerate(tools):
      try:
        operations.append(_operation(f'{place}/{i}', server, tool, stem, problems))
      except ValueError as e:
        problems.append((f'{place}/{i}', f'{e}; the tool is left out'))
  return Reading('MCP', tuple(operations), tuple(problems))


def _servers(parts: list[Document]) -> Iterator[tuple[str, Any]]:
  for part in parts:
    if isinstance(part.value, list) and part.value and _is_tool(part.value[0]):
      yield part.pointer, {'tools': part.value}
    elif isinstance(part.value, list):
      for i, server in enumerate(part.value):
        yield f'{part.pointer}/{i}', server
    else:
      yield part.pointer, part.value


def _is_tool(value: JSON) -> bool:
  return isinstance(value, dict) and 'name' in value and ('inputSchema' in value or 'input_schema' in value)


def _operation(pointer: str, server: Mapping[str, Any], tool: JSON, stem: str, problems: list[tuple[str, str]]) -> Operation:
  if not isinstance(tool, dict) or not isinstance(tool.get('name'), str):
    raise ValueError('has no name')
  description = naming.clean(tool.get('description')) or naming.clean(tool.get('title'))
  arguments = _inputs(pointer, tool, problems)
  return Operation(
    server=_server_name(server, stem), domain=_domain(server), name=naming.valid_name(tool['name'], 'tool'),
    description=description or ' '.join(naming.words(tool['name'])), input_schema=arguments,
    output_schema=output(tool.get('outputSchema', tool.get('output_schema')), f'{pointer}/outputSchema', problems),
    effect=_effect(pointer, tool, description, arguments, problems), pointer=pointer)


def _inputs(pointer: str, tool: Mapping[str, JSON], problems: list[tuple[str, str]]) -> Schema:
  raw = tool.get('inputSchema', tool.get('input_schema'))
  if raw is None:
    raw = {}
  if not isinstance(raw, dict):
    raise ValueError('inputSchema is not an object')
  return inputs(raw, f'{pointer}/inputSchema', problems)


def inputs(raw: Mapping[str, Any], pointer: str, problems: list[tuple[str, str]]) -> Schema:
  """The self-contained schema of an object of arguments; required ones that nobody declares take any value."""
  properties: Mapping[str, Any] = raw['properties'] if isinstance(raw.get('properties'), dict) else {}
  required: list[Any] = raw['required'] if isinstance(raw.get('required'), list) else []
  undeclared: Schema = {}
  if '$ref' not in raw and 'allOf' not in raw:  # else they may be declared there
    undeclared = {r: {} for r in required if isinstance(r, str) and r not in properties}
  expanded = _expand({**raw, 'properties': {**properties, **undeclared}}, raw, pointer, True, problems)
  return {**expanded, 'type': 'object', 'properties': expanded.get('properties', {})}


def output(raw: JSON, pointer: str, problems: list[tuple[str, str]]) -> Schema | None:
  """The self-contained schema of a result, None for what says nothing."""
  if not isinstance(raw, dict) or not raw:
    return None
  return _expand(raw, raw, pointer, False, problems)


def _expand(schema: Schema, document: JSON, pointer: str, sending: bool, problems: list[tuple[str, str]]) -> Schema:
  expander = Expander(document)
  out = expander.expand(schema, sending=sending)
  problems.extend((pointer, reason) for reason in expander.problems)
  return out


def _effect(pointer: str, tool: Mapping[str, JSON], description: str, arguments: Schema, problems: list[tuple[str, str]]) -> Effect:
  annotations = tool['annotations'] if isinstance(tool.get('annotations'), dict) else {}
  raw = annotations.get('effect', tool.get('x-effect'))
  effect = effects.stated(raw)
  if effect is None:
    effect = effects.of_mcp(tool['name'], description, annotations, arguments['properties'])
    if raw is not None:
      problems.append((f'{pointer}/annotations/effect', f'is none of {", ".join(effects.EFFECTS)}; {effect!r} is taken'))
  return effect


def _server_name(server: Mapping[str, Any], stem: str) -> str:
  info = server.get('server_info', server.get('serverInfo'))
  for candidate in (server.get('server'), server.get('name'), info.get('name') if isinstance(info, dict) else None, stem):
    if isinstance(candidate, str) and (name := naming.slug(candidate)):
      return name
  return 'server'


def _domain(server: Mapping[str, Any]) -> str:
  for key in ('domain', 'category'):
    if isinstance(server.get(key), str) and (domain := naming.slug(server[key])):
      return domain
  return 'other'
