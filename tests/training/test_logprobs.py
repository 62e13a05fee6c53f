"""Chunked log-probabilities: exact, differentiable, the same for every chunk size."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.models import decoder
from inftool_jax.training import logprobs
from tests.models.small import CONFIG, TIED, weights

N = 50
RNG = np.random.default_rng(0)
HIDDEN = jnp.asarray(RNG.normal(size=(N, CONFIG.dim)), jnp.float32)
TARGETS = jnp.asarray(RNG.integers(0, CONFIG.vocab, N), jnp.int32)
ALL = jnp.ones(N, bool)


def _exact(params: decoder.Params) -> tuple[np.ndarray, np.ndarray]:
  logits = np.asarray(HIDDEN, np.float64) @ np.asarray(decoder.head(params), np.float64).T
  logp = logits - logits.max(-1, keepdims=True)
  logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
  return logp[np.arange(N), TARGETS], -(np.exp(logp) * logp).sum(-1)


@pytest.mark.parametrize('config', [CONFIG, TIED], ids=['untied', 'tied'])
@pytest.mark.parametrize('chunk', [16, 50, 1024])
def test_log_probabilities_and_entropies_are_exact_for_any_chunk(config, chunk: int) -> None:
  params = weights(config)
  logp, entropy = logprobs.token_logprobs(params, HIDDEN, TARGETS, ALL, chunk)
  assert logp.shape == entropy.shape == (N,) and logp.dtype == entropy.dtype == jnp.float32
  exact = _exact(params)
  np.testing.assert_allclose(logp, exact[0], atol=2e-6, rtol=1e-6)
  np.testing.assert_allclose(entropy, exact[1], atol=1e-5)


def test_the_derivative_is_the_softmax_residual() -> None:
  params = weights(CONFIG)
  pull = jnp.asarray(RNG.normal(size=N), jnp.float32)

  def loss(hidden: jax.Array, matrix: jax.Array) -> jax.Array:
    return (logprobs.token_logprobs(params | {'head': matrix}, hidden, TARGETS, ALL, 16)[0] * pull).sum()

  by_hidden, by_head = jax.grad(loss, argnums=(0, 1))(HIDDEN, params['head'])
  matrix, hidden = np.asarray(params['head'], np.float64), np.asarray(HIDDEN, np.float64)
  p = np.exp(hidden @ matrix.T)
  residual = (np.eye(CONFIG.vocab)[TARGETS] - p / p.sum(-1, keepdims=True)) * np.asarray(pull, np.float64)[:, None]
  np.testing.assert_allclose(by_hidden, residual @ matrix, atol=1e-5)
  np.testing.assert_allclose(by_head, residual.T @ hidden, atol=1e-5)


@pytest.mark.parametrize('chunk', [4, 16, 64])
def test_what_is_not_wanted_costs_nothing_and_has_no_gradient(chunk: int) -> None:
  params = weights(CONFIG)
  wanted = jnp.asarray(RNG.random(N) < 0.3)

  def loss(hidden: jax.Array, keep: jax.Array) -> jax.Array:
    return jnp.where(wanted, logprobs.token_logprobs(params, hidden, TARGETS, keep, chunk)[0], 0.0).sum()

  logp, entropy = logprobs.token_logprobs(params, HIDDEN, TARGETS, wanted, chunk)
  exact = _exact(params)
  np.testing.assert_allclose(logp, np.where(wanted, exact[0], 0), atol=2e-6, rtol=1e-6)
  np.testing.assert_allclose(entropy, np.where(wanted, exact[1], 0), atol=1e-5)
  sparse, dense = jax.grad(loss)(HIDDEN, wanted), jax.grad(loss)(HIDDEN, ALL)
  np.testing.assert_allclose(sparse, dense, atol=1e-6)
  assert (np.asarray(sparse)[~np.asarray(wanted)] == 0).all()
