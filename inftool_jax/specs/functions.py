"""Function lists as OpenAI's and Anthropic's requests hold them, whole or one to a line.

Forms, all of which may stand in a list, under `tools` or `functions` (beside a `messages` or a `name`, say), or alone on a line:

    {"type": "function", "function": {"name", "description", "parameters"}}     OpenAI, chat completions
    {"type": "function", "name", "description", "parameters"}                   OpenAI, responses; without `type`, older requests
    {"name", "description", "input_schema"}                                     Anthropic, messages

https://platform.openai.com/docs/guides/function-calling, https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview.
A definition that comes again, word for word, is one tool with several origins: training files repeat their tools on every line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inftool_jax.specs import effects, mcp, naming
from inftool_jax.specs.documents import Document
from inftool_jax.specs.operations import Operation, Reading, repeats_merged
from inftool_jax.types import JSON

_HOLDERS = ('tools', 'functions')
_SCHEMAS = ('parameters', 'input_schema')


def is_functions(value: JSON) -> bool:
  """Whether `value` is a function, or a list or an object that holds one. An MCP dump, whose tools have `inputSchema`, is none."""
  if isinstance(value, list):
    return any(_is_function(entry) for entry in value) or (bool(value) and isinstance(value[0], dict) and is_functions(value[0]))
  if not isinstance(value, dict):
    return False
  return _is_function(value) or any(isinstance(value.get(key), list) and any(map(_is_function, value[key])) for key in _HOLDERS)


def read(parts: list[Document], stem: str) -> Reading:
  """The operations of a file, in their order. `stem` names the server when no `name` does; what is no function is a problem."""
  operations: list[Operation] = []
  problems: list[tuple[str, str]] = []
  for pointer, server, entry in _entries(parts):
    try:
      operations.append(_operation(pointer, server or naming.slug(stem, 'functions'), entry, problems))
    except ValueError as e:
      problems.append((pointer, f'{e}; it is left out'))
  return Reading('functions', repeats_merged(operations), tuple(problems))


def _is_function(value: JSON) -> bool:
  if not isinstance(value, dict):
    return False
  inner = value.get('function')
  if isinstance(inner, dict):
    return isinstance(inner.get('name'), str)
  if not isinstance(value.get('name'), str) or 'inputSchema' in value:
    return False
  return value.get('type') == 'function' or any(isinstance(value.get(key), dict) for key in _SCHEMAS)


def _entries(parts: list[Document]) -> Iterator[tuple[str, str, JSON]]:
  """(pointer, name of the server or '', entry) of everything that should be a function."""
  for part in parts:
    if isinstance(part.value, list):
      yield from _entries([Document(f'{part.pointer}/{i}', entry) for i, entry in enumerate(part.value)])
      continue
    holders = [key for key in _HOLDERS if isinstance(part.value.get(key), list)] if isinstance(part.value, dict) else []
    if not holders:
      yield part.pointer, '', part.value
    for key in holders:
      for i, entry in enumerate(part.value[key]):
        yield f'{part.pointer}/{key}/{i}', _server(part.value), entry


def _server(holder: Mapping[str, Any]) -> str:
  named = (holder.get(key) for key in ('server', 'name'))
  return next((naming.slug(name) for name in named if isinstance(name, str) and naming.slug(name)), '')


def _operation(pointer: str, server: str, entry: JSON, problems: list[tuple[str, str]]) -> Operation:
  if not isinstance(entry, dict):
    raise ValueError('is not a JSON object')
  place, function = pointer, entry
  if isinstance(entry.get('function'), dict):
    place, function = f'{pointer}/function', entry['function']
  key = next((k for k in _SCHEMAS if k in function), 'parameters')
  name, kind = function.get('name'), entry.get('type')
  if isinstance(kind, str) and kind not in ('function', 'custom') and key not in function:
    raise ValueError(f'is a tool of type {kind!r}, which the service runs itself')
  if not isinstance(name, str):
    raise ValueError('has no name')
  if function.get(key) is not None and not isinstance(function[key], dict):
    raise ValueError(f'{key} is not an object')
  description = naming.clean(function.get('description'))
  effect = effects.stated(function.get('x-effect'))
  arguments = mcp.inputs(function.get(key) or {}, f'{place}/{key}', problems)
  return Operation(
    server=server, domain='other', name=naming.valid_name(name, 'function'),
    description=description or ' '.join(naming.words(name)) or name,
    input_schema=arguments,
    output_schema=mcp.output(function.get('returns'), f'{place}/returns', problems),
    effect=effect or effects.of_mcp(name, description, {}, arguments['properties']), pointer=pointer)
