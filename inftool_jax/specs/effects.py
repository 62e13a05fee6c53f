"""The effect of an operation: stated by the specification, or else told from its method and the words of its name."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence

from inftool_jax.specs import naming
from inftool_jax.types import JSON, Effect

EFFECTS: tuple[Effect, ...] = typing.get_args(Effect)

_VERBS: Mapping[Effect, str] = {
  'read': 'get list search find query lookup fetch read retrieve show view describe check browse count download export filter '
  'scan inspect status history suggest recommend info details latest trending top autocomplete',
  'create': 'create add insert register new upload import book schedule post open place reserve clone fork copy generate submit',
  'update': 'update edit set modify change rename replace patch put move assign enable disable toggle reschedule write save mark upsert',
  'delete': 'delete remove destroy drop clear purge erase uninstall detach unsubscribe',
  'action': 'send run execute start stop restart publish notify call click navigate trigger cancel approve pay transfer play pause '
  'refund confirm invite merge push deploy reset close lock unlock invoke',
  'pure': 'convert calculate compute translate encode decode format validate parse hash sum estimate normalize transform '
  'compare solve simplify echo',
}
_EFFECT_OF: dict[str, Effect] = {verb: effect for effect, verbs in _VERBS.items() for verb in verbs.split()}
_NOUNS = frozenset(
  'place post book open schedule call drop sum format hash pay pause copy clone mark run play push lock fork transfer import export '
  'details info history top show check'.split())
_BY_METHOD: Mapping[str, Effect] = {
  'GET': 'read', 'HEAD': 'read', 'OPTIONS': 'read', 'TRACE': 'read', 'QUERY': 'read',
  'PUT': 'update', 'PATCH': 'update', 'DELETE': 'delete',
}


def stated(value: JSON) -> Effect | None:
  """An effect as a specification states it (`x-effect` and the like); None if it is not one of the six."""
  return next((effect for effect in EFFECTS if effect == value), None)


def of_words(names: Sequence[str]) -> Effect | None:
  """The effect of the first word in `names` that is a known verb; behind the first place, of those that are hardly ever nouns."""
  return next((_EFFECT_OF[w] for i, w in enumerate(names) if w in _EFFECT_OF and (i == 0 or w not in _NOUNS)), None)


def of_http(method: str, name: str, path: str) -> Effect:
  """GET and its like read, or are pure when the name says so; POST is told from the leading verb, then from the path's end."""
  verb = of_words([w for w in naming.words(name) if w != method.lower()][:2])  # `post_x` says no more than POST does
  if method in _BY_METHOD:
    return 'pure' if verb == 'pure' and _BY_METHOD[method] == 'read' else _BY_METHOD[method]
  if verb is not None:
    return verb
  last = path.rstrip('/').rsplit('/', 1)[-1]
  by_path = of_words(naming.words(last))
  if by_path is not None:
    return by_path
  return 'create' if last and not last.startswith('{') and naming.singular(last) != last else 'action'


def of_mcp(name: str, description: str, annotations: Mapping[str, JSON]) -> Effect:
  """MCP hints first: readOnlyHint true reads, false writes; destructiveHint false never deletes. Then words; unknown acts."""
  verb = of_words(naming.words(name)) or of_words(naming.words(description)[:1])
  hint = annotations.get('readOnlyHint')
  if hint is True:
    return 'pure' if verb == 'pure' else 'read'
  if hint is False or annotations.get('destructiveHint') is True:
    verb = 'action' if verb in ('read', 'pure') else verb
  if verb == 'delete' and annotations.get('destructiveHint') is False:
    verb = 'action'
  return verb or 'action'
