"""The form of the tiny base's documents, and chats in ChatML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MARKUP = re.compile(r'<\|im_(?:start|end)\|>(?:system|user|assistant)?')

# (text, weight of the loss on it) pieces; a weight of 0 is context.
Pieces = list[tuple[str, float]]


class Line(NamedTuple):
  """A line of the context that has a name, and the words that may mean it."""

  name: str
  text: str
  words: frozenset[str]


class Document(NamedTuple):
  """A text in pieces, and the named lines that it opens with."""

  pieces: Pieces
  lines: tuple[Line, ...] = ()

  @property
  def text(self) -> str:
    return ''.join(text for text, _ in self.pieces)


def chat(system: str, rounds: Sequence[tuple[str, str | Pieces]], lines: Sequence[Line] = ()) -> Document:
  """A system message, if there is one, and (asked, said) rounds, of which what is said has a loss."""
  pieces: Pieces = [(f'<|im_start|>system\n{system}<|im_end|>\n', 0.0)] if system else []
  for asked, said in rounds:
    answer = [(said, 1.0)] if isinstance(said, str) else said
    pieces += [(f'<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n', 0.0), *answer, ('<|im_end|>', 1.0), ('\n', 0.0)]
  return Document(pieces, tuple(lines))


class Pointer(NamedTuple):
  """A stretch of a document's text that belongs to a line or means it."""

  start: int
  end: int
  name: str
  own: bool  # of the line itself


def pointers(document: Document) -> Iterator[Pointer]:
  """What follows the name in each line, and each word of the context after the lines that means one of them and no other."""
  text, end = document.text, 0
  for line in document.lines:
    start = text.index(line.text, end)
    end = start + len(line.text)
    yield Pointer(text.index(line.name, start) + len(line.name), end, line.name, True)
  meant = _meant(document.lines)
  at = 0
  for piece, weight in document.pieces:
    if weight == 0 and at + len(piece) > end and meant:
      blanked = MARKUP.sub(lambda m: ' ' * len(m[0]), piece)
      for word in re.finditer('[a-z]+', blanked.lower()):
        name = next((meant[stem] for stem in _stems(word[0]) if stem in meant), None)
        if name and at + word.start() >= end:
          yield Pointer(at + word.start(), at + word.end(), name, False)
    at += len(piece)


def _meant(lines: Sequence[Line]) -> dict[str, str]:
  """Word -> name of the only line that it means."""
  owners: dict[str, set[str]] = {}
  for line in lines:
    for word in line.words:
      owners.setdefault(word, set()).add(line.name)
  return {word: next(iter(names)) for word, names in owners.items() if len(names) == 1}


def _stems(word: str) -> Iterator[str]:
  """The word, and what it may be a regular form of."""
  yield word
  for ending in ('ing', 'ed', 's'):
    if word.endswith(ending):
      yield from (word.removesuffix(ending), word.removesuffix(ending) + 'e')
