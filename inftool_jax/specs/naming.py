"""Names: words of an identifier, slugs of titles, valid tool names, and globally unique ones."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_NAME = 64
_WORD = re.compile(r'[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+')
_INVALID = re.compile(r'[^A-Za-z0-9_-]+')
_TAG = re.compile(
  r'</?(?:p|br|b|i|a|ul|ol|li|code|pre|div|span|strong|em|h[1-6]|table|tr|td|th|tbody|thead|note|hr)\b[^<>]*>', re.IGNORECASE)
_INVARIABLE = frozenset({'series', 'species', 'news'})
_SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=[A-Z(\[`*])')


def ascii_text(text: str) -> str:
  """`text` with accents taken off its letters; what has no ASCII form is dropped."""
  return unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()


def words(text: str) -> list[str]:
  """Lower-case words of a camelCase, snake_case or spaced name."""
  return [w.lower() for w in _WORD.findall(ascii_text(text))]


def slug(text: str, fallback: str = '') -> str:
  """snake_case form of a title, at most 64 characters; `fallback` where nothing of it is ASCII."""
  return shorten('_'.join(words(text))) or fallback


def shorten(name: str) -> str:
  """`name` itself up to 64 characters; a longer one is cut and ends in 8 hex digits of its hash, so that it stays distinct."""
  if len(name) <= MAX_NAME:
    return name
  return f'{name[: MAX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}'


def valid_name(text: str, fallback: str) -> str:
  """`text` in [A-Za-z0-9_-]{1,64}, its own case kept; `fallback` where nothing is left."""
  return shorten(_INVALID.sub('_', ascii_text(text)).strip('_')) or fallback


def singular(word: str) -> str:
  """A plain singular of an English plural: 'addresses' -> 'address', 'cities' -> 'city', 'orders' -> 'order'."""
  if word in _INVARIABLE:
    return word
  if len(word) > 4 and word.endswith('ies'):
    return word[:-3] + 'y'
  if word.endswith(('sses', 'xes', 'ches', 'shes')):
    return word[:-2]
  if len(word) > 3 and word.endswith('s') and not word.endswith(('ss', 'us', 'is')):
    return word[:-1]
  return word


def clean(text: object) -> str:
  """Prose of a specification on one line, without HTML tags; '' for what is not text."""
  if not isinstance(text, str):
    return ''
  if '<' in text:
    text = _TAG.sub(' ', text)
  return ' '.join(text.split())


def first_sentence(text: str, limit: int = 200) -> str:
  """The first sentence of `text`, cut at a word when it is longer than `limit` characters."""
  return cut(_SENTENCE_END.split(text, maxsplit=1)[0], limit)


def cut(text: str, limit: int) -> str:
  if len(text) <= limit:
    return text
  head = text[:limit]
  return head.rsplit(' ', 1)[0] if ' ' in head else head


class Names:
  """Gives every claim a name nobody else has: the wanted one, then with its server before it, then numbered."""

  def __init__(self) -> None:
    self._taken: set[str] = set()
    self._next: dict[str, int] = {}

  def claim(self, wanted: str, server: str) -> str:
    prefixed = shorten(f'{server}_{wanted}')
    for name in (wanted, prefixed):
      if name not in self._taken:
        self._taken.add(name)
        return name
    number = self._next.get(prefixed, 2)
    while (name := shorten(f'{prefixed}_{number}')) in self._taken:
      number += 1
    self._next[prefixed] = number + 1
    self._taken.add(name)
    return name
