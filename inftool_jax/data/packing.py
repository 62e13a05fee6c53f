"""Trajectories of any length into rows of one length, several to a row. NumPy only.

Alignment: column t of a row holds token t of its segment; `loss_mask_BxT[b, t]` says whether that token is trained, and
it is predicted by the output at t - 1, which lies in the same segment, because the first token of a segment is never trained:

    column      0  1  2  3  4 | 5  6  7  8  | 9
    tokens      p  p  y  y  t | p  y  y  y  | 0      p prompt, y sampled, t tool text
    segments    1  1  1  1  1 | 2  2  2  2  | 0      0 is padding
    parents    -1 -1 -1 -1 -1 |-1 -1 -1 -1  |-1      the segment it may attend to besides its own (see `data.prefix`)
    positions   0  1  2  3  4 | 0  1  2  3  | 0
    loss_mask   .  .  1  1  . | .  1  1  1  | .
    sequence    7  7  7  7  7 | 9  9  9  9  | -1     index into the packed sequences; gather weights and advantages by it
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Aligned(Protocol):
  """What is packed of a trajectory; the three fields have one length."""

  @property
  def tokens(self) -> Sequence[int]: ...

  @property
  def loss_mask(self) -> Sequence[bool]: ...

  @property
  def logprobs(self) -> Sequence[float]: ...


@dataclasses.dataclass(frozen=True)
class Dropped:
  """A sequence that is in no row."""

  sequence: int
  length: int
  reason: str


@dataclasses.dataclass(frozen=True)
class Packed:
  """B rows of T columns; see the module's docstring.

  `logprobs_BxT` is 0 where nothing is trained and NaN where a trained token has no log-probability (scripted turns).
  """

  tokens_BxT: np.ndarray  # int32
  segments_BxT: np.ndarray  # int32
  parents_BxT: np.ndarray  # int32
  positions_BxT: np.ndarray  # int32
  loss_mask_BxT: np.ndarray  # bool
  sequence_BxT: np.ndarray  # int32
  logprobs_BxT: np.ndarray  # float32
  dropped: tuple[Dropped, ...] = ()

  @property
  def rows(self) -> int:
    return self.tokens_BxT.shape[0]

  @property
  def row_length(self) -> int:
    return self.tokens_BxT.shape[1]


_ARRAYS = tuple(f.name for f in dataclasses.fields(Packed) if f.name.endswith('_BxT'))


def pack(sequences: Sequence[Aligned], row_length: int) -> Packed:
  """Puts each sequence into the first row with room for it, in the order given.

  A sequence that is empty or longer than `row_length` is listed in `dropped`, never cut. Raises ValueError when a
  sequence's fields differ in length or its first token is to be trained, since nothing predicts it.
  """
  if row_length < 1:
    raise ValueError(f'row length must be at least 1, not {row_length}')
  places, dropped = _place([len(s.tokens) for s in sequences], row_length)
  rows = 1 + max((row for _, row, _, _ in places), default=-1)
  packed = empty(rows, row_length)
  for index, row, start, segment in places:
    _fill(packed, sequences[index], index, row, start, segment)
  return dataclasses.replace(packed, dropped=dropped)


def take(packed: Packed, rows: slice | Sequence[int]) -> Packed:
  """Some of the rows; `dropped` stays behind."""
  index = rows if isinstance(rows, slice) else np.asarray(rows, np.int64)
  return Packed(**{name: getattr(packed, name)[index] for name in _ARRAYS})


def concatenate(first: Packed, second: Packed) -> Packed:
  """The rows of both, of one length; `dropped` and what `sequence` counts are the second's."""
  arrays: dict[str, Any] = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _ARRAYS}
  return dataclasses.replace(second, **arrays)


def _place(lengths: Sequence[int], row_length: int) -> tuple[list[tuple[int, int, int, int]], tuple[Dropped, ...]]:
  """First fit: (sequence, row, first column, segment) per placed sequence, and those that fit nowhere."""
  room = np.full(len(lengths), row_length, np.int64)  # of every row that could be needed; the unused ones are empty
  segments = np.zeros(len(lengths), np.int64)
  places, dropped = [], []
  for index, length in enumerate(lengths):
    if length == 0:
      dropped.append(Dropped(index, 0, 'empty'))
      continue
    if length > row_length:
      dropped.append(Dropped(index, length, f'longer than a row of {row_length} tokens'))
      continue
    row = int(np.argmax(room >= length))
    segments[row] += 1
    places.append((index, row, int(row_length - room[row]), int(segments[row])))
    room[row] -= length
  return places, tuple(dropped)


def empty(rows: int, row_length: int) -> Packed:
  """Padding only."""
  shape = (rows, row_length)
  return Packed(
    tokens_BxT=np.zeros(shape, np.int32),
    segments_BxT=np.zeros(shape, np.int32),
    parents_BxT=np.full(shape, -1, np.int32),
    positions_BxT=np.zeros(shape, np.int32),
    loss_mask_BxT=np.zeros(shape, np.bool_),
    sequence_BxT=np.full(shape, -1, np.int32),
    logprobs_BxT=np.zeros(shape, np.float32),
  )


def _fill(packed: Packed, sequence: Aligned, index: int, row: int, start: int, segment: int) -> None:
  length = len(sequence.tokens)
  if len(sequence.loss_mask) != length or len(sequence.logprobs) != length:
    raise ValueError(f'sequence {index}: tokens, loss_mask and logprobs differ in length')
  if sequence.loss_mask[0]:
    raise ValueError(f'sequence {index}: the first token is in the loss mask, but nothing predicts it')
  columns = slice(start, start + length)
  mask = np.asarray(sequence.loss_mask, np.bool_)
  packed.tokens_BxT[row, columns] = sequence.tokens
  packed.segments_BxT[row, columns] = segment
  packed.positions_BxT[row, columns] = np.arange(length)
  packed.loss_mask_BxT[row, columns] = mask
  packed.sequence_BxT[row, columns] = index
  packed.logprobs_BxT[row, columns] = np.where(mask, np.asarray(sequence.logprobs, np.float32), 0.0)
