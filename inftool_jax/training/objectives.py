"""Objectives as pure functions of per-token arrays.

Each takes `Tokens` (flat arrays over N positions, `mask` true where a token is trained) and returns the *sum* of the
per-token losses and sums of per-token metrics. The caller divides by denominators of the whole batch, so that
micro-batches of any size add up to the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Tokens(NamedTuple):
  """What an objective sees of N token positions, float32 [N] except `mask`."""

  logp: jax.Array  # of the sampled token, by the learner
  entropy: jax.Array
  mask: jax.Array  # bool
  advantage: jax.Array
  behavior: jax.Array  # log-probability under the sampler; 0 where it is not known


Objective = Callable[[Tokens], tuple[jax.Array, dict[str, jax.Array]]]


def sft(tokens: Tokens) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Negative log-likelihood of the trained tokens, in nats."""
  nll = jnp.where(tokens.mask, -tokens.logp, 0.0)
  return nll.sum(), {'loss': nll.sum(), 'entropy': _sum(tokens.entropy, tokens.mask)}


def grpo(clip_low: float, clip_high: float) -> Objective:
  """Clipped policy gradient with asymmetric bounds, averaged over tokens (GRPO 2402.03300, DAPO 2503.14476).

  The old log-probability is the learner's own, from this very program; with one update per batch the ratio is exactly
  1 and the clip bounds only what a later update of the same batch could do. The sampler's log-probabilities are the
  behavior policy's and enter the metrics: `gap` is |learner - sampler|, `k3` the k3 estimate of their KL.
  """

  def objective(tokens: Tokens) -> tuple[jax.Array, dict[str, jax.Array]]:
    old = jax.lax.stop_gradient(tokens.logp)
    ratio = jnp.exp(jnp.where(tokens.mask, tokens.logp - old, 0.0))
    clipped = jnp.clip(ratio, 1 - clip_low, 1 + clip_high)
    gain = jnp.minimum(ratio * tokens.advantage, clipped * tokens.advantage)
    loss = jnp.where(tokens.mask, -gain, 0.0).sum()
    drift = jnp.where(tokens.mask, old - tokens.behavior, 0.0)
    metrics = {
      'loss': loss,
      'entropy': _sum(tokens.entropy, tokens.mask),
      'gap': jnp.abs(drift).sum(),
      'k3': jnp.where(tokens.mask, jnp.exp(drift) - 1 - drift, 0.0).sum(),
      'ratio': _sum(ratio, tokens.mask),
    }
    return loss, metrics

  return objective


def advantages(rewards_NxG, scale: bool):
  """Group-relative advantages, float [N, G]: reward minus the group's mean, over its standard deviation if `scale`.

  Without `scale` it is Dr. GRPO's (2503.20783). A group whose rewards are all equal, compared as numbers and not by a
  rounded deviation, has advantage 0. NumPy or JAX arrays.
  """
  centered = rewards_NxG - rewards_NxG.mean(axis=1, keepdims=True)
  same = (rewards_NxG == rewards_NxG[:, :1]).all(axis=1, keepdims=True)
  divisor = rewards_NxG.std(axis=1, keepdims=True) + 1e-4 if scale else 1.0
  return (centered / divisor) * (1 - same)


def _sum(values: jax.Array, mask: jax.Array) -> jax.Array:
  return jnp.where(mask, values, 0.0).sum()
