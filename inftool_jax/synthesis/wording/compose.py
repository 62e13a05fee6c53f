"""The user's opening: needs in, text and the provenance of every voiced argument out."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from inftool_jax.seeds import rng
from inftool_jax.synthesis.slots import Slot, may_be_unnamed, strong_words, value_class
from inftool_jax.synthesis.wording import families, lexicon, phrases
from inftool_jax.synthesis.wording.families import Family, Split
from inftool_jax.synthesis.wording.frames import Action, Saying, fill
from inftool_jax.synthesis.wording.mentions import Mention, mention
from inftool_jax.types import Provenance, Tool

UNNAMED_SHARE = 0.8  # of the arguments that may go without their name; flags, lists and twins of a kind may not


@dataclasses.dataclass(frozen=True)
class Part:
  """What is said of one action: the tool that names it and the slots that are voiced with it.

  `object` replaces the tool's own object ('it', 'the customer'); slots of an earlier call may be among `slots` when they
  describe the object.
  """

  tool: Tool
  slots: tuple[Slot, ...]
  object: str = ''
  rivals: frozenset[str] = frozenset()  # verbs of siblings about the same thing; no synonym may be one of them


@dataclasses.dataclass(frozen=True)
class Need:
  parts: tuple[Part, ...]
  wanted: tuple[str, ...] = ()  # words of the fields that the closing answer must hold
  sequence: bool = False


@dataclasses.dataclass(frozen=True)
class Worded:
  opening: str
  family: str
  register: str
  provenance: Mapping[tuple[int, str], Provenance]  # (call, parameter) -> where its value is said


def word(need: Need, split: Split, seed: int) -> Worded:
  """Voices a need in one family of `split`. Deterministic in (need, split, seed); one slot more leaves the rest as it was."""
  choice = rng(seed, 'family')
  register = choice.choice(families.REGISTERS)
  family = choice.choice(families.of_split(split))
  mentions = [_mentions(part, split, seed) for part in need.parts]
  actions = tuple(_action(need, i, mentions[i], split, seed) for i in range(len(need.parts)))
  saying = Saying(actions, _wanted(need, seed), need.sequence, split == 'test')
  frame = rng(seed, 'frame').choice(_frames(family, need))
  body = fill(frame, saying, rng(seed, 'fill'))
  edges = rng(seed, 'edges')
  opener, closer = edges.choice(families.openers(split, register)), edges.choice(families.closers(split, register))
  text = opener + body + ('.' if closer and body[-1].isalnum() else '') + closer
  opening = re.sub(r' *\n *', '\n', text).strip()
  provenance = {(m.slot.call, m.slot.parameter): _provenance(m, opening) for m in itertools.chain(*mentions)}
  return Worded(opening, family.name, register, provenance)


def _frames(family: Family, need: Need) -> Sequence[str]:
  frames = family.frames
  if need.wanted:
    frames += family.asking
    first = need.parts[0]
    if len(need.parts) == 1 and len(need.wanted) == 1 and first.tool.effect == 'read' and phrases.phrase(first.tool).verb == 'get':
      frames += family.direct * 2
  return frames


def _action(need: Need, index: int, mentions: tuple[Mention, ...], split: Split, seed: int) -> Action:
  part = need.parts[index]
  choice = rng(seed, 'action', index)
  said = phrases.phrase(part.tool)
  if choice.random() < 0.4:
    described = phrases.described_phrase(part.tool)
    said = described if described and described.verb == said.verb else said
  verb = phrases.verb_words(part.tool, said.verb, choice, split == 'test', part.rivals, passive=False)
  passive_verb = phrases.verb_words(part.tool, said.verb, choice, split == 'test', part.rivals, passive=True)
  adjective = _adjective(part, said.noun, mentions, seed)
  noun = f'{adjective.span} {said.noun}' if adjective else said.noun
  thing = part.object or (noun if adjective else phrases.object_of(part.tool, said.noun, choice))
  kept = tuple(m for m in mentions if m is not adjective)
  again = index > 0 and part.tool is need.parts[0].tool and not adjective and not need.sequence and choice.random() < 0.6
  again = again and bool(kept) and not any(m.tight for m in kept) and not kept[0].inline.startswith(kept[0].span)
  return Action(verb, passive_verb, part.object or noun, thing, kept, again)


def _mentions(part: Part, split: Split, seed: int) -> tuple[Mention, ...]:
  """The part's slots in speaking order, each named or not."""
  unnamed = _unnamed(part, seed)
  about = lexicon.singular(phrases.phrase(part.tool).noun)
  order = sorted(part.slots, key=lambda slot: rng(seed, 'order', slot.call, slot.parameter).random())
  out = []
  for slot in order:
    updates = part.tool.effect in ('update', 'action') and slot.tool.name == part.tool.name
    said = mention(slot, slot not in unnamed, about, updates, split == 'test', rng(seed, 'mention', slot.call, slot.parameter))
    # What describes the record of an earlier call stands with the record.
    out.append(said if slot.tool.name == part.tool.name else dataclasses.replace(said, tight=True))
  return tuple(out)


def _unnamed(part: Part, seed: int) -> tuple[Slot, ...]:
  """At most one slot per class and role, and only where the tool leaves no other reading."""
  chosen: list[Slot] = []
  for slot in part.slots:
    dice = rng(seed, 'unnamed', slot.call, slot.parameter).random()
    named = frozenset(s.parameter for s in part.slots if s not in chosen and s is not slot and s.call == slot.call)
    if dice < UNNAMED_SHARE and all(s.key != slot.key for s in chosen) and may_be_unnamed(slot, named):
      chosen.append(slot)
  return tuple(chosen)


def _adjective(part: Part, noun: str, mentions: Sequence[Mention], seed: int) -> Mention | None:
  """An unnamed enum word that stands before the noun: 'open orders'."""
  if part.tool.effect != 'read' or part.object or not lexicon.is_plural(noun):
    return None
  fit = [m for m in mentions if not m.named and value_class(m.slot.parameter, m.slot.schema) == 'enum' and m.span.isalpha()]
  return fit[0] if fit and rng(seed, 'adjective').random() < 0.5 else None


def _wanted(need: Need, seed: int) -> str:
  if not need.wanted:
    return ''
  article = 'the' if len(need.parts) > 1 else rng(seed, 'wanted').choice(('the', 'the', 'its'))
  fields = list(dict.fromkeys(need.wanted))
  if len(fields) == 1 and len(need.wanted) > 1:
    return f'the {fields[0]} of each'
  return ' and '.join(f'{article} {field}' for field in fields)


def _provenance(said: Mention, opening: str) -> Provenance:
  return Provenance('utterance', 0, said.span, said.named or _name_is_near(said, opening))


def _name_is_near(said: Mention, opening: str) -> bool:
  """Whether a word of the parameter's name stands within three words before or two after the value."""
  at = opening.find(said.span)
  before = lexicon.split_name(opening[:at])[-3:]
  after = lexicon.split_name(opening[at + len(said.span) :])[:2]
  near = {lexicon.singular(w) for w in (*before, *after)}
  return any(lexicon.singular(w) in near for w in strong_words(said.slot.parameter))
