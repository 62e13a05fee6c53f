"""Fills the holes of a frame with actions and asked-for fields."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Sequence

from inftool_jax.synthesis.wording import lexicon
from inftool_jax.synthesis.wording.mentions import Mention

_HOLE = re.compile(r'\{([A-Za-z_]+)\}')
_PARTICLES = frozenset('up off out over back down in on away'.split())
_MODALS = ('should be', 'has to be', 'needs to be', 'must be')
_PLURAL_MODALS = ('should be', 'have to be', 'need to be', 'must be')


@dataclasses.dataclass(frozen=True)
class Action:
  """One call as words: verb phrase, object, and mentions in the order in which they are said."""

  verb: str
  passive_verb: str
  noun: str  # without determiner
  object: str
  mentions: tuple[Mention, ...]
  again: bool = False  # the same tool as the action before: 'do the same ...' stands for verb and object

  @property
  def tight(self) -> tuple[Mention, ...]:
    return tuple(m for m in self.mentions if m.tight)

  @property
  def loose(self) -> tuple[Mention, ...]:
    return tuple(m for m in self.mentions if not m.tight)


@dataclasses.dataclass(frozen=True)
class Saying:
  """What a frame speaks of. `wanted` are the asked-for fields with their determiner, '' for none."""

  actions: tuple[Action, ...]
  wanted: str
  sequence: bool  # the actions come one after the other, the later ones about the first one's outcome
  held_out: bool


def fill(frame: str, saying: Saying, rng: random.Random) -> str:
  """The frame with its holes filled. Values are put in as they are, never capitalized."""
  return _HOLE.sub(lambda hole: _HOLES[hole[1]](saying, rng), frame)


def _vp(saying: Saying, rng: random.Random) -> str:
  return _joined(saying, [_verb_phrase(a, a.verb, a.mentions) for a in saying.actions], rng)


def _gerunds(saying: Saying, rng: random.Random) -> str:
  return _joined(saying, [_verb_phrase(a, lexicon.gerund(a.verb), a.mentions, 'doing') for a in saying.actions], rng)


def _verb_phrase(action: Action, verb: str, mentions: Sequence[Mention], do: str = 'do') -> str:
  if action.again:
    return f'{do} the same ' + ' '.join(m.inline for m in mentions)
  head, _, particle = verb.rpartition(' ')
  if action.object == 'it' and particle in _PARTICLES:
    return ' '.join([head, 'it', particle, *(m.inline for m in mentions)])
  return f'{verb} {_thing(action, mentions)}'


def _thing(action: Action, mentions: Sequence[Mention]) -> str:
  ordered = [m for m in mentions if m.tight] + [m for m in mentions if not m.tight]
  return ' '.join([action.object, *(m.inline for m in ordered)])


def _joined(saying: Saying, parts: Sequence[str], rng: random.Random) -> str:
  if saying.sequence:
    return rng.choice((', then ', ' and then ', ', and after that ')).join(parts)
  return rng.choice((' and ', ' and also ', ', and also ', ' plus ')).join(parts)


def _passive(saying: Saying, rng: random.Random) -> str:
  def one(action: Action) -> str:
    if action.again:
      return 'the same should be done ' + ' '.join(m.inline for m in action.mentions)
    modals = _PLURAL_MODALS if lexicon.is_plural(action.noun) else _MODALS
    done = f'{_thing(action, action.tight)} {rng.choice(modals)} {lexicon.participle(action.passive_verb)}'
    return ' '.join([done, *(m.inline for m in action.loose)])

  return _joined(saying, [one(a) for a in saying.actions], rng)


def _sentences(mentions: Sequence[Mention]) -> str:
  return ' '.join(f'{m.sentence}.' for m in mentions)


def _steps(saying: Saying, rng: random.Random) -> str:
  """'Book the room called "X". The date is D.', action by action."""
  link = rng.choice(('Then ', 'After that, ', 'Next, ') if saying.sequence else ('Also, ', 'In addition, ', 'And '))
  parts = []
  for i, action in enumerate(saying.actions):
    do = _verb_phrase(action, action.verb, action.mentions if action.again else action.tight)
    rest = '' if action.again else _sentences(action.loose)
    parts.append((link if i else '') + f'{do}.' + (f' {rest}' if rest else ''))
  return ' '.join(parts)


def _facts_do(saying: Saying, rng: random.Random) -> str:
  """'The date is D. Book the room called "X"', action by action; without the last point."""
  parts = []
  for i, action in enumerate(saying.actions):
    rest = '' if action.again else _sentences(action.loose)
    do = _verb_phrase(action, action.verb, action.mentions if action.again else action.tight)
    opener = ('Then ' if saying.sequence else 'Also, ') if i and not rest else ''
    parts.append(f'{rest} {_capital(do)}' if rest else opener + (do if opener else _capital(do)))
  return '. '.join(parts)


def _tele(saying: Saying, rng: random.Random) -> str:
  def one(action: Action) -> str:
    head = 'same again' if action.again else f'{action.verb.removesuffix(" me")} {action.noun if action.noun else action.object}'
    return ', '.join([head, *(m.label for m in action.mentions)])

  return rng.choice(('; then ', ' -> ') if saying.sequence else ('; ', ' + ', ' / ')).join(one(a) for a in saying.actions)


def _bullets(saying: Saying, rng: random.Random) -> str:
  mark = rng.choice(('- ', '* '))

  def one(action: Action) -> str:
    head = 'the same again' if action.again else f'{action.verb} {action.object}'
    return '\n'.join([_capital(head) + (':' if action.mentions else '.'), *(mark + m.label for m in action.mentions)])

  return '\n'.join(('Then: ' if i and saying.sequence else '') + one(a) for i, a in enumerate(saying.actions)) + '\n'


def _fronted(action: Action) -> tuple[Mention, ...]:
  # A flag's words are its span, which a capital would change.
  return tuple(m for m in action.loose if not m.inline.startswith((m.span, '(')))[:1]


def _front(saying: Saying, rng: random.Random) -> str:
  moved = _fronted(saying.actions[0])
  return moved[0].inline if moved else rng.choice(('for today', 'for once', 'this time'))


def _vp_rest(saying: Saying, rng: random.Random) -> str:
  moved = _fronted(saying.actions[0])
  parts = [_verb_phrase(a, a.verb, [m for m in a.mentions if m not in moved]) for a in saying.actions]
  return _joined(saying, parts, rng)


_ASK = ('tell me {f}', 'let me know {f}', 'give me {f}', 'report {f}')
_ASK_TEST = ('say what {f} is', 'share {f} with me', 'write down {f} for me')
_QUESTIONS = ('What is {f}?', 'Can you tell me {f}?', 'And {f}?')
_QUESTIONS_TEST = ('How does it look for {f}?', 'May I know {f}?')


def _ask(saying: Saying, rng: random.Random) -> str:
  return rng.choice(_ASK + _ASK_TEST if saying.held_out else _ASK).replace('{f}', saying.wanted)


def _when_wanted(before: str, say: Callable[[Saying, random.Random], str], after: str = '') -> Callable[[Saying, random.Random], str]:
  return lambda saying, rng: f'{before}{say(saying, rng)}{after}' if saying.wanted else ''


def _question(saying: Saying, rng: random.Random) -> str:
  return rng.choice(_QUESTIONS + _QUESTIONS_TEST if saying.held_out else _QUESTIONS).replace('{f}', saying.wanted)


def _capitalized(say: Callable[[Saying, random.Random], str]) -> Callable[[Saying, random.Random], str]:
  return lambda saying, rng: _capital(say(saying, rng))


def _capital(text: str) -> str:
  return text[:1].upper() + text[1:]


_HOLES: dict[str, Callable[[Saying, random.Random], str]] = {
  'vp': _vp,
  'Vp': _capitalized(_vp),
  'ving': _gerunds,
  'passive': _passive,
  'Passive': _capitalized(_passive),
  'steps': _capitalized(_steps),
  'steps_low': _steps,
  'facts_do': _facts_do,
  'tele': _tele,
  'Tele': _capitalized(_tele),
  'bullets': _bullets,
  'Front': _capitalized(_front),
  'vp_rest': _vp_rest,
  'thing': lambda saying, rng: _thing(saying.actions[0], saying.actions[0].mentions),
  'f': lambda saying, rng: saying.wanted,
  'and_ask': _when_wanted(' and ', _ask),
  'and_ask_me': _when_wanted(' and know ', lambda saying, rng: saying.wanted),
  'Ask': _when_wanted(' ', _capitalized(_ask), '.'),
  'Q': _when_wanted(' ', _question),
  'need': _when_wanted(', need ', lambda saying, rng: saying.wanted),
  'need_s': _when_wanted(' Need ', lambda saying, rng: saying.wanted, '.'),
}
