"""The tiny base's training rows: documents of the corpus, encoded and packed. Without JAX, so that a process of its own can draw them."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from tools import tiny_corpus, tiny_text, tiny_words
from tools.tiny_text import Document

CONTEXT = 0.03  # weight of the loss on what the text does not determine
LEAST = 16  # columns at the end of a row that are not worth another document
POINTING = 0.25  # share of a line's tokens that are asked for its name


class Rows(NamedTuple):
  """Packed rows: tokens, segments, positions (int32), the weight of each token's loss (float32), and what tokens point to (int32).

  A token of a named line points to the line's name, the last token of a word that means a line to that line's name, both to the first
  tokens of the name's first and last word; -1 where a token points nowhere.
  """

  tokens_BxT: np.ndarray
  segments_BxT: np.ndarray
  positions_BxT: np.ndarray
  weights_BxT: np.ndarray
  own_BxTx2: np.ndarray
  meant_BxTx2: np.ndarray


class Encoded(NamedTuple):
  """One document's tokens; the arrays of `Rows` without their B."""

  tokens_T: np.ndarray
  weights_T: np.ndarray
  own_Tx2: np.ndarray
  meant_Tx2: np.ndarray


class Drawer:
  """Draws the rows of one course, each with a seed of its own; an update's rows depend on seed and number alone."""

  def __init__(self, tokenizer_file: str, seed: int, mix: Mapping[str, float], rows: int, length: int, short: bool):
    self._seed = seed
    self._tokenizer = Tokenizer.from_file(tokenizer_file)
    self._mix, self._rows, self._length = mix, rows, length
    words = [w for w in tiny_words.EVERYDAY.split() if len(self._tokenizer.encode(w).ids) == 1] if short else ()
    self._corpus = tiny_corpus.Corpus(0, words, letters(self._tokenizer))

  def draw(self, step: int) -> Rows:
    """The rows of one update; a document that a row ends in is cut."""
    self._corpus.rng = random.Random(f'{self._seed}/{step}')
    shape = (self._rows, self._length)
    pointers = (np.full((*shape, 2), -1, np.int32) for _ in range(2))
    made = Rows(*(np.zeros(shape, t) for t in (np.int32, np.int32, np.int32, np.float32)), *pointers)
    for b in range(self._rows):
      at, segment = 0, 1
      while at < self._length - LEAST:
        encoded = self._encode(self._corpus.draw(self._mix)[1])
        n = min(len(encoded.tokens_T), self._length - at)
        here = slice(at, at + n)
        made.tokens_BxT[b, here], made.weights_BxT[b, here] = encoded.tokens_T[:n], encoded.weights_T[:n]
        made.own_BxTx2[b, here], made.meant_BxTx2[b, here] = encoded.own_Tx2[:n], encoded.meant_Tx2[:n]
        made.segments_BxT[b, here], made.positions_BxT[b, here] = segment, np.arange(n)
        at, segment = at + n, segment + 1
    return made

  def _encode(self, document: Document) -> Encoded:
    pieces = self._tokenizer.encode_batch([t for t, _ in document.pieces])
    tokens = np.concatenate([np.array(p.ids, np.int32) for p in pieces])
    weights = np.concatenate([np.full(len(p.ids), w or CONTEXT, np.float32) for p, (_, w) in zip(pieces, document.pieces)])
    weights[0] = 0
    begins = itertools.accumulate((len(t) for t, _ in document.pieces), initial=0)
    ends = np.array([begin + end for p, begin in zip(pieces, begins) for _, end in p.offsets])
    own, meant = (np.full((len(tokens), 2), -1, np.int32) for _ in range(2))
    for pointer in tiny_text.pointers(document):
      first, last = np.searchsorted(ends, (pointer.start + 1, pointer.end))  # tokens of the stretch
      if pointer.own:
        own[first : last + 1] = self._name(pointer.name)
      else:
        meant[last] = self._name(pointer.name)
    own[np.array([self._corpus.rng.random() > POINTING for _ in tokens])] = -1
    return Encoded(tokens, weights, own, meant)

  def _name(self, name: str) -> tuple[int, int]:
    """The first token of a name, and that of its last word."""
    encoded = self._tokenizer.encode(name)
    last = name.rfind('_') + 1
    return encoded.ids[0], next(i for i, (_, end) in zip(encoded.ids, encoded.offsets) if end > last)


def letters(tokenizer: Tokenizer) -> list[str]:
  """The vocabulary's entries of letters alone, in order."""
  return sorted(text for text in tokenizer.get_vocab() if text.isascii() and text.isalpha())


_drawer: Drawer


def setup(tokenizer_file: str, seed: int, mix: Mapping[str, float], rows: int, length: int, short: bool) -> None:
  """Makes this process' drawer."""
  global _drawer
  os.environ['TOKENIZERS_PARALLELISM'] = 'false'  # the other core trains
  _drawer = Drawer(tokenizer_file, seed, mix, rows, length, short)


def draw(step: int) -> Rows:
  """The rows of one update, by the drawer of this process."""
  return _drawer.draw(step)
