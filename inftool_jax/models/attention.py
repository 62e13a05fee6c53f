"""Attention over a row of packed segments (training); that over the sampler's cache is in `models.paged`.

Which backend honors which mask; the first of a row that runs on the platform and takes the shapes is used:

    mask                                                    TPU: splash      GPU: cuDNN         XLA
    past of the own segment and its parent, padding         yes              no: no segments    yes
    past in the cache's pages, each query at its own place  no (1, 2)        no (3)             yes: `paged`

(1) Its causal mask is fixed when it is compiled. (2) There is a kernel of our own, `page_kernel`, for heads of 128 and pages of 16 tokens
or multiples. (3) It takes no list of pages that several sequences share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from inftool_jax.models import splash
from inftool_jax.parallel import placing

QUERY_BLOCK = 128
HEADS = ('batch', 'context', 'attended_heads', 'head')  # logical axes of queries, keys and values
ROWS = ('batch', 'context')
MASKED = -1e30  # finite: a fully masked row (padding) stays free of NaN


class Backend(NamedTuple):
  """One way to compute attention under a mask."""

  name: str
  platform: str | None  # None: every one
  fits: Callable[[int, int], bool]  # whether it takes rows of this length and heads of this size
  function: Callable[..., jax.Array]


def segment_attention(segments_BxT: jax.Array, parents_BxT: jax.Array):
  """`attend` for packed training rows: a token sees the past of its own segment and of its parent segment.

  Rows hold a segment's tokens in order and parents before children, so causality is by index. `parents` is -1 where
  a segment has none; segment 0 is padding. A parent is a prompt that several samples share (invariant 5):

      segment  1 1 1 | 2 2 | 3 3 3        the rows of the mask for segment 3: parent 1 and itself, not 2
      parent  -1 . . | 1 1 | 1 1 1
  """

  def attend(layer, q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, cache):
    del layer
    _, T, _, E = q_BxTxHxE.shape
    backend = choose(SEGMENTS, T, E, placing.platform())
    function = placing.by_shard(backend.function, (HEADS, HEADS, HEADS, ROWS, ROWS), HEADS)
    return function(q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, segments_BxT, parents_BxT), cache

  return attend


def choose(backends: tuple[Backend, ...], length: int, head_size: int, platform: str) -> Backend:
  """The first of the backends of a mask that runs on the platform and takes the shapes."""
  return next(b for b in backends if b.platform in (None, platform) and b.fits(length, head_size))


def _blocks(q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, segments_BxT, parents_BxT):
  """A block of queries looks only as far as it ends, for later keys are masked anyway."""
  T, parts = q_BxTxHxE.shape[1], []
  for start in range(0, T, QUERY_BLOCK):
    end = min(T, start + QUERY_BLOCK)
    mask = _mask(segments_BxT, parents_BxT, start, end)
    parts.append(_dense(q_BxTxHxE[:, start:end], k_BxTxKxE[:, :end], v_BxTxKxE[:, :end], mask))
  return jnp.concatenate(parts, axis=1)


def _mask(segments_BxT, parents_BxT, start: int, end: int):
  """Which of the keys before `end` the queries from `start` on see, [B, end - start, end]."""
  causal = jnp.arange(start, end)[:, None] >= jnp.arange(end)[None, :]
  keys = segments_BxT[:, None, :end]
  return causal[None] & ((segments_BxT[:, start:end, None] == keys) | (parents_BxT[:, start:end, None] == keys))


# By mask, in order of preference.
SEGMENTS = (
  Backend('splash', 'tpu', splash.fits, splash.attention),
  Backend('xla', None, lambda length, head_size: True, _blocks),
)


def _dense(q_BxTxHxE, k_BxSxKxE, v_BxSxKxE, mask_BxTxS):
  """Softmax attention with float32 scores; the G = H/K query heads of a key/value head share one matrix product."""
  B, T, H, E = q_BxTxHxE.shape
  S, K = k_BxSxKxE.shape[1:3]
  G, N = H // K, B * K
  q_NxMxE = (q_BxTxHxE * (1 / math.sqrt(E))).reshape(B, T, K, G, E).transpose(0, 2, 3, 1, 4).reshape(N, G * T, E)
  k_NxExS = k_BxSxKxE.transpose(0, 2, 3, 1).reshape(N, E, S)
  v_NxSxE = v_BxSxKxE.transpose(0, 2, 1, 3).reshape(N, S, E)
  scores = jnp.matmul(q_NxMxE, k_NxExS, preferred_element_type=jnp.float32).reshape(B, K, G, T, S)
  scores = jnp.where(mask_BxTxS[:, None, None], scores, MASKED)
  weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
  total_BxKxGxT = weights.sum(axis=-1)
  mixed = jnp.matmul(weights.reshape(N, G * T, S).astype(v_NxSxE.dtype), v_NxSxE).reshape(B, K, G, T, E)
  out = mixed / total_BxKxGxT[..., None].astype(mixed.dtype)
  return out.transpose(0, 3, 1, 2, 4).reshape(B, T, H, E)
