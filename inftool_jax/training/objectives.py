"""Objectives as pure functions of per-token arrays.

Each takes `Tokens` (flat arrays over N positions) and returns the *sum* of the weighted per-token losses and what it measured. The
caller divides by the number of trained tokens of the whole batch, and the weights hold whatever else the whole batch decides
(`shares`), so that micro-batches of any size add up to the same gradient. A sequence never leaves its row: sums over one are
complete inside a micro-batch.

| name | ratio | clipped | mean over | paper |
|---|---|---|---|---|
| `grpo` | of a token | the gain | the tokens of a sample, then samples | 2402.03300 |
| `dr_grpo` | of a token | the gain | samples, of sums over a constant length | 2503.20783 |
| `dapo` | of a token | the gain, higher above than below | tokens | 2503.14476 |
| `gspo` | of a sequence, geometric mean | the gain | the tokens of a sample, then samples | 2507.18071 |
| `cispo` | of a token | the weight of log pi, so that no token loses its gradient | tokens | 2506.13585 |
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NAMES = ('grpo', 'dr_grpo', 'dapo', 'gspo', 'cispo')
KL = ('none', 'reward', 'loss')
REFERENCES = ('round', 'base')
CORRECTIONS = ('none', 'token', 'sequence')

_EXTREME = 20.0  # nats; weights of the effective sample size are capped there, or one token would make it NaN


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
  """What a round's updates maximize; the defaults are DAPO's."""

  name: str = 'dapo'
  clip_low: float = 0.2  # the ratio of new to old policy counts from 1 - clip_low ...
  clip_high: float = 0.28  # ... to 1 + clip_high
  scale_advantage: bool = True  # divide by the group's standard deviation
  kl: str = 'none'  # or reward, loss: where the divergence from the reference is paid for
  kl_coefficient: float = 0.0
  reference: str = 'round'  # the policy the round began with; or base: what adapters stand beside
  correction: str = 'none'  # or token, sequence: weights learner / sampler, of a token or of its whole sequence
  correction_cap: float = 2.0  # largest such weight
  sequence_band: float = 0.0  # sequences whose mean log(learner / sampler) is farther from 0 are left out; 0: none is


class Tokens(NamedTuple):
  """What an objective sees of N token positions, float32 [N] but for `mask`, `replay` and `sequence`; log-probabilities in nats.

  None of `old`, `behavior` and `reference` carries a gradient.
  """

  logp: jax.Array  # of the token, by the learner
  entropy: jax.Array
  mask: jax.Array  # bool: sampled by the policy and trained
  advantage: jax.Array
  behavior: jax.Array  # log-probability under the sampler; 0 where it is not known
  old: jax.Array  # by the learner as it was before the first update on this batch
  reference: jax.Array  # by the reference policy; 0 where there is none
  weight: jax.Array  # share in the loss, 1 for the plain mean over tokens
  sequence: jax.Array  # int32 in [0, N), the same for all trained tokens of one sequence and no other
  replay: jax.Array  # bool: of a demonstration, trained by likelihood; disjoint from `mask`


class Measured(NamedTuple):
  """Metrics: sums over the trained tokens, of which the caller makes means, and the largest of all of them."""

  sums: dict[str, jax.Array]
  peaks: dict[str, jax.Array]


Objective = Callable[[Tokens], tuple[jax.Array, Measured]]


def sft(tokens: Tokens) -> tuple[jax.Array, Measured]:
  """Negative log-likelihood of the trained tokens, in nats."""
  loss = _sum(-tokens.logp * tokens.weight, tokens.mask)
  return loss, Measured({'loss': loss, 'entropy': _sum(tokens.entropy, tokens.mask)}, {})


def make(config: ObjectiveConfig) -> Objective:
  """The objective of a config: clipped policy gradient, correction for the sampler, divergence from the reference."""
  surrogate = _SURROGATES[config.name]

  def objective(tokens: Tokens) -> tuple[jax.Array, Measured]:
    gain, ratio, low, high = surrogate(config, tokens)
    log_ratio, drift = _log_ratio(tokens), jnp.where(tokens.mask, tokens.old - tokens.behavior, 0.0)
    cost, extra = -gain, {}
    if config.kl == 'loss':
      cost += config.kl_coefficient * _divergence(tokens)
      extra['kl'] = _k3(jnp.where(tokens.mask, tokens.reference - jax.lax.stop_gradient(tokens.logp), 0.0)).sum()
    weight, kept = _correction(config, tokens, drift)
    loss = _sum(weight * cost, tokens.mask)
    importance = jnp.exp(jnp.clip(drift, -_EXTREME, _EXTREME))
    size, gap = jnp.abs(jax.lax.stop_gradient(log_ratio)), jnp.abs(drift)
    sums = {
      'loss': loss,
      'entropy': _sum(tokens.entropy, tokens.mask),
      'gap': gap.sum(),
      'k3': _k3(drift).sum(),
      'ratio': _sum(ratio, tokens.mask),
      'log ratio': size.sum(),
      'clipped low': _sum(low, tokens.mask),
      'clipped high': _sum(high, tokens.mask),
      'kept': _sum(kept, tokens.mask),
      'importance': _sum(importance, tokens.mask),
      'importance squared': _sum(importance**2, tokens.mask),
      **extra,
    }
    return loss, Measured(sums, {'gap, largest': gap.max(), 'log ratio, largest': size.max()})

  return objective


def with_replay(objective: Objective) -> Objective:
  """`objective` of the sampled tokens, and beside it the likelihood of the demonstrations, whose weights hold their share."""

  def both(tokens: Tokens) -> tuple[jax.Array, Measured]:
    loss, measured = objective(tokens)
    replayed = _sum(-tokens.logp * tokens.weight, tokens.replay)
    return loss + replayed, measured._replace(sums=measured.sums | {'replay loss': replayed})

  return both


def metrics(means: dict[str, jax.Array], peaks: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """What is reported of a batch. The effective sample size is that of the weights learner / sampler, as a share of the tokens."""
  out = {**means, **peaks}
  if 'importance' in means:
    squared = out.pop('importance squared')
    out['effective sample'] = out.pop('importance') ** 2 / jnp.maximum(squared, 1e-30)
  return out


def shares(config: ObjectiveConfig, lengths: np.ndarray, samples: int, budget: int) -> np.ndarray:
  """Weight of each token of a sequence, float64 [S], in a sum that is divided by the number of trained tokens.

  Args:
    lengths: int [S], trained tokens of each sequence in the batch.
    samples: of which a mean over samples is taken: those too that were left out because they would have had no gradient.
    budget: tokens that a sample may have; Dr. GRPO's constant.
  """
  total = lengths.sum()
  if config.name in ('grpo', 'gspo'):
    return total / (max(samples, 1) * np.maximum(lengths, 1.0))
  if config.name == 'dr_grpo':
    return np.full(lengths.shape, total / (max(samples, 1) * budget), np.float64)
  return np.ones(lengths.shape)


def advantages(rewards_NxG, scale: bool):
  """Group-relative advantages, float [N, G]: reward minus the group's mean, over its standard deviation if `scale`.

  Without `scale` it is Dr. GRPO's (2503.20783). A group whose rewards are all equal, compared as numbers and not by a
  rounded deviation, has advantage 0. NumPy or JAX arrays.
  """
  centered = rewards_NxG - rewards_NxG.mean(axis=1, keepdims=True)
  same = (rewards_NxG == rewards_NxG[:, :1]).all(axis=1, keepdims=True)
  divisor = rewards_NxG.std(axis=1, keepdims=True) + 1e-4 if scale else 1.0
  return (centered / divisor) * (1 - same)


# --- The ratio of new to old policy: (gain, ratio, clipped below, clipped above), each [N] ---


def _clipped(config: ObjectiveConfig, tokens: Tokens):
  return _pessimistic(config, jnp.exp(_log_ratio(tokens)), tokens.advantage)


def _sequence_clipped(config: ObjectiveConfig, tokens: Tokens):
  return _pessimistic(config, jnp.exp(_over_sequence(_log_ratio(tokens), tokens, mean=True)), tokens.advantage)


def _weighted(config: ObjectiveConfig, tokens: Tokens):
  ratio = jax.lax.stop_gradient(jnp.exp(_log_ratio(tokens)))
  weight = jnp.clip(ratio, 1 - config.clip_low, 1 + config.clip_high)
  gain = weight * tokens.advantage * jnp.where(tokens.mask, tokens.logp, 0.0)
  return gain, ratio, ratio < 1 - config.clip_low, ratio > 1 + config.clip_high


_SURROGATES = {'grpo': _clipped, 'dr_grpo': _clipped, 'dapo': _clipped, 'gspo': _sequence_clipped, 'cispo': _weighted}


def _pessimistic(config: ObjectiveConfig, ratio: jax.Array, advantage: jax.Array):
  low, high = 1 - config.clip_low, 1 + config.clip_high
  gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, low, high) * advantage)
  return gain, ratio, (ratio < low) & (advantage < 0), (ratio > high) & (advantage > 0)


def _log_ratio(tokens: Tokens) -> jax.Array:
  return jnp.where(tokens.mask, tokens.logp - tokens.old, 0.0)


# --- The reference and the sampler ---


def _divergence(tokens: Tokens) -> jax.Array:
  """A cost whose gradient is an unbiased estimate of that of KL(policy || reference) at each prefix: ratio * log(pi / reference).

  Its logarithm carries no gradient: sampled from the old policy, d/dpi is E[ratio * log(pi / reference) * d log pi]. The gradient of
  k3 alone is that of KL(reference || policy) instead (TRL PR #4638); that of ratio * k3 (DeepSeek-V3.2, 2512.02556) is the same as this.
  What a token does to the prefixes after it is left out, as in every cost of single tokens; `kl = 'reward'` has it.
  """
  apart = jnp.where(tokens.mask, tokens.logp - tokens.reference, 0.0)
  return jnp.exp(_log_ratio(tokens)) * jax.lax.stop_gradient(apart)


def _correction(config: ObjectiveConfig, tokens: Tokens, drift: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Weight of each token, and whether its sequence is in the band.

  Truncated importance weights min(learner / sampler, cap), as in IMPALA (1802.01561), of tokens or of whole sequences. No denominator
  changes with them: what is weighed down or left out counts as 0.
  """
  weight, kept = tokens.weight, jnp.ones_like(tokens.mask)
  if config.correction != 'none':
    logarithm = drift if config.correction == 'token' else _over_sequence(drift, tokens, mean=False)
    weight *= jnp.exp(jnp.minimum(logarithm, math.log(config.correction_cap)))
  if config.sequence_band:
    kept = jnp.abs(_over_sequence(drift, tokens, mean=True)) <= config.sequence_band
    weight = jnp.where(kept, weight, 0.0)
  return weight, kept


def _over_sequence(values: jax.Array, tokens: Tokens, mean: bool) -> jax.Array:
  """At every trained token the sum or mean of `values`, 0 outside the mask, over the trained tokens of its sequence."""
  N = tokens.mask.size
  total = jax.ops.segment_sum(values, tokens.sequence, N)[tokens.sequence]
  if not mean:
    return total
  return total / jnp.maximum(jax.ops.segment_sum(tokens.mask.astype(values.dtype), tokens.sequence, N)[tokens.sequence], 1.0)


def _k3(log_ratio: jax.Array) -> jax.Array:
  return jnp.exp(log_ratio) - 1 - log_ratio


def _sum(values: jax.Array, mask: jax.Array) -> jax.Array:
  return jnp.where(mask, values, 0.0).sum()
