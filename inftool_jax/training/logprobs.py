"""Log-probabilities from hidden states without ever holding [batch, length, vocabulary] (invariant 9)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from inftool_jax.models import decoder
from inftool_jax.parallel import placing

HEAD, HIDDEN, POSITIONS, ALL = ('vocab', 'dim'), ('batch', 'dim'), ('batch',), ()  # logical axes on a mesh
INPUTS = (HEAD, HIDDEN, POSITIONS, POSITIONS, POSITIONS, ALL)


def token_logprobs(
  params: decoder.Params, hidden_NxD: jax.Array, targets_N: jax.Array, wanted_N: jax.Array, chunk: int
) -> tuple[jax.Array, jax.Array]:
  """Log-probability of each wanted target and entropy of its distribution, both float32 [N], in nats; 0 where not wanted.

  Goes through the wanted positions in chunks of `chunk` and recomputes a chunk's logits in the backward pass: at most
  [chunk, V] logits are alive, and prompts, most of a batch, cost nothing. Differentiable in the hidden states and the head through
  the log-probability; the entropy is a metric and carries no gradient.

  On a mesh every device goes through the positions of its part of the batch with its part of the vocabulary, all of them for as many
  chunks as the fullest part needs; what they exchange of a chunk has length `chunk`, or [chunk, D] in the backward pass.
  """
  wanted_N = jnp.asarray(wanted_N)
  order_P, chunks = placing.by_shard(functools.partial(_order, chunk), (POSITIONS,), (POSITIONS, ALL))(wanted_N)
  return _chunked(decoder.head(params), hidden_NxD, jnp.asarray(targets_N), wanted_N, order_P, chunks, chunk)


def _order(chunk: int, wanted_N):
  """Positions in the order in which chunks take them, and the number of chunks."""
  order_N = jnp.argsort(~wanted_N, stable=True)  # the wanted positions first, in their order
  pad = -order_N.shape[0] % chunk
  order_P = jnp.pad(order_N, (0, pad), constant_values=order_N.shape[0])  # out of range: read as 0, dropped on write
  return order_P, placing.largest((wanted_N.sum() + chunk - 1) // chunk, 'batch')


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def _chunked(head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks, chunk: int):
  by_shard = placing.by_shard(functools.partial(_values, chunk), INPUTS, (POSITIONS, POSITIONS))
  return by_shard(head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks)


def _values(chunk: int, head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks):
  N = hidden_NxD.shape[0]

  def one(i, carry):
    logp_N, entropy_N = carry
    index_C, h_CxD, t_C = _chunk(i, chunk, order_P, hidden_NxD, targets_N)
    logits_CxV, norm_C = _logits(head_VxD, h_CxD)
    here_C = placing.own(t_C, 'vocab', logits_CxV.shape[1])
    at_target_C = jnp.take_along_axis(logits_CxV, here_C[:, None], axis=-1, mode='fill', fill_value=0)[:, 0]
    logp_C = placing.total(at_target_C, 'vocab') - norm_C
    entropy_C = norm_C - placing.total((jnp.exp(logits_CxV - norm_C[:, None]) * logits_CxV).sum(axis=-1), 'vocab')
    return logp_N.at[index_C].set(logp_C, mode='drop'), entropy_N.at[index_C].set(entropy_C, mode='drop')

  logp_N, entropy_N = jax.lax.fori_loop(0, chunks, one, (jnp.zeros(N, jnp.float32), jnp.zeros(N, jnp.float32)))
  return jnp.where(wanted_N, logp_N, 0.0), jnp.where(wanted_N, entropy_N, 0.0)


def _forward(head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks, chunk: int):
  out = _chunked(head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks, chunk)
  return out, (head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks)


def _backward(chunk: int, residuals, cotangents):
  by_shard = placing.by_shard(functools.partial(_gradients, chunk), (*INPUTS, POSITIONS), (('vocab', 'stored_dim'), HIDDEN))
  return *by_shard(*residuals, cotangents[0]), None, None, None, None


def _gradients(chunk: int, head_VxD, hidden_NxD, targets_N, wanted_N, order_P, chunks, pull_N):
  """d logp / d logits = onehot(target) - softmax."""
  pull_N = jnp.where(wanted_N, pull_N, 0.0)

  def one(i, carry):
    d_head_VxD, d_hidden_NxD = carry
    index_C, h_CxD, t_C = _chunk(i, chunk, order_P, hidden_NxD, targets_N)
    pull_C = pull_N.at[index_C].get(mode='fill', fill_value=0.0)
    logits_CxV, norm_C = _logits(head_VxD, h_CxD)
    residual_CxV = -jnp.exp(logits_CxV - norm_C[:, None]) * pull_C[:, None]
    here_C = placing.own(t_C, 'vocab', logits_CxV.shape[1])  # outside of what is here: dropped
    residual_CxV = residual_CxV.at[jnp.arange(chunk), here_C].add(pull_C).astype(h_CxD.dtype)
    d_head_VxD += jnp.einsum('cv,cd->vd', residual_CxV, h_CxD, preferred_element_type=jnp.float32)
    d_h_CxD = placing.total(jnp.einsum('cv,vd->cd', residual_CxV, head_VxD.astype(h_CxD.dtype)), 'vocab')
    return d_head_VxD, d_hidden_NxD.at[index_C].set(d_h_CxD, mode='drop')

  zeros = jnp.zeros(head_VxD.shape, jnp.float32), jnp.zeros_like(hidden_NxD)
  d_head_VxD, d_hidden_NxD = jax.lax.fori_loop(0, chunks, one, zeros)
  # The barrier keeps XLA for TPU (libtpu 0.0.42) from moving the sum out of a loop over micro-batches, which it starts and then fails at.
  d_head = jax.lax.optimization_barrier(placing.scattered(d_head_VxD, 'batch', 1, part='stored_dim'))
  return d_head.astype(head_VxD.dtype), d_hidden_NxD


_chunked.defvjp(_forward, _backward)


def _chunk(i, chunk: int, order_P, hidden_NxD, targets_N):
  index_C = jax.lax.dynamic_slice(order_P, (i * chunk,), (chunk,))
  return index_C, hidden_NxD.at[index_C].get(mode='fill', fill_value=0), targets_N.at[index_C].get(mode='fill', fill_value=0)


def _logits(head_VxD, h_CxD):
  """float32 logits [C, V] and their log normalizer [C]."""
  logits_CxV = jnp.einsum('cd,vd->cv', h_CxD, head_VxD.astype(h_CxD.dtype), preferred_element_type=jnp.float32)
  return logits_CxV, placing.log_total(jax.nn.logsumexp(logits_CxV, axis=-1), 'vocab')
