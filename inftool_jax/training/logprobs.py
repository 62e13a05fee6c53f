"""Log-probabilities from hidden states without ever holding [batch, length, vocabulary] (invariant 9)."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from inftool_jax.models import decoder


def token_logprobs(params: decoder.Params, hidden_NxD: jax.Array, targets_N: jax.Array, chunk: int) -> tuple[jax.Array, jax.Array]:
  """Log-probability of each target and entropy of its distribution, both float32 [N], in nats.

  Scans over chunks of `chunk` positions and recomputes a chunk's logits in the backward pass, so that at most
  [chunk, V] logits are alive. N is padded to whole chunks.
  """
  N, D = hidden_NxD.shape
  pad = -N % chunk
  hidden = jnp.pad(hidden_NxD, ((0, pad), (0, 0))).reshape(-1, chunk, D)
  targets = jnp.pad(targets_N, (0, pad)).reshape(-1, chunk)

  @jax.checkpoint
  def one(carry, xs):
    h_CxD, t_C = xs
    logits_CxV = decoder.logits(params, h_CxD)
    norm_C = jax.nn.logsumexp(logits_CxV, axis=-1)
    logp_C = jnp.take_along_axis(logits_CxV, t_C[:, None], axis=-1)[:, 0] - norm_C
    entropy_C = norm_C - jnp.sum(jax.nn.softmax(logits_CxV, axis=-1) * logits_CxV, axis=-1)
    return carry, (logp_C, entropy_C)

  _, (logp, entropy) = jax.lax.scan(one, None, (hidden, targets))
  return logp.reshape(-1)[:N], entropy.reshape(-1)[:N]
