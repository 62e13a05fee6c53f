"""A decoder through the sampler's cache: a prompt at once, then token by token."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models import decoder, paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling import work


def logits(params: decoder.Params, config: DecoderConfig, sequence: Sequence[int], prompt: int, size: int = 4) -> np.ndarray:
  """[length, V] of the sequence; its pages of `size` tokens lie in no order and held other things before."""
  blocks = -(-len(sequence) // size)
  pages = np.random.default_rng(0).permutation(np.arange(1, blocks + 1)).astype(np.int32)

  @jax.jit
  def feed(tokens, positions, todo, pool):
    attend = paged.attention(todo, positions, jnp.asarray(pages)[positions // size], config.layers)
    hidden, cache = decoder.forward(params, config, tokens[None], positions[None], attend, paged.opened(pool, config, todo))
    return decoder.logits(params, hidden[0]), cache.pool

  pool, outs = jax.tree.map(lambda x: x + 9, paged.empty_pool(config, blocks + 1, size, 'cpu')), []
  for start, end in ((0, prompt), *((t, t + 1) for t in range(prompt, len(sequence)))):
    positions = np.arange(start, end)
    todo = work.plan([pages[: p // size + 1] for p in positions], end - start, blocks)
    out, pool = feed(np.array(sequence[start:end], np.int32), positions, todo, pool)
    outs.append(out)
  return np.concatenate(outs)
