"""The effect of an operation: stated by the specification, or else told from its method, its name and how its description begins."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence

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
  'refund confirm invite merge push deploy reset close lock unlock invoke kill terminate',
  'pure': 'convert calculate compute translate encode decode format validate parse hash sum estimate normalize transform '
  'compare solve simplify echo',
}
_EFFECT_OF: dict[str, Effect] = {verb: effect for effect, verbs in _VERBS.items() for verb in verbs.split()}
_NOUNS = frozenset(
  'place post book open schedule call drop sum format hash pay pause copy clone mark run play push lock fork transfer import export '
  'details info history top show check'.split())
# What is done to what is given; of a GET it may be to what the server knows.
_ANALYSES = frozenset('classify identify detect predict analyze analyse recognize tokenize summarize extract'.split())
# Verbs of a description by which a GET is a write nevertheless.
_UNSAFE = frozenset('add create insert register update set change delete remove clear empty lock unlock send cancel'.split())
_OUTPUTS = frozenset({
  'output dir', 'output path', 'output file', 'output directory', 'output folder', 'save path', 'save dir', 'destination path',
})
_TEST_OF_GIVEN = re.compile(r'checks? (?:whether|if) (?:a|an|the) given\b', re.IGNORECASE)
_SENTENCES = re.compile(r'(?<=[.!?:])\s+')
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


def of_prose(description: str, analyses: bool = True) -> Effect | None:
  """The effect of the verb that one of the first two sentences begins with: 'Converts ...', 'Single budget. Returns ...'."""
  for sentence in _SENTENCES.split(description, maxsplit=2)[:2]:
    if _TEST_OF_GIVEN.match(sentence):
      return 'pure'
    first = naming.words(sentence[:40])[:1]
    plain = [naming.singular(w) for w in first]
    if analyses and plain and plain[0] in _ANALYSES:
      return 'pure'
    if plain and (plain != first or plain[0] not in _NOUNS) and plain[0] in _EFFECT_OF:
      return _EFFECT_OF[plain[0]]
  return None


def of_http(method: str, name: str, path: str, description: str = '') -> Effect:
  """GET and its like read, or are pure when name or description say so; POST is told from the leading verb, then the description, then the
  path's end. A GET that is described as a write and not named a read is one: there are APIs that know no other method.
  """
  verb = of_words([w for w in naming.words(name) if w != method.lower()][:2])  # `post_x` says no more than POST does
  told = of_prose(description, analyses=method not in _BY_METHOD)
  if method in _BY_METHOD:
    first = [naming.singular(w) for w in naming.words(description[:40])[:1]]
    return _of_method(_BY_METHOD[method], method, verb, told, bool(_UNSAFE & set(first)))
  if verb is not None:
    return verb
  if told is not None:
    return told
  last = path.rstrip('/').rsplit('/', 1)[-1]
  by_path = of_words(naming.words(last))
  if by_path is not None:
    return by_path
  return 'create' if last and not last.startswith('{') and naming.singular(last) != last else 'action'


def _of_method(usual: Effect, method: str, verb: Effect | None, told: Effect | None, unsafe: bool) -> Effect:
  if usual != 'read':
    return 'create' if method == 'PUT' and verb == 'create' else usual
  if verb == 'pure' or (verb is None and told == 'pure'):
    return 'pure'
  if method == 'GET' and unsafe and verb not in ('read', 'pure'):
    return verb or told or 'action'
  return 'read'


def of_mcp(name: str, description: str, annotations: Mapping[str, JSON], parameters: Iterable[str] = ()) -> Effect:
  """MCP hints first: readOnlyHint true reads, false writes; destructiveHint false never deletes. Then words; unknown acts.

  What takes a place to write its output to is not pure.
  """
  verb = of_words(naming.words(name)) or of_prose(description) or ('read' if description.startswith('Returns ') else None)
  if verb in ('pure', 'read') and any(' '.join(naming.words(p)) in _OUTPUTS for p in parameters):
    verb = 'action'
  hint = annotations.get('readOnlyHint')
  if hint is True:
    return 'pure' if verb == 'pure' else 'read'
  if hint is False or annotations.get('destructiveHint') is True:
    verb = 'action' if verb in ('read', 'pure') else verb
  if verb == 'delete' and annotations.get('destructiveHint') is False:
    verb = 'action'
  return verb or 'action'
