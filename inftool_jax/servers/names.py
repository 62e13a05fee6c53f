"""What a tool's name says: its verb, what it is about, and the state an action leaves behind."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from inftool_jax.servers.words import listed
from inftool_jax.specs import naming

VERBS = frozenset(listed(
  'get retrieve fetch show read view describe lookup look check list search find query browse filter count inspect create add insert '
  'register new upload import book schedule post open place reserve clone copy generate submit make start log record issue file request '
  'enroll update edit set modify change rename replace patch put move assign enable disable toggle reschedule write save mark upsert '
  'adjust delete remove destroy drop clear purge erase detach unsubscribe send run execute stop restart publish notify call trigger '
  'cancel approve reject pay transfer play pause resume refund confirm complete finish close reopen lock unlock archive activate '
  'deactivate ship return deposit withdraw deduct restock attach append convert calculate compute estimate validate compare do '
  'suspend block unblock accept decline mute unmute follow unfollow checkout end begin subscribe renew extend expire settle flag '
  'verify resolve escalate release dispatch deliver pin unpin star unstar hold redeem credit debit increase decrease charge invite join '
  'leave terminate kill enrich extract scrape crawl analyze select'
))
LIST_VERBS = frozenset(listed('list search browse filter query'))
_PARTICLES = frozenset(listed('up out off in on back down'))
# Names that end in what is done: 'creators_list', 'article_searcher'.
_TRAILING: Mapping[str, str] = {
  'list': 'list', 'read': 'get', 'retrieve': 'get', 'create': 'create', 'update': 'update', 'destroy': 'delete', 'getter': 'get',
  'fetcher': 'fetch', 'reader': 'read', 'finder': 'find', 'searcher': 'search', 'lister': 'list',
}
_ARTICLES = frozenset(listed('a an the single your my'))
_SAYING_NOTHING = frozenset(listed('detail details info information'))
_MANY = frozenset(listed('series news people children media'))
# Plural words for what is said of one thing.
_MASS = frozenset(listed(
  'details info information statistics stats data status settings metadata coordinates directions properties preferences analytics '
  'metrics insights results'
))
_LINKS = frozenset(listed('by for to of from with in on at as into and using near within'))
ADD_VERBS = frozenset(listed('add attach append insert assign'))
REMOVE_VERBS = frozenset(listed('remove detach delete drop unassign'))
INCREASE_VERBS = frozenset(listed('deposit credit restock increase earn refill'))
DECREASE_VERBS = frozenset(listed('withdraw debit decrease redeem deduct consume spend'))

_IRREGULAR: Mapping[str, str] = {
  'pay': 'paid', 'send': 'sent', 'hold': 'held', 'begin': 'begun', 'set': 'set', 'put': 'put', 'read': 'read', 'run': 'run',
  'cancel': 'cancelled', 'ship': 'shipped', 'stop': 'stopped', 'drop': 'dropped', 'book': 'booked', 'submit': 'submitted',
  'write': 'written',
  'withdraw': 'withdrawn', 'pin': 'pinned', 'unpin': 'unpinned', 'star': 'starred', 'flag': 'flagged', 'leave': 'left', 'refer': 'referred',
  'reopen': 'open', 'open': 'open', 'resume': 'active', 'activate': 'active', 'deactivate': 'inactive', 'enable': 'enabled',
}
# What a verb may also be called among the values of an enum.
_SYNONYMS: Mapping[str, str] = {
  'start': 'running in_progress active started on ongoing', 'begin': 'running in_progress active started',
  'stop': 'stopped inactive off idle',
  'complete': 'done completed finished closed', 'finish': 'done completed finished closed', 'close': 'closed resolved done',
  'resume': 'active running in_progress resumed playing', 'pause': 'paused on_hold suspended', 'hold': 'on_hold held',
  'open': 'open opened active', 'reopen': 'open reopened', 'publish': 'published live public', 'ship': 'shipped in_transit',
  'deliver': 'delivered', 'cancel': 'cancelled canceled', 'reject': 'rejected declined denied', 'decline': 'declined rejected',
  'approve': 'approved accepted', 'accept': 'accepted approved', 'confirm': 'confirmed', 'activate': 'active activated enabled',
  'deactivate': 'inactive disabled', 'enable': 'enabled active on', 'disable': 'disabled inactive off', 'lock': 'locked',
  'unlock': 'unlocked', 'block': 'blocked', 'suspend': 'suspended', 'checkout': 'checked_out', 'archive': 'archived', 'return': 'returned',
  'resolve': 'resolved closed', 'dispatch': 'dispatched in_transit', 'play': 'playing', 'end': 'ended finished',
}


@dataclasses.dataclass(frozen=True)
class Phrase:
  """A tool's name, read: 'mark_task_as_done' is ('mark', 'task', 'done')."""

  verb: str  # the first word where the name has no verb we know; '' where it is but one word
  noun: str  # singular, words joined by '_'; '' where there is none
  target: str  # what stands after 'as' or 'to', joined by '_'
  plural: bool


@functools.lru_cache(maxsize=8192)
def phrase(name: str, server: str) -> Phrase:
  """Reads a tool's name; a prefix that repeats the server's name is left out."""
  words = _without_server(naming.words(name), naming.words(server))
  at = next((i for i, w in enumerate(words[:3]) if w in VERBS and not (i == 0 and words[1:2] and words[1] in _SAYING_NOTHING)), None)
  verb = words[at] if at is not None else words[0] if len(words) > 1 else ''
  rest = words if at is None else words[at + 1:]
  if len(words) > 1 and words[-1] in _TRAILING and words[0] not in VERBS:
    verb, rest, at = _TRAILING[words[-1]], words[:-1], None
  while len(rest) > 1 and rest[0] in _ARTICLES:
    rest = rest[1:]
  while len(rest) > 1 and rest[0] in _PARTICLES:
    rest = rest[1:]
  cut = next((i for i, w in enumerate(rest) if w in _LINKS), len(rest))
  nouns, tail = rest[:cut], rest[cut:]
  if not nouns and at:
    nouns = words[:at]
  plural = bool(nouns) and (nouns[-1] in _MANY or (naming.singular(nouns[-1]) != nouns[-1] and nouns[-1] not in _MASS))
  while len(nouns) > 1 and nouns[-1] in _SAYING_NOTHING:
    nouns = nouns[:-1]
  target = '_'.join(tail[1:]) if tail and tail[0] in ('as', 'to') else ''
  return Phrase(verb, noun_of(nouns), target, plural)


def noun_of(words: Sequence[str]) -> str:
  """Words of a noun as one singular name: ('shopping', 'carts') -> 'shopping_cart'."""
  return '_'.join([*words[:-1], naming.singular(words[-1])]) if words else ''


def normal(name: str) -> str:
  """One spelling for 'orderId', 'order_id' and 'Order-ID'."""
  return '_'.join(naming.words(name)) or name.lower()


def _without_server(words: list[str], server: list[str]) -> list[str]:
  head = len(server)
  if head and words[:head] == server and len(words) > head:
    return words[head:]
  return words[1:] if server and words[0] == server[-1] and len(words) > 1 and words[0] not in VERBS else words


def participle(verb: str) -> str:
  """The state a verb leaves behind: cancel -> cancelled, archive -> archived, pay -> paid."""
  if verb in _IRREGULAR:
    return _IRREGULAR[verb]
  if verb.endswith('e'):
    return verb + 'd'
  if verb.endswith('y') and verb[-2:-1] not in 'aeiou':
    return verb[:-1] + 'ied'
  return verb + 'ed'


def nearest(verb: str, target: str, allowed: Sequence[str]) -> str | None:
  """The value among `allowed` that an action called `verb` (with `target` after it) leads to; None if none is near."""
  wanted = [w for w in (target, participle(verb), *_SYNONYMS.get(verb, '').split(), verb) if w]
  spelled = {normal(a): a for a in reversed(allowed)}
  for word in wanted:
    if word in spelled:
      return spelled[word]
  stem = verb[:5] if len(verb) > 5 else verb[:4]
  return next((a for a in allowed if len(verb) >= 4 and normal(a).startswith(stem)), None)
