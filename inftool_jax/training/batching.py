"""Packed rows as the fixed-shape batches that an update program takes."""

from __future__ import annotations

import numpy as np

from inftool_jax.data.packing import Packed
from inftool_jax.training.step import Batch


def batch(packed: Packed, rows: int, micro_batches: int, advantage: np.ndarray | None = None) -> Batch:
  """All rows of `packed` as at most `micro_batches` micro-batches of `rows` rows, the rest padding.

  Args:
    packed: rows with all sequences of this update.
    rows: R, rows of a micro-batch.
    micro_batches: M, room in the program; only those in use are computed.
    advantage: float [sequences], one per packed sequence; None for SFT, where behavior log-probabilities are unknown.

  Raises:
    ValueError: more rows than fit, or a trained token of a policy sample without a log-probability.
  """
  if packed.rows > rows * micro_batches:
    raise ValueError(f'{packed.rows} rows do not fit {micro_batches} micro-batches of {rows}')
  behavior = packed.logprobs_BxT
  if advantage is None:
    token_advantage, behavior = np.zeros_like(behavior), np.zeros_like(behavior)
  else:
    if np.isnan(behavior[packed.loss_mask_BxT]).any():
      raise ValueError('a token to be trained on has no log-probability: it was not sampled by the policy')
    token_advantage = np.where(packed.sequence_BxT >= 0, np.asarray(advantage, np.float32)[packed.sequence_BxT], 0.0)

  def shaped(rows_BxT: np.ndarray, fill: float) -> np.ndarray:
    out = np.full((rows * micro_batches, packed.row_length), fill, rows_BxT.dtype)
    out[: packed.rows] = rows_BxT
    return out.reshape(micro_batches, rows, packed.row_length)

  return Batch(
    tokens=shaped(packed.tokens_BxT, 0),
    segments=shaped(packed.segments_BxT, 0),
    parents=shaped(packed.parents_BxT, -1),
    positions=shaped(packed.positions_BxT, 0),
    mask=shaped(packed.loss_mask_BxT, False),
    advantage=shaped(token_advantage.astype(np.float32), 0.0),
    behavior=shaped(behavior, 0.0),
    used=np.int32(-(-packed.rows // rows)),
    tokens_total=np.float32(packed.loss_mask_BxT.sum()),
  )
