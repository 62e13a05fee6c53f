"""Drawing a token: temperature, top-k, top-p, min-p, bans and grammar as arrays, one row a request."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = Any  # numpy's or JAX's
BLOCK = 128  # tokens of the vocabulary that are drawn from together


class Choice(NamedTuple):
  """How each of N rows draws."""

  seed_Nx2: Array  # uint32, high and low half
  temperature_N: Array  # float32; 0 takes the best token
  top_p_N: Array  # float32; 1 keeps every token
  top_k_N: Array  # int32; 0 keeps every token
  min_p_N: Array  # float32, of the best token's probability; 0 keeps every token
  ban_NxM: Array  # int32, token ids that are never drawn; -1 is unused
  constrained_N: Array  # bool, whether `allowed` counts
  allowed_NxW: Array  # int32, bit i of word w is token 32 w + i


def draw(logits_NxV: jax.Array, positions_N: jax.Array, choice: Choice) -> tuple[jax.Array, jax.Array]:
  """One token per row, int32, and its log-probability, float32, under the distribution it was drawn from.

  The key of a token is (request seed, position), so what a row draws depends on nothing else. Temperature 0 takes the best token and
  reports its log-probability at temperature 1, for a point mass has none worth reporting.

  Gumbel-max in two steps: first a block of the vocabulary by its mass, then a token in it. The distribution is that of one step over
  all of it, and V/128 + 128 random numbers do the work of V, which would take longer than the head's matrix product on a CPU.
  """
  greedy_N = choice.temperature_N == 0
  x_NxV = logits_NxV / jnp.where(greedy_N, 1.0, choice.temperature_N)[:, None]
  x_NxV = jax.lax.cond((choice.ban_NxM >= 0).any(), _without_bans, lambda x, _: x, x_NxV, choice.ban_NxM)
  x_NxV = jax.lax.cond(choice.constrained_N.any(), _allowed, lambda x, _: x, x_NxV, choice)
  narrowed = (choice.top_p_N < 1) | (choice.top_k_N > 0) | (choice.min_p_N > 0)
  x_NxV = jax.lax.cond(narrowed.any(), _narrowed, lambda x, _: x, x_NxV, choice)

  N, V = x_NxV.shape
  blocks = -(-V // BLOCK)
  x_NxCxW = jnp.pad(x_NxV, ((0, 0), (0, blocks * BLOCK - V)), constant_values=-jnp.inf).reshape(N, blocks, BLOCK)
  peak_N = x_NxV.max(axis=-1)
  mass_NxC = jnp.exp(x_NxCxW - peak_N[:, None, None]).sum(axis=-1)
  noise_NxX = jax.vmap(_noise, in_axes=(0, 0, None))(choice.seed_Nx2, positions_N, blocks + BLOCK)
  block_N = jnp.argmax(jnp.log(mass_NxC) + noise_NxX[:, :blocks], axis=-1)
  x_NxW = jnp.take_along_axis(x_NxCxW, block_N[:, None, None], axis=1)[:, 0]
  drawn_N = block_N * BLOCK + jnp.argmax(x_NxW + noise_NxX[:, blocks:], axis=-1)
  token_N = jnp.where(greedy_N, jnp.argmax(x_NxV, axis=-1), drawn_N).astype(jnp.int32)
  logp_N = jnp.take_along_axis(x_NxV, token_N[:, None], axis=-1)[:, 0] - peak_N - jnp.log(mass_NxC.sum(axis=-1))
  return token_N, logp_N


def _noise(seed_2, position, size: int):
  return jax.random.gumbel(jax.random.fold_in(jax.random.wrap_key_data(jnp.asarray(seed_2)), position), (size,))


def _without_bans(x_NxV, ban_NxM):
  N, V = x_NxV.shape
  return x_NxV.at[jnp.arange(N)[:, None], jnp.where(ban_NxM < 0, V, ban_NxM)].set(-jnp.inf, mode='drop')


def _allowed(x_NxV, choice: Choice):
  token_V = jnp.arange(x_NxV.shape[1])
  inside_NxV = (choice.allowed_NxW[:, token_V // 32] >> (token_V % 32)) & 1 == 1
  return jnp.where(inside_NxV | ~choice.constrained_N[:, None], x_NxV, -jnp.inf)


def _narrowed(x_NxV, choice: Choice):
  """-inf outside of: the k best; of these the smallest set that reaches top_p (arXiv 1904.09751); those of min_p times the best's."""
  order_NxV = jnp.argsort(-x_NxV, axis=-1)
  sorted_NxV = jnp.take_along_axis(x_NxV, order_NxV, axis=-1)
  k_N = jnp.where(choice.top_k_N > 0, choice.top_k_N, x_NxV.shape[1])
  sorted_NxV = jnp.where(jnp.arange(x_NxV.shape[1]) < k_N[:, None], sorted_NxV, -jnp.inf)
  p_NxV = jax.nn.softmax(sorted_NxV, axis=-1)
  before_NxV = jnp.cumsum(p_NxV, axis=-1) - p_NxV
  # The sum of a tail rounds to 1 before its end, so that "before < 1" would drop tokens.
  inside_NxV = (before_NxV < choice.top_p_N[:, None]) | (choice.top_p_N[:, None] >= 1)
  inside_NxV &= (p_NxV >= choice.min_p_N[:, None] * p_NxV[:, :1]) & (sorted_NxV > -jnp.inf)
  keep_NxV = jnp.take_along_axis(inside_NxV, jnp.argsort(order_NxV, axis=-1), axis=-1)
  return jnp.where(keep_NxV, x_NxV, -jnp.inf)
