"""The sampler's three compiled programs: prefill a chunk, copy a prompt to other slots, decode several steps.

Every shape follows from the config, so there are exactly three compilations (invariant 8), and a row's bits do not
depend on its neighbors or on the load (invariant 4): matrix products always see the same number of rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models import attention, decoder
from inftool_jax.models.attention import KVCache
from inftool_jax.models.config import DecoderConfig

Array = jax.Array | np.ndarray
BLOCK = 256  # cache positions attended to at a time
MAX_STOPS = 4


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
  """Sizes of the programs.

  At least 64 rows go through every matrix product: XLA's CPU kernels give a row other bits in smaller batches.
  """

  slots: int = 64  # conversations held at once
  context: int = 2048  # tokens per conversation
  prefill_rows: int = 8
  prefill_chunk: int = 64
  decode_steps: int = 8  # steps per dispatch


class Request(NamedTuple):
  """Per-slot arrays of a decode dispatch, all of length B = slots."""

  last_B: Array  # int32, the token to feed next
  length_B: Array  # int32, tokens in the cache
  active_B: Array  # bool
  remaining_B: Array  # int32, tokens it may still sample
  seed_Bx2: Array  # uint32
  temperature_B: Array  # float32, 0 is greedy
  top_p_B: Array  # float32
  stop_BxN: Array  # int32, -1 is unused


def empty_cache(config: DecoderConfig, sizes: SamplerConfig) -> KVCache:
  """A zeroed cache; one slot more than asked for takes the writes of empty prefill rows."""
  length = -(-(sizes.context + sizes.prefill_chunk) // BLOCK) * BLOCK
  shape = (config.layers, sizes.slots + 1, config.kv_heads, length, config.head_dim)
  return KVCache(jnp.zeros(shape, config.compute_dtype), jnp.zeros(shape, config.compute_dtype))


def prefill(params, config: DecoderConfig, cache: KVCache, tokens_RxT, slots_R, starts_R) -> KVCache:
  """The cache with the rows' tokens appended at `starts_R`; columns past a row's end are overwritten later."""
  positions_RxT = starts_R[:, None] + jnp.arange(tokens_RxT.shape[1])
  attend = attention.cached_attention(slots_R, starts_R, BLOCK)
  return decoder.forward(params, config, tokens_RxT, positions_RxT, attend, cache)[1]


def copy(cache: KVCache, source: jax.Array, target: jax.Array) -> KVCache:
  """The cache with slot `target` equal to slot `source`."""
  return KVCache(*(pool.at[:, target].set(pool[:, source]) for pool in cache))


def decode(params, config: DecoderConfig, steps: int, cache: KVCache, request: Request):
  """Samples up to `steps` tokens for every active slot.

  Returns:
    The cache; tokens [steps, B] int32; log-probabilities [steps, B] float32; emitted [steps, B] bool.
  """
  B = request.last_B.shape[0]
  keys_B = jax.random.wrap_key_data(jnp.asarray(request.seed_Bx2))

  def step(carry, _):
    cache, last_B, length_B, active_B, remaining_B = carry
    attend = attention.cached_attention(None, length_B, BLOCK)
    hidden_Bx1xD, cache = decoder.forward(params, config, last_B[:, None], length_B[:, None], attend, cache)
    logits_BxV = decoder.logits(params, hidden_Bx1xD[:, 0])
    token_B, logp_B = sample(logits_BxV, keys_B, length_B + 1, request.temperature_B, request.top_p_B)
    emitted_B = active_B
    stopped_B = (token_B[:, None] == request.stop_BxN).any(axis=-1)
    remaining_B = remaining_B - emitted_B
    carry = (
      cache,
      jnp.where(emitted_B, token_B, last_B),
      length_B + emitted_B,
      active_B & ~stopped_B & (remaining_B > 0),
      remaining_B,
    )
    return carry, (token_B, logp_B, emitted_B)

  state: Any = (cache, request.last_B, request.length_B, request.active_B, request.remaining_B)
  (cache, *_), (tokens, logps, emitted) = jax.lax.scan(step, state, length=steps)
  assert tokens.shape == (steps, B)
  return cache, tokens, logps, emitted


def sample(logits_BxV, keys_B, positions_B, temperature_B, top_p_B) -> tuple[jax.Array, jax.Array]:
  """One token per row and its log-probability under the distribution it was drawn from.

  The key of a token is (request seed, position), so what a row draws depends on nothing else. Temperature 0 takes
  the best token and reports its log-probability at temperature 1, for a point mass has none worth reporting.
  """
  greedy_B = temperature_B == 0
  scaled_BxV = logits_BxV / jnp.where(greedy_B, 1.0, temperature_B)[:, None]
  scaled_BxV = jax.lax.cond((top_p_B < 1).any(), _nucleus, lambda scaled, _: scaled, scaled_BxV, top_p_B)
  logp_BxV = jax.nn.log_softmax(scaled_BxV, axis=-1)
  V = logits_BxV.shape[-1]
  noise_BxV = jax.vmap(lambda key, p: jax.random.gumbel(jax.random.fold_in(key, p), (V,)))(keys_B, positions_B)
  token_B = jnp.argmax(jnp.where(greedy_B[:, None], logits_BxV, scaled_BxV + noise_BxV), axis=-1).astype(jnp.int32)
  return token_B, jnp.take_along_axis(logp_BxV, token_B[:, None], axis=-1)[:, 0]


def _nucleus(scaled_BxV, top_p_B):
  """-inf outside the smallest set of tokens whose probability reaches top_p (arXiv 1904.09751); 1 keeps every token."""
  order = jnp.argsort(-scaled_BxV, axis=-1)
  sorted_p = jax.nn.softmax(jnp.take_along_axis(scaled_BxV, order, axis=-1), axis=-1)
  before = jnp.cumsum(sorted_p, axis=-1) - sorted_p
  # The sum of a tail rounds to 1 before its end, so that "before < 1" would drop tokens.
  inside = (before < top_p_B[:, None]) | (top_p_B[:, None] >= 1)
  keep = jnp.take_along_axis(inside, jnp.argsort(order, axis=-1), axis=-1)
  return jnp.where(keep, scaled_BxV, -jnp.inf)
