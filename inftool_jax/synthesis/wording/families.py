"""Families of phrasing: sentence frames that differ in construction, and the split each belongs to.

A frame is text with holes that `frames.fill` knows. Whole families are held out: no frame of a dev or test family is
reachable from train wording.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Split = Literal['train', 'dev', 'test']
SPLITS: tuple[Split, ...] = ('train', 'dev', 'test')


@dataclasses.dataclass(frozen=True)
class Family:
  """`frames` fit any need; `asking` only those that want a value back, `direct` only a plain look-up."""

  name: str
  split: Split
  frames: tuple[str, ...]
  asking: tuple[str, ...] = ()
  direct: tuple[str, ...] = ()


FAMILIES: tuple[Family, ...] = (
  Family('imperative', 'train', ('{Vp}{and_ask}.', '{Vp}.{Ask}', '{Vp} for me.{Ask}')),
  Family('polite', 'train', ('Please {vp}{and_ask}.', '{Vp}, please.{Ask}', 'Be so kind and {vp}{and_ask}.')),
  Family(
    'question',
    'train',
    ('Can you {vp}{and_ask}?', 'Could you {vp}?{Q}', 'Would you {vp}{and_ask}?'),
    direct=('What is {f} of {thing}?', 'Do you know {f} of {thing}?', 'Which value does {f} of {thing} have?'),
  ),
  Family('wish', 'train', ('I want to {vp}.{Ask}', "I'd like to {vp}{and_ask_me}.", 'I would like you to {vp}{and_ask}.')),
  Family('need', 'train', ('I need to {vp}.{Q}', 'I need you to {vp}{and_ask}.', 'We have to {vp}.{Ask}'), ('I need {f}: {vp}.',)),
  Family('telegraphic', 'train', ('{Tele}{need}', '{Tele}.{need_s}', 'to do: {tele}{need}')),
  Family('context_first', 'train', ('{facts_do}{and_ask}.', '{facts_do}.{Q}', '{facts_do}, please.{Ask}')),
  Family('two_sentences', 'train', ('{steps}{Ask}', '{steps}{Q}', 'Please {steps_low}{Ask}')),
  Family('bullets', 'train', ('{bullets}{Ask}', 'Please do this.\n{bullets}{Ask}')),
  Family('fronted', 'train', ('{Front}, {vp_rest}{and_ask}.', '{Front}: {vp_rest}.{Ask}', '{Front}, please {vp_rest}.{Q}')),
  Family('announced', 'train', ('Next task: {vp}{and_ask}.', 'My request is to {vp}.{Ask}', 'One thing to do: {vp}.{Q}')),
  Family('gerund', 'dev', ('Help me with {ving}.{Ask}', 'How about {ving}?{Q}', 'I am thinking of {ving}.{Ask}')),
  Family('appreciation', 'dev', ('It would be great if you could {vp}{and_ask}.', 'I would be glad if you could {vp}.{Q}')),
  Family('passive', 'test', ('{Passive}.{Ask}', '{Passive}, and soon.{Q}', 'I believe {passive}.{Ask}')),
  Family('hearsay', 'test', ('My boss asked me to {vp}.{Ask}', 'A client wants somebody to {vp}.{Q}', 'They told us to {vp}{and_ask_me}.')),
  Family(
    'unfinished', 'test', ('I never got around to {ving}, so do it now.{Ask}', 'Still open: {ving}.{Q}', 'What remains is {ving}.{Ask}')
  ),
  Family(
    'conditional', 'test', ('If it is possible, {vp}{and_ask}.', 'As soon as you find a moment, {vp}.{Ask}'), ('If you {vp}, what is {f}?',)
  ),
)

_OPENERS = {
  'train': {
    'formal': ('Good morning. ', 'Dear assistant, ', 'Hello. '),
    'casual': ('Hey, ', 'Hi! ', 'ok so, ', 'Hi there. '),
    'terse': ('',),
  },
  'dev': {'formal': ('Greetings. ', 'Good day. '), 'casual': ('Yo, ', 'Hello again. '), 'terse': ('',)},
  'test': {'formal': ('Good evening. ', 'To whom it may concern: '), 'casual': ('Howdy, ', 'Right, '), 'terse': ('',)},
}
_CLOSERS = {
  'train': {'formal': ('', ' Thank you.', ' Many thanks.'), 'casual': ('', ' Thanks!', ' Cheers.'), 'terse': ('',)},
  'dev': {'formal': ('', ' Much appreciated.'), 'casual': ('', ' Ta.'), 'terse': ('',)},
  'test': {'formal': ('', ' With kind regards.'), 'casual': ('', ' You are a star.'), 'terse': ('',)},
}
REGISTERS = ('formal', 'casual', 'terse', 'plain')


def of_split(split: Split) -> tuple[Family, ...]:
  return tuple(family for family in FAMILIES if family.split == split)


def openers(split: Split, register: str) -> tuple[str, ...]:
  return _OPENERS[split].get(register, ('',))


def closers(split: Split, register: str) -> tuple[str, ...]:
  return _CLOSERS[split].get(register, ('',))
