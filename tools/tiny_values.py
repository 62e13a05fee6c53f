"""Words and values of the tiny base's corpus: everyday and made-up words, and values in the forms that data has."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Sequence

from tools import tiny_words

SCHEMAS = {
  'word': {'type': 'string'}, 'text': {'type': 'string'}, 'integer': {'type': 'integer'}, 'number': {'type': 'number'},
  'date': {'type': 'string', 'format': 'date'}, 'time': {'type': 'string', 'format': 'time'}, 'code': {'type': 'string'},
  'email': {'type': 'string', 'format': 'email'}, 'id': {'type': 'string'}, 'moment': {'type': 'string', 'format': 'date-time'},
  'phone': {'type': 'string'}, 'path': {'type': 'string'}, 'label': {'type': 'string'},
  'list': {'type': 'array', 'items': {'type': 'string'}},
}  # fmt: skip
# Kinds that a schema does not tell apart: a value without its key is told only where no other key of the form could take it.
ALIKE = {
  'text': 'string', 'code': 'string', 'id': 'string', 'phone': 'string', 'path': 'string', 'label': 'string', 'integer': 'number',
}  # fmt: skip
# What a key ends with that says of what kind its value is.
TELLING = {
  'id': ('id',), 'text': ('name', 'title'), 'phone': ('phone',), 'path': ('path', 'file'), 'label': ('label', 'tag'), 'code': ('code',),
}  # fmt: skip
# Words that keys of one kind begin with to be told apart.
ROLES = (('from', 'to'), ('from', 'until'), ('start', 'end'), ('first', 'last'), ('min', 'max'), ('low', 'high'), ('old', 'new'))


class Values:
  """Draws words and values from one seeded generator; with `words`, these are all the words it knows.

  Made-up words are syllables, and as often a few of `pieces`, if there are any: those of a tokenizer, so that each of them is read
  and copied now and then.
  `rng` may be set anew: what is drawn next depends on it alone.
  """

  def __init__(self, seed: int, words: Sequence[str] = (), pieces: Sequence[str] = ()):
    self.rng = random.Random(seed)
    self.invents = not words
    self.pieces = list(pieces)
    self.words = list(words) or tiny_words.english_words(1200) + tiny_words.EVERYDAY.split()

  def pseudo(self, low: int = 1, high: int = 3) -> str:
    """A made-up word of so many syllables."""
    return ''.join(self._syllable() for _ in range(self.rng.randint(low, high)))

  def _syllable(self) -> str:
    r = self.rng
    if self.pieces and r.random() < 0.5:
      return r.choice(self.pieces)
    return r.choice(tiny_words.ONSETS) + r.choice(tiny_words.VOWELS) + (r.choice(tiny_words.CODAS) if r.random() < 0.5 else '')

  def word(self) -> str:
    return self.pseudo(1, 2) if self.invents and self.rng.random() < 0.35 else self.rng.choice(self.words)

  def inflected(self, word: str) -> str:
    """The word, or now and then its regular English plural, past or -ing form."""
    ending = self.rng.choice(('ing', 'ing', 's', 'ed')) if self.invents and self.rng.random() < 0.15 else ''
    stem = word[:-1] if ending in ('ing', 'ed') and word.endswith('e') else word
    return stem + ending

  def key(self) -> str:
    return '_'.join(self.word() for _ in range(self.rng.choice((1, 1, 2, 2, 3))))

  def keys(self, n: int) -> list[str]:
    found: list[str] = []
    while len(found) < n:
      k = self.key()
      if k not in found:
        found.append(k)
    return found

  def title(self) -> str:
    r = self.rng
    words = [self.pseudo(1, 3) if r.random() < 0.7 else r.choice(self.words) for _ in range(r.choice((1, 1, 2)))]
    return ' '.join(w.capitalize() for w in words)

  def typed_value(self, kind: str):
    r = self.rng
    if kind == 'word':
      return r.choice(self.words)
    if kind == 'text':
      return self.title()
    if kind == 'integer':
      return r.choice((r.randint(0, 20), r.randint(0, 999), r.randint(0, 99999)))
    if kind == 'number':
      return round(r.choice((r.uniform(0, 10), r.uniform(0, 1000))), r.choice((1, 2)))
    if kind == 'date':
      return f'{r.randint(1990, 2060)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}'
    if kind == 'time':
      return f'{r.randint(0, 23):02d}:{r.choice((0, 5, 10, 15, 20, 30, 40, 45, 50)):02d}'
    if kind == 'email':
      return f'{self.pseudo()}@{self.pseudo()}.{r.choice(("net", "org", "com", "io"))}'
    if kind == 'code':
      return self.identifier(self.pseudo(1, 1))
    if kind == 'moment':
      return f'{self.typed_value("date")}T{self.typed_value("time")}:00Z'
    if kind == 'phone':
      return f'+{r.randint(1, 99)} {r.randint(100, 999)} {r.randint(1000, 9999)}'
    if kind == 'path':
      return f'/{self.pseudo()}/{self.pseudo()}.{r.choice(("txt", "csv", "png", "md"))}'
    if kind == 'label':
      return f'{"".join(r.choice(string.ascii_uppercase) for _ in range(r.randint(2, 3)))}{r.choice(("", r.randint(1, 999)))}'
    if kind == 'boolean':
      return r.random() < 0.5
    if kind == 'list':
      return self.distinct(r.randint(1, 3))
    raise ValueError(kind)

  def distinct(self, count: int) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < count:
      words[self.word()] = None
    return list(words)

  def identifier(self, of: str) -> str:
    return f'{of[:3]}_{"".join(self.rng.choice(tiny_words.IDENTIFIER) for _ in range(6))}'

  KINDS = (
    'word', 'word', 'text', 'text', 'text', 'text', 'integer', 'integer', 'integer', 'number', 'date', 'date', 'time', 'moment', 'email',
    'code', 'code', 'phone', 'path', 'label', 'boolean', 'list',
  )  # fmt: skip

  def record(self, keys: list[str]) -> tuple[dict[str, object], dict[str, str]]:
    kinds = {k: self.rng.choice(self.KINDS) for k in keys}
    return {k: self.typed_value(kinds[k]) for k in keys}, kinds


def plain(value: object) -> str:
  """A value as it stands in prose."""
  if isinstance(value, list):
    return ', '.join(map(plain, value))
  return value if isinstance(value, str) else json.dumps(value)
