"""Objectives against float64 references, with the derivative that training uses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.training import objectives
from inftool_jax.training.objectives import Tokens

N = 40


def _tokens(seed: int = 0) -> Tokens:
  rng = np.random.default_rng(seed)
  mask = rng.random(N) < 0.6
  real = lambda: jnp.asarray(rng.normal(size=N), jnp.float32)
  logp = -jnp.abs(real()) - 0.1
  return Tokens(logp, jnp.abs(real()), jnp.asarray(mask), real(), logp + 0.05 * real())


def _float64(tokens: Tokens) -> Tokens:
  return Tokens(*(np.asarray(x, bool if x.dtype == bool else np.float64) for x in tokens))  # type: ignore[arg-type]


def test_sft_is_the_negative_log_likelihood_of_trained_tokens() -> None:
  tokens = _tokens()
  exact = _float64(tokens)
  loss, metrics = objectives.sft(tokens)
  assert loss == pytest.approx(-exact.logp[exact.mask].sum(), rel=1e-6)
  assert metrics['loss'] == loss and metrics['entropy'] == pytest.approx(exact.entropy[exact.mask].sum(), rel=1e-6)
  gradient = jax.grad(lambda logp: objectives.sft(tokens._replace(logp=logp))[0])(tokens.logp)
  np.testing.assert_array_equal(gradient, np.where(exact.mask, -1.0, 0.0))


@pytest.mark.parametrize('seed', range(3))
def test_grpo_on_policy_has_ratio_1_and_the_policy_gradient(seed: int) -> None:
  tokens = _tokens(seed)
  exact = _float64(tokens)
  n = exact.mask.sum()
  objective = objectives.grpo(0.2, 0.28)
  loss, metrics = objective(tokens)
  assert metrics['ratio'] == n  # exactly 1 each
  assert loss == pytest.approx(-exact.advantage[exact.mask].sum(), rel=1e-5)
  gradient = jax.grad(lambda logp: objective(tokens._replace(logp=logp))[0])(tokens.logp)
  np.testing.assert_allclose(gradient, np.where(exact.mask, -exact.advantage, 0.0), rtol=1e-6)


def test_metrics_of_the_distance_between_learner_and_sampler() -> None:
  tokens = _tokens()
  exact = _float64(tokens)
  _, metrics = objectives.grpo(0.2, 0.28)(tokens)
  drift = (exact.logp - exact.behavior)[exact.mask]
  assert metrics['gap'] == pytest.approx(np.abs(drift).sum(), rel=1e-4)
  assert metrics['k3'] == pytest.approx((np.exp(drift) - 1 - drift).sum(), rel=1e-2)
  same = objectives.grpo(0.2, 0.28)(tokens._replace(behavior=tokens.logp))[1]
  assert same['gap'] == same['k3'] == 0


@pytest.mark.parametrize('objective', [objectives.sft, objectives.grpo(0.2, 0.28)], ids=['sft', 'grpo'])
def test_nothing_outside_the_mask_counts_not_even_infinities(objective: objectives.Objective) -> None:
  tokens = _tokens()
  rubbish = jnp.where(tokens.mask, 0.0, -jnp.inf)
  spoiled = tokens._replace(logp=tokens.logp + rubbish, entropy=tokens.entropy + rubbish, behavior=tokens.behavior + rubbish)

  def loss(logp: jax.Array, rest: Tokens) -> tuple[jax.Array, dict[str, jax.Array]]:
    return objective(rest._replace(logp=logp))

  results = [jax.value_and_grad(loss, has_aux=True)(t.logp, t) for t in (tokens, spoiled)]
  jax.tree.map(np.testing.assert_array_equal, *results)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(results[1]))


@pytest.mark.parametrize('numbers', [np, jnp], ids=['numpy', 'jax'])
def test_advantages_are_rewards_against_their_group(numbers) -> None:
  rewards = numbers.asarray([[1.0, 0.0, 0.0, 1.0], [0.25, 0.25, 0.25, 1.0]], numbers.float32)
  np.testing.assert_allclose(objectives.advantages(rewards, False), [[0.5, -0.5, -0.5, 0.5], [-0.1875, -0.1875, -0.1875, 0.5625]])
  exact = np.asarray(rewards, np.float64)
  expected = (exact - exact.mean(1, keepdims=True)) / (exact.std(1, keepdims=True) + 1e-4)
  np.testing.assert_allclose(objectives.advantages(rewards, True), expected, rtol=1e-5)


@pytest.mark.parametrize('numbers', [np, jnp], ids=['numpy', 'jax'])
@pytest.mark.parametrize('size', [3, 7, 8, 16])
def test_a_group_of_equal_rewards_has_advantage_exactly_0(numbers, size: int) -> None:
  values = numbers.asarray([0.6, 0.1, 1 / 3, 0.0, 1.0, 0.7], numbers.float32)
  equal = numbers.tile(values[:, None], (1, size))
  assert not any(np.asarray(objectives.advantages(equal, scale)).any() for scale in (False, True))
  # The rounded deviation of equal numbers is not always 0, which is why equality decides.
  nearly = equal + numbers.asarray([[1e-3] + [0.0] * (size - 1)], numbers.float32)
  assert (np.asarray(objectives.advantages(nearly, True))[:, 0] > 0.5).all()
