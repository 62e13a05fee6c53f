"""Decoders small enough for a test, with weights whose every part matters (biases and norms are not at their start values)."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models import decoder, rope
from inftool_jax.models.config import DecoderConfig

CONFIG = DecoderConfig(
  vocab=97, layers=2, dim=32, heads=4, kv_heads=2, head_dim=8, ffn=48, rope_theta=10_000.0, norm_eps=1e-6, tied=False, context=512
)
TIED = dataclasses.replace(CONFIG, tied=True)

# Scalings of so short a context that every regime of theirs (kept, between, stretched) is met by the 8 frequencies of a head.
LLAMA3 = rope.Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context=64)
YARN = rope.YarnScaling(factor=4.0, original_context=64, attention_factor=1.1386294361119891)
_QWEN3 = dataclasses.replace(CONFIG, qkv_bias=False, qk_norm=True, head_dim=16)
_LLAMA = dataclasses.replace(CONFIG, qkv_bias=False, head_dim=16, rope_theta=500_000.0)
SMALL = {  # every family and feature
  'qwen2.5': CONFIG,
  'qwen2.5 tied': TIED,
  'qwen2.5 one key head, wide heads': dataclasses.replace(CONFIG, kv_heads=1, head_dim=12, rope_theta=1e6, norm_eps=1e-3),
  'qwen2.5 yarn': dataclasses.replace(CONFIG, head_dim=16, rope_scaling=YARN),
  'qwen3': _QWEN3,
  'qwen3 tied, one key head': dataclasses.replace(_QWEN3, tied=True, kv_heads=1),
  'qwen3 yarn': dataclasses.replace(_QWEN3, rope_scaling=dataclasses.replace(YARN, truncate=False, beta_fast=4.0, attention_factor=0.8)),
  'llama': dataclasses.replace(_LLAMA, kv_heads=4),
  'llama tied, scaled': dataclasses.replace(_LLAMA, rope_theta=1e4, rope_scaling=LLAMA3, tied=True),
  'llama yarn': dataclasses.replace(_LLAMA, kv_heads=1, rope_scaling=YARN),
}


def weights(config: DecoderConfig, seed: int = 0) -> decoder.Params:
  """Random parameters that keep activations near unit size and make logits of a few nats; the caller's to donate."""
  return jax.tree.map(jnp.array, _drawn(config, seed))


@functools.cache
def _drawn(config: DecoderConfig, seed: int) -> decoder.Params:
  rng = np.random.default_rng(seed)

  def leaf(path: tuple, like: jax.ShapeDtypeStruct) -> np.ndarray:
    name, noise = path[-1].key, rng.normal(size=like.shape)
    if name.endswith('norm'):
      value = 1 + 0.2 * noise
    elif name.endswith('_bias'):
      value = 0.3 * noise
    else:
      value = noise * (0.3 if name in ('embed', 'head') else like.shape[-2] ** -0.5)
    return value.astype(like.dtype)

  return jax.tree_util.tree_map_with_path(leaf, decoder.abstract(config))


def same_bits(a: decoder.Params, b: decoder.Params) -> bool:
  """Whether two trees hold the same values of the same type, bit for bit."""
  if jax.tree.structure(a) != jax.tree.structure(b):
    return False
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return all(x.dtype == y.dtype and np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)
