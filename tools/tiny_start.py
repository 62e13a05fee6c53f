"""Where the tiny base starts: random weights, arranged so that attention looks somewhere useful from the first update on.

A small transformer spends most of a short training on finding two kinds of heads: those that look at the token just before,
and those that look for an earlier occurrence of the same token. Neither needs any text to be known, so both are there from the
start: query and key of a head begin as the same random projection (mimetic initialization, arXiv 2305.09828), or their biases
point the rotary embedding at a fixed distance. They are trained like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from inftool_jax.models import decoder
from inftool_jax.models.config import DecoderConfig

DISTANCES = (1, 2, 1, 3, 4, 1)  # how far back the query heads of the first layer look
SLOW = 2e-3  # radians a token; what rotates less hardly knows how far away a token is
LOCAL = 5.0  # size of the biases of a head that looks at a distance
MATCH = 1.69  # size of the projection of a head that looks for its own token
COPY = 0.5  # size of what attention adds to the residual stream
EMBEDDING = 5.0  # times the usual standard deviation of 0.02


def init(config: DecoderConfig, seed: int) -> decoder.Params:
  """Random parameters with structured attention: in the first layer and the first key head of the others looking back, else matching.

  Needs `qkv_bias` and heads that fill the width. What is read by a value projection is written back as it was by the output
  projection, except in the first layer, which writes elsewhere: what stood before a token must not look like the token.
  """
  params = decoder.init(config, seed)
  rng = np.random.default_rng(seed)
  blocks = {name: np.array(value) for name, value in params['blocks'].items()}
  for layer in range(config.layers):
    for name, value in _attention(config, rng, {k: v[layer] for k, v in blocks.items()}, layer).items():
      blocks[name][layer] = value
  return params | {'blocks': {k: jnp.asarray(v) for k, v in blocks.items()}, 'embed': params['embed'] * EMBEDDING}


def unseen(embed_VxD: jnp.ndarray, ids: Sequence[int], seed: int) -> jnp.ndarray:
  """The embedding after training, with average rows for the tokens `ids` that no text had, each with some noise of its own.

  Every softmax pushed them away from what the policy says, and no text pulled them back: they ended far from all others, in the
  output as in the input.
  """
  others = np.delete(np.asarray(embed_VxD), list(ids), axis=0)
  noise = np.random.default_rng(seed).normal(size=(len(ids), embed_VxD.shape[1])) * others.std(axis=0) / 2
  return embed_VxD.at[np.asarray(ids)].set(others.mean(axis=0) + noise)


def _attention(config: DecoderConfig, rng: np.random.Generator, block: dict[str, np.ndarray], layer: int) -> dict[str, np.ndarray]:
  """One layer's attention weights; what the feed-forward has stays as it is."""
  D, H, K, E = config.dim, config.heads, config.kv_heads, config.head_dim
  speeds = config.rope_theta ** (-np.arange(0, E, 2) / E)
  q_DxHxE, k_DxKxE = block['q'].reshape(D, H, E), block['k'].reshape(D, K, E)
  q_bias_HxE, k_bias_KxE = block['q_bias'].reshape(H, E), block['k_bias'].reshape(K, E)
  v_DxKxE, o_HxExD = np.zeros((D, K, E)), np.zeros((H, E, D))
  read_DxD = _rotation(rng, D)
  written_DxD = _rotation(rng, D) if layer == 0 else read_DxD
  for k in range(K):
    heads = range(k * H // K, (k + 1) * H // K)
    v_DxKxE[:, k] = read_DxD[:, k * E : (k + 1) * E]
    if layer == 0 or k == 0:
      for h in heads:
        _look_back(q_bias_HxE[h], k_bias_KxE[k], DISTANCES[h % 6] if layer == 0 else 1 + h % 2, speeds)
    else:
      _look_for_itself(q_DxHxE[:, heads.start : heads.stop], k_DxKxE[:, k], rng, speeds)
    for h in heads:
      at = h if layer == 0 else k
      o_HxExD[h] = written_DxD[:, at * E : (at + 1) * E].T * COPY
  return {
    'q': q_DxHxE.reshape(D, -1), 'k': k_DxKxE.reshape(D, -1), 'q_bias': q_bias_HxE.reshape(-1), 'k_bias': k_bias_KxE.reshape(-1),
    'v': v_DxKxE.reshape(D, -1), 'o': o_HxExD.reshape(-1, D),
  }  # fmt: skip


def _look_back(q_bias_E: np.ndarray, k_bias_E: np.ndarray, distance: int, speeds: np.ndarray) -> None:
  """Biases whose product, rotated by the positions, is largest for the key `distance` tokens before the query."""
  half, n = len(speeds), min(6, len(speeds))
  k_bias_E[:n] = LOCAL
  q_bias_E[:n] = LOCAL * np.cos(distance * speeds[:n])
  q_bias_E[half : half + n] = -LOCAL * np.sin(distance * speeds[:n])


def _look_for_itself(q_DxGxE: np.ndarray, k_DxE: np.ndarray, rng: np.random.Generator, speeds: np.ndarray) -> None:
  """Query and key as one projection, onto the part of a head that hardly rotates."""
  slow = np.flatnonzero(speeds < SLOW)
  flat = np.concatenate([slow, slow + len(speeds)])
  projection = _rotation(rng, k_DxE.shape[0])[:, : len(flat)] * MATCH * (len(flat) / 24) ** -0.5
  q_DxGxE *= 0.3
  k_DxE *= 0.3
  k_DxE[:, flat] = projection
  q_DxGxE[:, :, flat] = projection[:, None]


def _rotation(rng: np.random.Generator, size: int) -> np.ndarray:
  return np.linalg.qr(rng.normal(size=(size, size)))[0]
