"""Packed rows as the fixed-shape batches that an update program takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inftool_jax.data.packing import Packed
from inftool_jax.training.step import Batch


def batch(
  packed: Packed,
  rows: int,
  micro_batches: int,
  advantage: Sequence[Any] | np.ndarray | None = None,
  weight: np.ndarray | None = None,
  replayed: np.ndarray | None = None,
) -> Batch:
  """All rows of `packed` as at most `micro_batches` micro-batches of `rows` rows, the rest padding.

  Args:
    packed: rows with all sequences of this update.
    rows: R, rows of a micro-batch.
    micro_batches: M, room in the program; only those in use are computed.
    advantage: float [sequences], one per packed sequence, or for each an array [its tokens]; None for SFT, where behavior
      log-probabilities are unknown.
    weight: float [sequences], of each token of a sequence in the loss (`objectives.shares`); None: 1.
    replayed: bool [sequences], which are demonstrations, trained by likelihood and in no denominator; None: none is.

  Raises:
    ValueError: more rows than fit, a trained token of a policy sample without a log-probability, or an advantage without a token.
  """
  if packed.rows > rows * micro_batches:
    raise ValueError(f'{packed.rows} rows do not fit {micro_batches} micro-batches of {rows}')

  replay = packed.loss_mask_BxT & _at_tokens(packed, replayed, False, np.bool_)
  mask = packed.loss_mask_BxT & ~replay
  behavior = np.where(mask, packed.logprobs_BxT, np.float32(0))
  if advantage is None:
    behavior = np.zeros_like(behavior)
  elif (wrong := np.argwhere(~np.isfinite(behavior))).size:
    row, column = wrong[0]
    named = f'token {packed.positions_BxT[row, column]} of sequence {packed.sequence_BxT[row, column]}'
    found = 'no log-probability' if np.isnan(behavior[row, column]) else f'the log-probability {behavior[row, column]}'
    raise ValueError(f'{named} is to be trained on but has {found}: it was not sampled by the policy')
  elif (without := np.setdiff1d(np.flatnonzero([np.any(a) for a in advantage]), packed.sequence_BxT[mask])).size:
    raise ValueError(f'sequence {without[0]} has an advantage but no token to train on')

  def shaped(rows_BxT: np.ndarray, fill: float = 0) -> np.ndarray:
    out = np.full((rows * micro_batches, packed.row_length), fill, rows_BxT.dtype)
    out[: packed.rows] = rows_BxT
    return out.reshape(micro_batches, rows, packed.row_length)

  nothing = np.zeros((micro_batches, rows, packed.row_length), np.float32)
  return Batch(
    tokens=shaped(packed.tokens_BxT),
    segments=shaped(packed.segments_BxT),
    parents=shaped(packed.parents_BxT, -1),
    positions=shaped(packed.positions_BxT),
    mask=shaped(mask),
    replay=shaped(replay),
    weight=shaped(_at_tokens(packed, weight, 1.0)),
    advantage=shaped(_at_tokens(packed, advantage, 0.0)),
    behavior=shaped(behavior),
    old=nothing,
    reference=nothing,
    used=np.int32(-(-packed.rows // rows)),
    tokens_total=np.float32(mask.sum()),
    revisited=np.bool_(False),
  )


def _at_tokens(packed: Packed, values: Sequence[Any] | np.ndarray | None, default: float, dtype: type = np.float32) -> np.ndarray:
  """[B, T]: at each token what its sequence has, a number or an array with one for each of its tokens; 0 where there is no sequence."""
  if values is None:
    return np.full(packed.tokens_BxT.shape, default, dtype)
  each = [np.atleast_1d(value) for value in values]
  lengths = np.array([len(value) for value in each], np.int64)
  flat: np.ndarray = np.concatenate([*each, np.zeros(1)]).astype(dtype)
  sequence = packed.sequence_BxT
  index = (np.cumsum(lengths) - lengths)[sequence] + np.minimum(packed.positions_BxT, lengths[sequence] - 1)
  return np.where(sequence >= 0, flat[index], dtype(0))
