"""What a tool does, in words: a verb and an object, out of its name or the head of its description."""

from __future__ import annotations

import dataclasses
import functools
import random
import re

from inftool_jax.synthesis.wording import lexicon
from inftool_jax.types import Tool

_STOP = frozenset('by with for from to in of and or via at on per using given between into as that which whose if when'.split())
_SKIP = frozenset('a an the all one some any this new single existing your my its their api v1 v2 v3 endpoint and or of'.split())
_STORING = frozenset('get list find search create add update set delete remove'.split())
_PARTICLES = frozenset(('up', 'off', 'out', 'on', 'in', 'down', 'back', 'away'))


@dataclasses.dataclass(frozen=True)
class Phrase:
  """`verb` is a lexicon verb (or any word); `noun` may be empty, then the tool's words stand in."""

  verb: str
  noun: str


def phrase(tool: Tool) -> Phrase:
  """The phrase in a tool's name. Total: any name, however odd, gives a verb and a noun."""
  return _from_name(tool.name, tool.description, tool.server, tool.effect)


@functools.lru_cache(maxsize=65536)
def _from_name(name: str, description: str, server: str, effect: str) -> Phrase:
  words = lexicon.split_name(name)
  described = _from_description(description)
  spoken = _spoken_verb(words, description)
  if spoken:
    rest = words[len(spoken.split()) :]
    return Phrase(lexicon.verb_of(spoken) or spoken, _noun(rest) or (described.noun if described else '') or 'request')
  at = _verb_at(words)
  if at is None:
    return described or Phrase(lexicon.BY_EFFECT[effect], _noun(words) or ' '.join(words) or server)
  noun = _noun(words[at + 1 :])
  if not noun:
    own_server = set(lexicon.split_name(server))
    before = _noun(tuple(word for word in words[:at] if word not in own_server))
    noun = before or (described.noun if described else '') or _noun(words[:at])
  return Phrase(lexicon.verb_of(words[at]), noun or 'request')


def _verb_at(words: tuple[str, ...]) -> int | None:
  """Where a name has its verb: the first one, but the last word of order_create and the like."""
  found = [i for i, word in enumerate(words) if lexicon.is_verb(word)]
  if found and found[-1] == len(words) - 1 and words[-1] in _STORING and words[0] not in _STORING:
    return found[-1]
  return found[0] if found else None


def _spoken_verb(words: tuple[str, ...], description: str) -> str:
  """The verb of a name whose description opens with it: 'switch off' of switch_off_lamp, 'Switches off a lamp'."""
  said = lexicon.split_name(description[:40])
  if not words or not said or said[0] not in (words[0], words[0] + 's', words[0] + 'es'):
    return ''
  particle = len(words) > 2 and words[1] in _PARTICLES and words[1:2] == said[1:2]
  return ' '.join(words[:2]) if particle else words[0] if len(words) > 1 else ''


def described_phrase(tool: Tool) -> Phrase | None:
  """The phrase at the head of the description ('Cancels a booking by ...'), if it starts with a known verb."""
  return _from_description(tool.description)


@functools.lru_cache(maxsize=65536)
def _from_description(description: str) -> Phrase | None:
  head = re.split(r'[.,;:()\n]', description.strip(), maxsplit=1)[0].split()
  if not head or not lexicon.verb_of(head[0]):
    return None
  words = tuple(''.join(lexicon.WORD.findall(word)).lower() for word in head[1:9])
  noun = _noun(words)
  return Phrase(lexicon.verb_of(head[0]), noun) if noun else None


def _noun(words: tuple[str, ...]) -> str:
  kept: list[str] = []
  for word in words:
    if word in _STOP and kept:
      break
    if word and word not in _STOP and word not in _SKIP:
      kept.append(word)
  return ' '.join(kept[:3])


def object_of(tool: Tool, noun: str, rng: random.Random) -> str:
  """The noun with its determiner: 'a new order' for what is made, 'the order' for what is there."""
  plural = lexicon.is_plural(noun)
  if tool.effect == 'create':
    if plural:
      return f'new {noun}'
    return rng.choice((f'{lexicon.article(noun)} {noun}', f'a new {noun}'))
  if plural:
    return rng.choice((noun, f'the {noun}'))
  return f'the {noun}'


def verb_words(tool: Tool, verb: str, rng: random.Random, held_out: bool, rivals: frozenset[str], passive: bool) -> str:
  """A synonym of `verb` that is not the verb of a rival, a sibling about the same thing; with `passive`, one that has a passive."""
  options = lexicon.synonyms(verb, held_out)
  if options == (verb,) and tool.effect == 'delete':
    options = (verb, *lexicon.synonyms('delete', held_out))
  options = tuple(word for word in options if word == verb or word.split(' ')[0] not in rivals)
  if passive:
    options = tuple(word for word in options if not word.endswith(' me'))
  # The lexicon's own verb is said more often than each of its synonyms: users do use a tool's word.
  return verb if verb in options and rng.random() < 0.25 else rng.choice(options or (verb,))
