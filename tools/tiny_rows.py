"""The tiny base's training rows: documents of the corpus, encoded and packed. Without JAX, so that a process of its own can draw them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from tools import tiny_corpus, tiny_words

CONTEXT = 0.03  # weight of the loss on what the text does not determine
LEAST = 16  # columns at the end of a row that are not worth another document


class Rows(NamedTuple):
  """Packed rows [B, T]: tokens, segments, positions (int32) and the weight of each token's loss (float32)."""

  tokens_BxT: np.ndarray
  segments_BxT: np.ndarray
  positions_BxT: np.ndarray
  weights_BxT: np.ndarray


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
    made = Rows(*(np.zeros(shape, t) for t in (np.int32, np.int32, np.int32, np.float32)))
    for b in range(self._rows):
      at, segment = 0, 1
      while at < self._length - LEAST:
        _, document = self._corpus.draw(self._mix)
        encoded = self._tokenizer.encode_batch([t for t, _ in document])
        ids = np.concatenate([np.array(e.ids, np.int32) for e in encoded])
        weights = np.concatenate([np.full(len(e.ids), w or CONTEXT, np.float32) for e, (_, w) in zip(encoded, document)])
        weights[0] = 0
        n = min(len(ids), self._length - at)
        here = slice(at, at + n)
        made.tokens_BxT[b, here], made.weights_BxT[b, here] = ids[:n], weights[:n]
        made.segments_BxT[b, here], made.positions_BxT[b, here] = segment, np.arange(n)
        at, segment = at + n, segment + 1
    return made


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
