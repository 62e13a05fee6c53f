"""Servers of files: what is kept under paths that the caller chooses.

A server is one of files if a tool of it takes a path and a text to be kept there. Its paths are the keys of one kind of record; folders are
records without text. What was not written, in the session or before it opened, is not there; where it is written, nothing need be.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from inftool_jax.servers import handlers, names, responses, values
from inftool_jax.servers.catalog import Entity, Field, Operation, Role
from inftool_jax.servers.handlers import Arguments, Context, refuse
from inftool_jax.servers.responses import Facts
from inftool_jax.servers.shapes import Shape
from inftool_jax.servers.words import listed
from inftool_jax.specs import naming
from inftool_jax.types import JSON

_PATHS = frozenset(listed('path file_path filepath file_name filename'))
_TEXTS = ('content', 'contents', 'text', 'data', 'body')
_SOURCES = frozenset(listed('source src source_path old_path from_path from'))
_TARGETS = frozenset(listed('destination dest destination_path new_path to_path to target'))
_FOLDERS = frozenset(listed('directory dir folder tree'))
_ABOUT = frozenset(listed('info stat metadata attribute detail'))
_PATTERNS = frozenset(listed('pattern query name glob'))

NOTHING: Mapping[str, JSON] = MappingProxyType({})
MAX_SHOWN = 40  # entries of a folder in one answer


def find(server: str, tools: Sequence[Shape]) -> tuple[dict[str, Operation], dict[str, Entity]]:
  """(operations by tool name, entities by name) of a server of files; both empty for any other."""
  writer = next((s for s in tools if s.tool.effect in ('create', 'update') and _path(s) and _text(s)), None)
  if writer is None:
    return {}, {}
  path, text = _path(writer), _text(writer)
  spoken = frozenset(names.normal(p) for s in tools if (p := _path(s)))
  fields = {n: Field(n, writer.parameters[p], writer.inputs) for n, p in (('path', path), ('content', text))}
  entity = Entity(f'{server}/file', 'file', 'path', spoken | {'path'}, fields, {}, {})
  found = {s.tool.name: op for s in tools if (op := _operation(s, entity)) is not None}
  return found, {entity.name: entity}


def _path(s: Shape) -> str:
  return next((p for p in s.parameters if p in s.required and names.normal(p) in _PATHS and s.kind(p) == 'string'), '')


def _text(s: Shape) -> str:
  return next((p for p in s.parameters if names.normal(p) in _TEXTS and s.kind(p) == 'string'), '')


def _operation(s: Shape, entity: Entity) -> Operation | None:
  path, words = _path(s), {naming.singular(w) for w in naming.words(s.tool.name)}
  if not path:
    source = next((p for p in s.required if names.normal(p) in _SOURCES), '')
    target = next((p for p in s.required if names.normal(p) in _TARGETS), '')
    moves = source and target and s.tool.writes
    return Operation(s.tool, 'move', entity.key, uses={'path': source, 'target': target}) if moves else None
  if s.tool.effect in ('create', 'update'):
    edits = _edits(s)
    if edits:
      return Operation(s.tool, 'edit', entity.key, path, uses={'path': path, 'edits': edits})
    return Operation(s.tool, 'put', entity.key, path, uses={'path': path, 'text': _text(s)}) if _text(s) or words & _FOLDERS else None
  if s.tool.effect == 'delete':
    return Operation(s.tool, 'delete', entity.key, path, ((path, 'path'),))
  if s.tool.effect != 'read':
    return None
  if s.phrase.verb in names.LIST_VERBS or words & _FOLDERS:
    pattern = next((p for p in s.parameters if names.normal(p) in _PATTERNS), '')
    return Operation(s.tool, 'below', entity.key, uses={'path': path, 'pattern': pattern})
  return Operation(s.tool, 'open', entity.key, path, ((path, 'path'),), uses={'path': path, 'about': 'yes' if words & _ABOUT else ''})


def _edits(s: Shape) -> str:
  """The parameter that lists what is to be replaced by what."""
  for name, node in s.parameters.items():
    if name in s.required and values.type_of(node) == 'array' and _pair(s, node) is not None:
      return name
  return ''


def _pair(s: Shape, node: Mapping[str, JSON]) -> tuple[str, str] | None:
  inner = list(s.inputs.resolve(node.get('items', {})).get('properties', {}))
  old = next((n for n in inner if names.normal(n).split('_')[0] == 'old'), None)
  new = next((n for n in inner if names.normal(n).split('_')[0] == 'new'), None)
  return (old, new) if old is not None and new is not None else None


def put(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  path, kept = _normal(arguments[operation.uses['path']]), arguments.get(operation.uses['text'], '')
  context.store.put(operation.entity, path, {'path': path, 'content': kept})
  return _done(operation, path, arguments)


def move(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  """Moves what stands at a path and below it; leaves it there too if the tool copies."""
  source, target = (_normal(arguments[operation.uses[u]]) for u in ('path', 'target'))
  records = context.store.records(operation.entity)
  found = {k: r for k, r in records.items() if k == source or k.startswith(source + '/')}
  if not found:
    raise refuse(operation.uses['path'], f'there is nothing at {source}')
  if target in records:
    raise refuse(operation.uses['target'], f'there is something at {target} already')
  for key, record in found.items():
    if 'copy' not in operation.tool.name.lower():
      context.store.delete(operation.entity, key)
    there = target + key[len(source):]
    context.store.put(operation.entity, there, {**record, 'path': there})
  return _done(operation, f'{source} to {target}', arguments)


def edit(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  path, name = _normal(arguments[operation.uses['path']]), operation.uses['edits']
  record = _record(context, operation, path)
  kept, shown = str(record.get('content', '')), []
  for change in handlers.listed(arguments, name, dict):
    old = str(next((v for n, v in change.items() if names.normal(n).startswith('old')), ''))
    new = str(next((v for n, v in change.items() if names.normal(n).startswith('new')), ''))
    if old not in kept:
      raise refuse(name, f'{path} does not contain {old[:60]!r}')
    kept = kept.replace(old, new, 1)
    shown += [f'-{old}', f'+{new}']
  context.store.put(operation.entity, path, {**record, 'content': kept})
  return _facts(operation, path, '\n'.join([f'--- {path}', *shown]), arguments)


def read(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  path = _normal(arguments[operation.uses['path']])
  kept = str(_record(context, operation, path).get('content', ''))
  return _facts(operation, path, f'path: {path}\nsize: {len(kept.encode())}' if operation.uses['about'] else kept, arguments)


def below(context: Context, operation: Operation, arguments: Arguments, text: str) -> Facts:
  """What stands below a path: whole paths where something is looked for, the next names otherwise."""
  path = _normal(arguments[operation.uses['path']])
  keys = list(context.store.records(operation.entity))
  under = [k for k in keys if k.startswith(path.rstrip('/') + '/')]
  if not under and path not in keys:
    raise refuse(operation.uses['path'], f'there is nothing at {path}')
  wanted = arguments.get(operation.uses['pattern']) if operation.uses['pattern'] else None
  if isinstance(wanted, str):
    found = [k for k in under if fnmatch.fnmatch(k, f'*{wanted}') or wanted.casefold() in k.rsplit('/', 1)[-1].casefold()]
  else:
    found = sorted({k[len(path.rstrip('/')) + 1:].split('/')[0] for k in under})
  return _facts(operation, path, '\n'.join(found[:MAX_SHOWN]), arguments, {'files': found, 'entries': found, 'paths': found})


def _normal(path: JSON) -> str:
  return str(path).rstrip('/') or '/'


def _record(context: Context, operation: Operation, path: str) -> Mapping[str, JSON]:
  record = context.store.get(operation.entity, path)
  if record is None:
    raise refuse(operation.uses['path'], f'there is nothing at {path}')
  return record


def _done(operation: Operation, what: str, arguments: Arguments) -> Facts:
  done = names.participle(names.phrase(operation.tool.name, operation.tool.server).verb or 'change')
  return _facts(operation, what, f'{done} {what}', arguments)


def _facts(operation: Operation, path: str, said: str, arguments: Arguments, more: Mapping[str, JSON] = NOTHING) -> Facts:
  """`said` stands under whatever name the output has for text."""
  known = {**responses.spelled(responses.echoed(arguments)), **responses.acknowledgements(operation), **dict.fromkeys(_TEXTS, said),
           'message': said, 'result': said, 'path': path, **more}
  return Facts(known, {'path': path, 'content': said})


Handler = Callable[[Context, Operation, Arguments, str], Facts]
HANDLERS: Mapping[Role, Handler] = {'put': put, 'move': move, 'edit': edit, 'open': read, 'below': below}
