"""Sequences to train on, made by hand or by seed, and their rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from inftool_jax.data import packing, prefix
from inftool_jax.data.packing import Packed
from tests.models.small import CONFIG

ROW = 64


@dataclasses.dataclass(frozen=True)
class Sequenced:
  """What a trajectory shows to packing."""

  tokens: tuple[int, ...]
  loss_mask: tuple[bool, ...]
  logprobs: tuple[float, ...]


def sequence(tokens: Sequence[int], mask: Sequence[bool], logprob: float = -2.0) -> Sequenced:
  return Sequenced(tuple(tokens), tuple(mask), tuple(logprob if m else math.nan for m in mask))


def group(seed: int, prompt: int, samples: int) -> list[Sequenced]:
  """Samples behind one prompt: policy turns with tool text between them, of several lengths."""
  rng = np.random.default_rng([seed, prompt])
  start = rng.integers(0, CONFIG.vocab, prompt).tolist()
  out = []
  for _ in range(samples):
    own, tool, last = rng.integers(1, 8, 3)
    mask = [False] * prompt + [True] * own + [False] * tool + [True] * last
    out.append(sequence([*start, *rng.integers(0, CONFIG.vocab, own + tool + last).tolist()], mask))
  return out


GROUPS = [group(1, 10, 4), group(2, 17, 3), group(3, 5, 5), group(4, 30, 2)]
FLAT = [s for g in GROUPS for s in g]
ADVANTAGE = np.random.default_rng(0).normal(size=len(FLAT)).astype(np.float32)


def one_by_one(sequences: Sequence[Sequenced]) -> Packed:
  """Each sequence in a row of its own, the rest padding."""
  rows = [packing.pack([s], ROW) for s in sequences]
  merged = packing.empty(len(sequences), ROW)
  for i, row in enumerate(rows):
    for field in dataclasses.fields(Packed):
      if field.name.endswith('_BxT'):
        getattr(merged, field.name)[i] = getattr(row, field.name)[0]
    merged.sequence_BxT[i][merged.sequence_BxT[i] == 0] = i
  return merged


LAYOUTS = {
  'one by one': one_by_one(FLAT),
  'packed': packing.pack(FLAT, ROW),
  'shared prompts': prefix.pack_groups(GROUPS, ROW),
}
