"""Blank forms of the tiny base's corpus, and notes that mean one of them and tell some of its values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tools import tiny_words
from tools.tiny_values import ALIKE, ROLES, SCHEMAS, TELLING, Values, plain

ALONE = (
  '{v}', 'at {v}', 'to {v}', 'with {v}', 'on {v}', 'from {v}', 'for {v}', 'as {v}', 'by {v}', 'in {v}', 'of {v}', '({v})', 'it is {v}',
)  # fmt: skip
BESIDE_KEY = (
  '{k} {v}', '{v} as {k}', '{k} is {v}', '{k}: {v}', 'has {k} {v}', '{k} now {v}', 'a {k} of {v}', 'the {k} {v}', '{v} {k}', '{k} = {v}',
  'with {k} {v}', '{k} - {v}', '{v} for the {k}', 'the {k} to {v}',
)  # fmt: skip
BETWEEN = (', ', ' and ', ' ', ' ', '; ', '. ', '\n', '\n- ')


@dataclasses.dataclass(frozen=True)
class Blank:
  """A form: key -> kind of value, and key -> JSON Schema."""

  name: str
  about: str
  kinds: dict[str, str]
  schemas: dict[str, dict[str, object]]

  @property
  def words(self) -> set[str]:
    return {*self.name.split('_'), *self.about.split()}

  @property
  def line_words(self) -> frozenset[str]:
    """All words that a note may say of this form."""
    return frozenset(self.words | {word for key in self.kinds for word in key.split('_')})

  def within(self, other: Blank) -> bool:
    """Does the other one have all the words of this one's name?"""
    return set(self.name.split('_')) <= other.words

  def fits_one(self, key: str) -> bool:
    """Is a value of this key told from all others of the form by its looks?"""
    return not any(_alike(key, self.kinds[key], other, kind) for other, kind in self.kinds.items() if other != key)


def _alike(key: str, kind: str, other: str, other_kind: str) -> bool:
  """Could a value of one key stand under the other? Strings are told apart where both keys say of what kind they are."""
  if kind == other_kind == 'id':
    return key[:3] == other[:3]  # an identifier begins like its key
  told = all(k.split('_')[-1] in TELLING.get(of, ()) for k, of in ((key, kind), (other, other_kind)))
  return kind == other_kind or not told and ALIKE.get(kind, kind) == ALIKE.get(other_kind, other_kind)


class Forms(Values):
  """Draws forms and notes; see `Values` for the words."""

  def blanks(self, count: int) -> list[Blank]:
    """Forms that may share words with one another."""
    r = self.rng
    stock = [self.word() for _ in range(r.randint(3, 8))]
    found: dict[str, Blank] = {}
    while len(found) < count:
      words = list(dict.fromkeys(r.choice(stock) if r.random() < 0.6 else self.word() for _ in range(r.choice((2, 2, 3)))))
      kinds = self._kinds(words[-1])
      about = ' '.join([*words, *(self.word() for _ in range(r.randint(0, 4)))]) if r.random() < 0.85 else ' '.join(self.distinct(4))
      blank = Blank('_'.join(words), about, kinds, {k: self._schema(k, kind) for k, kind in kinds.items()})
      if not any(blank.within(other) or other.within(blank) for other in found.values()):  # each can be meant alone
        found[blank.name] = blank
    return r.sample(list(found.values()), count)

  def _kinds(self, entity: str) -> dict[str, str]:
    """Keys of a form about `entity` and the kinds of their values."""
    r = self.rng
    kinds: dict[str, str] = {}
    if r.random() < 0.15:  # the two ends of something
      kind, of = r.choice(('date', 'time', 'integer', 'number', 'text', 'word')), r.choice(('', self.word()))
      kinds |= {f'{role}_{of}'.strip('_'): kind for role in r.choice(ROLES)}
    for _ in range(r.choice((1, 1, 2, 2, 3, 4))):
      kind = r.choice(self.KINDS)
      if r.random() < 0.35:
        kinds |= r.choice(({f'{entity}_id': 'id'}, {f'{entity}_id': 'id'}, {f'{entity}_name': 'text'}))
      elif kind in TELLING and r.random() < 0.4:
        kinds[r.choice(('', f'{self.word()}_')) + r.choice(TELLING[kind])] = kind
      else:
        kinds[self.key()] = kind
    return dict(r.sample(list(kinds.items()), len(kinds)))

  def _schema(self, key: str, kind: str) -> dict[str, object]:
    r = self.rng
    schema: dict[str, object] = dict(SCHEMAS.get(kind, {'type': 'boolean'}))
    if kind == 'word':
      schema['enum'] = self.distinct(r.randint(2, 4))
    if r.random() < 0.3:
      schema['description'] = ' '.join((*(self.word() for _ in range(r.randint(1, 3))), *r.choice(((), key.split('_')[-1:]))))
    if kind != 'id' and r.random() < 0.12:
      schema['default'] = r.choice(schema['enum']) if isinstance(schema.get('enum'), list) else self.typed_value(kind)
    return schema

  def value(self, blank: Blank, key: str) -> object:
    if 'enum' in blank.schemas[key]:
      return self.rng.choice(list(blank.schemas[key]['enum']))  # type: ignore[call-overload]
    return self.identifier(key) if blank.kinds[key] == 'id' else self.typed_value(blank.kinds[key])

  def noted(self, blank: Blank, listed: Sequence[Blank], told: Sequence[str]) -> tuple[str, dict[str, object]]:
    """A note that means this form more than any other and gives these of its values."""
    r = self.rng
    values = {k: self.value(blank, k) for k in told}
    said = self.named(blank, listed)
    text = self.note(blank, values) if told else ''
    if text and r.random() < 0.15:
      middle = r.randint(1, len(said))
      return ' '.join((*said[:middle], text, *said[middle:])), values
    name = ' '.join(said)
    form = r.choice(('{n} {t}', '{n} {t}', '{n}: {t}', '{t} {n}', '{t}: {n}', '{n} with {t}', '{n}. {t}'))
    return form.format(n=name, t=text).strip(' :.'), values

  def note(self, blank: Blank, values: dict[str, object]) -> str:
    """The values in any order, beside their keys or, where its looks tell it from all others, alone."""
    r = self.rng
    parts = []
    for k in r.sample(list(values), len(values)):
      words = k.replace('_', ' ')
      if r.random() < 0.25:
        words = r.choice(words.split())
      value = plain(values[k])
      if blank.kinds[k] == 'text' and r.random() < 0.4:
        value = f'"{value}"'
      if blank.kinds[k] == 'boolean':
        parts.append(r.choice(('{b} {k}', '{b} {k}', '{k} {v}')).format(b='with' if values[k] else 'without', k=words, v=value))
      elif r.random() < 0.65 and blank.fits_one(k):
        parts.append(r.choice(ALONE).format(v=value))
      else:
        parts.append(r.choice(BESIDE_KEY).format(k=words, v=value))
    filler = ' '.join(r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 0, 1, 3))))
    text = r.choice(BETWEEN).join(parts)
    return r.choice((f'{filler} {text}', f'{text} {filler}', text)).strip() or 'nothing'

  def named(self, blank: Blank, listed: Sequence[Blank]) -> list[str]:
    """Words that mean this form, inflected now and then, among small ones."""
    r = self.rng
    said = [self.inflected(w) for w in self.meant(blank, listed)]
    if r.random() < 0.6:
      said = [w for word in said for w in ((r.choice(tiny_words.SMALL), word) if r.random() < 0.4 else (word,))]
    return [*(r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 1, 2, 3, 6)))), *said]

  def meant(self, blank: Blank, listed: Sequence[Blank]) -> list[str]:
    """Words of this form's name and text, more of them than any other form has; all of its name where that takes all."""
    r = self.rng
    name, about = blank.name.split('_'), blank.about.split()
    others = [b.words for b in listed if b.name != blank.name]
    for _ in range(4):
      words = r.sample(name, r.randint(1, len(name))) if r.random() < 0.7 else r.sample(about, r.randint(1, min(3, len(about))))
      if all(len(other & set(words)) < len(set(words)) for other in others):
        return words if r.random() < 0.3 else sorted(words, key=(name + about).index)
    return name

  def sentence(self, text: str) -> str:
    """The text as it is, or as a sentence."""
    text = text.strip(' ,:.')
    if self.rng.random() < 0.6:
      first = text[0].upper() if text.split()[0].isalpha() else text[0]  # a value stays as it is
      text = first + text[1:] + self.rng.choice(('', '.', '.', '?'))
    return text
