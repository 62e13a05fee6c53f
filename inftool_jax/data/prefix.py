"""Rows in which the samples of a group stand behind one copy of the prompt they share. NumPy only.

    column      0  1  2 | 3  4  5  | 6  7  8  9
    tokens      p  p  p | p' y  y  | p' y  y  y      p' is the prompt's last token: it predicts each sample's first
    segments    1  1  1 | 2  2  2  | 3  3  3  3
    parents    -1 -1 -1 | 1  1  1  | 1  1  1  1
    positions   0  1  2 | 3  4  5  | 3  4  5  6
    loss_mask   .  .  . | .  1  1  | .  1  1  1

Each sample sees the prompt and itself, so log-probabilities and gradients equal those of `packing.pack` (invariant 5), at
the price of one prompt a group instead of one a sample. A group longer than a row is split and its prompt repeated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from inftool_jax.data.packing import Aligned, Dropped, Packed, empty


@dataclasses.dataclass(frozen=True)
class _Bundle:
  """A shared prefix of `shared` tokens and the samples (index, sequence) that stand behind this copy of it."""

  shared: int
  members: tuple[tuple[int, Aligned], ...]

  @property
  def length(self) -> int:
    return self.shared + sum(len(s.tokens) - self.shared for _, s in self.members)


def pack_groups(groups: Sequence[Sequence[Aligned]], row_length: int) -> Packed:
  """Puts groups into rows, first fit in the order given; `sequence` counts through all samples of all groups.

  Samples that are empty or longer than `row_length` are listed in `dropped`. Raises ValueError, as `packing.pack` does, when
  a sample's fields differ in length or its first token is to be trained.
  """
  if row_length < 1:
    raise ValueError(f'row length must be at least 1, not {row_length}')
  bundles: list[_Bundle] = []
  dropped: list[Dropped] = []
  first = 0
  for group in groups:
    members = [(first + i, s) for i, s in enumerate(group)]
    first += len(group)
    fits = [(i, s) for i, s in members if 0 < len(s.tokens) <= row_length]
    dropped += [Dropped(i, len(s.tokens), f'empty or longer than a row of {row_length} tokens') for i, s in members if (i, s) not in fits]
    for i, s in fits:
      _check(i, s)
    bundles += _bundles(fits, row_length)
  return dataclasses.replace(_placed(bundles, row_length), dropped=tuple(dropped))


def shared_length(group: Sequence[Aligned]) -> int:
  """Tokens that all samples begin with and none is trained on, but for the last one, which each sample repeats."""
  if len(group) < 2:
    return 0
  limit = min(s.loss_mask.index(True) if True in s.loss_mask else len(s.tokens) for s in group)
  first = group[0].tokens
  common = 0
  while common < limit and all(s.tokens[common] == first[common] for s in group):
    common += 1
  return max(0, common - 1)


def _check(index: int, sequence: Aligned) -> None:
  if not len(sequence.tokens) == len(sequence.loss_mask) == len(sequence.logprobs):
    raise ValueError(f'sample {index}: tokens, loss_mask and logprobs differ in length')
  if sequence.loss_mask[0]:
    raise ValueError(f'sample {index}: the first token is in the loss mask, but nothing predicts it')


def _bundles(members: list[tuple[int, Aligned]], row_length: int) -> list[_Bundle]:
  """The group in as few pieces as fit a row each, in order."""
  shared = shared_length([s for _, s in members])
  out: list[_Bundle] = []
  for member in members:
    grown = _Bundle(shared, (*out[-1].members, member)) if out else None
    if grown is not None and grown.length <= row_length:
      out[-1] = grown
    else:
      out.append(_Bundle(shared, (member,)))
  return out


def _placed(bundles: list[_Bundle], row_length: int) -> Packed:
  room: list[int] = []
  places: list[tuple[int, int, _Bundle]] = []
  for bundle in bundles:
    row = next((r for r, free in enumerate(room) if free >= bundle.length), len(room))
    if row == len(room):
      room.append(row_length)
    places.append((row, row_length - room[row], bundle))
    room[row] -= bundle.length
  packed = empty(len(room), row_length)
  segments = np.zeros(len(room), np.int64)
  for row, column, bundle in places:
    segments[row] = _fill(packed, bundle, row, column, int(segments[row]))
  return packed


def _fill(packed: Packed, bundle: _Bundle, row: int, column: int, segment: int) -> int:
  """Writes the bundle from `column` on; returns the last segment number used."""
  shared, parent = bundle.shared, -1
  if shared:
    segment += 1
    parent = segment
    _write(packed, bundle.members[0][1], -1, slice(0, shared), row, column, segment, -1)
    column += shared
  for index, sequence in bundle.members:
    segment += 1
    _write(packed, sequence, index, slice(shared, len(sequence.tokens)), row, column, segment, parent)
    column += len(sequence.tokens) - shared
  return segment


def _write(packed: Packed, sequence: Aligned, index: int, part: slice, row: int, column: int, segment: int, parent: int) -> None:
  columns = slice(column, column + part.stop - part.start)
  mask = np.asarray(sequence.loss_mask[part], np.bool_)
  packed.tokens_BxT[row, columns] = sequence.tokens[part]
  packed.segments_BxT[row, columns] = segment
  packed.parents_BxT[row, columns] = parent
  packed.positions_BxT[row, columns] = np.arange(part.start, part.stop)
  packed.loss_mask_BxT[row, columns] = mask
  packed.sequence_BxT[row, columns] = index
  packed.logprobs_BxT[row, columns] = np.where(mask, np.asarray(sequence.logprobs[part], np.float32), 0.0)
