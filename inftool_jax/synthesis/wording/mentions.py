"""How one argument is said: beside its name ('quantity 4') or by its type and place in the sentence ('on 2031-04-17')."""

from __future__ import annotations

import dataclasses
import random
import re

from inftool_jax.synthesis.slots import Slot, role, spoken, strong_words, value_class
from inftool_jax.synthesis.wording.lexicon import split_name


@dataclasses.dataclass(frozen=True)
class Mention:
  """One argument in three shapes. Each shape contains `span`, the exact words that voice the value."""

  slot: Slot
  span: str
  inline: str  # after the object: 'on 2031-04-17'
  sentence: str  # on its own, without the final point: 'It is for 2031-04-17'
  label: str  # in a list: 'quantity: 4', or the bare value
  tight: bool  # stands next to the object: ids and titles
  named: bool


_NAMED_INLINE = ('with {w} {v}', 'with {w} of {v}', 'with the {w} {v}', 'using {v} as the {w}', 'where the {w} is {v}', '({w} {v})')
_NAMED_INLINE_TEST = ('whose {w} is {v}', 'taking {v} for the {w}', 'given the {w} {v}')
_NAMED_SENTENCE = ('The {w} is {v}', 'The {w} should be {v}', 'Set the {w} to {v}', 'Use {v} as the {w}', 'For the {w} use {v}')
_NAMED_SENTENCE_TEST = ('As the {w} take {v}', '{v} is the {w}', 'Go with {v} for the {w}')
_NAMED_LABEL = ('{w}: {v}', '{w} {v}', '{w} = {v}', '{w} is {v}')
_NAMED_LABEL_TEST = ('{v} as {w}', '{w} - {v}')

_Forms = tuple[str, ...]
_NAMED: tuple[_Forms, _Forms, _Forms] = (_NAMED_INLINE, _NAMED_SENTENCE, _NAMED_LABEL)
_NAMED_TEST: tuple[_Forms, _Forms, _Forms] = (_NAMED_INLINE_TEST, _NAMED_SENTENCE_TEST, _NAMED_LABEL_TEST)

# (class, role) or class -> (inline forms, sentence forms). What is not listed falls back to the class, then to 'text'.
_UNNAMED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
  'date': (('on {v}', 'for {v}'), ('It is for {v}', 'This concerns {v}')),
  'date:from': (('from {v}', 'as of {v}'), ('It begins on {v}',)),
  'date:until': (('until {v}', 'through {v}'), ('It runs through {v}',)),
  'date:by': (('by {v}', 'no later than {v}'), ('It has to be in place by {v}',)),
  'time': (('at {v}',), ('It is for {v}', 'Make it {v}')),
  'time:from': (('from {v}',), ('It begins at {v}',)),
  'time:until': (('until {v}',), ('It runs through {v}',)),
  'datetime': (('at {v}', 'on {v}'), ('It is for {v}', 'Make it {v}')),
  'datetime:from': (('from {v}',), ('It begins at {v}',)),
  'datetime:until': (('until {v}',), ('It runs through {v}',)),
  'email': (('for {v}',), ('It is for {v}', 'This concerns {v}')),
  'email:to': (('to {v}',), ('It goes to {v}',)),
  'email:from': (('from {v}',), ('It comes from {v}',)),
  'url': (('for {v}', 'with {v}'), ('It is about {v}',)),
  'phone': (('for {v}', 'with {v}'), ('It is for {v}',)),
  'place': (('in {v}',), ('It is about {v}', 'I mean {v}')),
  'place:from': (('from {v}',), ('It goes out from {v}',)),
  'place:to': (('to {v}',), ('It goes to {v}',)),
  'person': (('for {v}',), ('It is for {v}',)),
  'person:to': (('to {v}', 'for {v}'), ('It goes to {v}',)),
  'person:by': (('by {v}',), ('It is by {v}',)),
  'id': (('{v}',), ('I mean {v}', 'It is {v}')),
  'other id': (('for {v}', 'on {v}'), ('It is for {v}', 'It concerns {v}')),
  'number': (('for {v}', 'with {v}'), ('Take {v}', 'It is {v}')),
  'number:count': (('for {v}', '{v} of them', '{v} in all'), ('Take {v} of them', 'I need {v}')),
  'number:min': (('of at least {v}', 'not under {v}'), ('At least {v}, please', 'Nothing under {v}')),
  'number:max': (('of at most {v}', 'not over {v}'), ('At most {v}, please', 'Nothing over {v}')),
  'number:from': (('from {v}',), ('It goes from {v}',)),
  'number:to': (('to {v}',), ('It goes to {v}',)),
  'enum': (('as {v}', 'in {v}', '({v})'), ('Make it {v}', 'It is {v}')),
  'enum:from': (('from {v}',), ('It goes from {v}',)),
  'enum:to': (('to {v}', 'into {v}'), ('It goes to {v}',)),
  'title': (('called "{v}"', '"{v}"'), ('It is called "{v}"', 'I mean "{v}"')),
  'message': (('saying "{v}"', 'that reads "{v}"'), ('It reads "{v}"', 'It says: "{v}"')),
  'reason': (('because of "{v}"', 'due to "{v}"'), ('It is because of "{v}"',)),
  'query': (('for "{v}"', 'about "{v}"'), ('It is about "{v}"',)),
  'text': (('for "{v}"', 'with "{v}"'), ('It is about "{v}"', 'I mean "{v}"')),
  'text:from': (('from {v}',), ('It goes from {v}',)),
  'text:to': (('to {v}',), ('It goes to {v}',)),
  'text:by': (('by {v}',), ('It is by {v}',)),
}  # fmt: skip
_HOLE = re.compile(r'\{([wv])\}')
_QUOTED = frozenset(('title', 'message', 'reason', 'query', 'text'))
_FLAG_PREFIXES = frozenset(('is', 'has', 'include', 'with', 'should', 'use', 'enable', 'allow', 'want', 'needs', 'show', 'no'))


def mention(slot: Slot, named: bool, about: str, updates: bool, held_out: bool, rng: random.Random) -> Mention:
  """One way to say a slot.

  Args:
    slot: the argument.
    named: whether the parameter's name is said beside the value; flags are always named.
    about: the noun of the sentence's object; the id of that very thing stands bare beside it ('the order ord_k3v7qa').
    updates: the call changes an existing record, so that an enum word is where it is heading ('to shipped').
    held_out: test wording, with forms of its own among the named ones.
    rng: the choice's own generator.
  """
  kind = value_class(slot.parameter, slot.schema)
  if kind == 'boolean' and isinstance(slot.value, bool):
    return _flag(slot, rng)
  value = spoken(slot.value)
  if named or kind in ('object', 'list', 'boolean'):
    return _named(slot, kind, value, held_out, rng)
  where = role(slot.parameter)
  if kind == 'enum' and not where and updates:
    where = 'to'
  if kind == 'id' and not strong_words(slot.parameter) <= set(split_name(about)):
    kind = 'other id'
  inline, sentence = _UNNAMED.get(f'{kind}:{where}') or _UNNAMED.get(kind) or _UNNAMED['text']
  said = _fill(rng.choice(inline), value)
  # A bare date or number tells its class by its looks; a place, a person and the ends of a span need their preposition.
  label = said if where or kind in ('place', 'person') else f'"{value}"' if kind in _QUOTED else value
  return Mention(slot, value, said, _fill(rng.choice(sentence), value), label, kind in ('id', 'title'), False)


def _named(slot: Slot, kind: str, value: str, held_out: bool, rng: random.Random) -> Mention:
  extra = held_out and rng.random() < 0.6
  inlines, sentences, labels = _NAMED_TEST if extra else _NAMED
  inline, sentence, label = rng.choice(inlines), rng.choice(sentences), rng.choice(labels)
  said = f'"{value}"' if kind in _QUOTED else value
  words = slot.words
  return Mention(slot, value, _fill(inline, said, words), _fill(sentence, said, words), _fill(label, said, words), False, True)


def _flag(slot: Slot, rng: random.Random) -> Mention:
  words = slot.words.split()
  while len(words) > 1 and words[0] in _FLAG_PREFIXES:
    words = words[1:]
  what = ' '.join(words)
  span = f'with {what}' if slot.value else f'without {what}'
  sentence = rng.choice(('Make it {v}', 'It should be {v}', 'I want it {v}'))
  return Mention(slot, span, span, _fill(sentence, span), span, False, True)


def _fill(form: str, value: str, words: str = '') -> str:
  # One pass instead of str.format: values and names may hold braces.
  return _HOLE.sub(lambda hole: words if hole[1] == 'w' else value, form)


def reply(slot: Slot, held_out: bool, rng: random.Random) -> str:
  """What the user says when they are asked for the slot; contains `spoken(slot.value)`."""
  value = spoken(slot.value)
  forms: tuple[str, ...] = ('{v}.', "It's {v}.", 'The {w} is {v}.', 'Use {v}.', '{v}, please.')
  if held_out:
    forms += ('Go with {v}.', 'That would be {v}.')
  return _fill(rng.choice(forms), value, slot.words)
