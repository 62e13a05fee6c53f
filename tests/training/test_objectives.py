"""Objectives against float64 references written as their papers write them, with the derivative that training uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.training import objectives
from inftool_jax.training.objectives import ObjectiveConfig, Tokens

LENGTHS = (1, 7, 3, 12, 5, 2)  # trained tokens of each sequence
SAMPLES, BUDGET = 8, 16  # two more samples had no gradient and were left out
CONFIG = ObjectiveConfig(clip_low=0.2, clip_high=0.3)
Exact = dict[str, list[np.ndarray]]  # field -> float64 values of the trained tokens of each sequence


def _batch(seed: int, config: ObjectiveConfig = CONFIG) -> tuple[Tokens, Exact]:
  """Sequences one after the other, two tokens before each that nobody trains: as flat arrays and apart."""
  rng = np.random.default_rng(seed)
  mask = np.concatenate([[False, False, *[True] * n] for n in LENGTHS])
  sequence = np.repeat(np.arange(len(LENGTHS)), np.array(LENGTHS) + 2)
  logp = -np.abs(rng.normal(size=mask.size)) - 0.1
  near = lambda: logp + 0.3 * rng.normal(size=mask.size)
  share = objectives.shares(config, np.array(LENGTHS), SAMPLES, BUDGET)
  flat = {
    'logp': logp, 'entropy': np.abs(logp), 'advantage': rng.normal(size=len(LENGTHS))[sequence], 'behavior': near(), 'old': near(),
    'reference': near(), 'weight': share[sequence],
  }  # fmt: skip
  flat = {name: value.astype(np.float32) for name, value in flat.items()}
  arrays = jax.tree.map(jnp.asarray, {**flat, 'mask': mask, 'sequence': sequence, 'replay': np.zeros_like(mask)})
  return Tokens(**arrays), {name: [x[mask & (sequence == s)].astype(np.float64) for s in range(len(LENGTHS))] for name, x in flat.items()}


def _gradients(config: ObjectiveConfig, tokens: Tokens) -> np.ndarray:
  """Of the whole objective by the log-probability of each trained token."""
  loss = lambda logp: objectives.make(config)(tokens._replace(logp=logp))[0] / sum(LENGTHS)
  gradient = np.asarray(jax.grad(loss)(tokens.logp))
  assert not gradient[~np.asarray(tokens.mask)].any()
  return gradient[np.asarray(tokens.mask)]


def _slopes(loss: Callable[[list[np.ndarray]], float], logp: list[np.ndarray]) -> np.ndarray:
  """The derivative of a float64 function by each token's log-probability, by central differences."""

  def moved(s: int, t: int, h: float) -> float:
    return loss([x + h * (np.arange(len(x)) == t) * (i == s) for i, x in enumerate(logp)])

  return np.array([(moved(s, t, 1e-6) - moved(s, t, -1e-6)) / 2e-6 for s, x in enumerate(logp) for t in range(len(x))])


# --- The papers ---


def _paper(name: str, logp: list[np.ndarray], x: Exact) -> float:
  """Minus the objective, as the paper of that name has it; what carries no gradient is taken from `x['logp']`."""
  clip = lambda r: np.clip(r, 0.8, 1.3)
  ratios = [np.exp(new - old) for new, old in zip(logp, x['old'])]
  if name == 'gspo':
    ratios = [np.full(len(new), np.exp((new - old).mean())) for new, old in zip(logp, x['old'])]
  gains = [np.minimum(r * a, clip(r) * a) for r, a in zip(ratios, x['advantage'])]
  if name == 'cispo':
    gains = [clip(np.exp(now - old)) * a * new for new, now, old, a in zip(logp, x['logp'], x['old'], x['advantage'])]
  if name in ('grpo', 'gspo'):
    return -sum(g.mean() for g in gains) / SAMPLES
  if name == 'dr_grpo':
    return -sum(g.sum() / BUDGET for g in gains) / SAMPLES
  return -sum(g.sum() for g in gains) / sum(LENGTHS)


@pytest.mark.parametrize('name', objectives.NAMES)
@pytest.mark.parametrize('seed', range(3))
def test_value_and_gradient_are_the_papers(name: str, seed: int) -> None:
  config = dataclasses.replace(CONFIG, name=name)
  tokens, exact = _batch(seed, config)
  loss, measured = objectives.make(config)(tokens)
  assert float(loss) / sum(LENGTHS) == pytest.approx(_paper(name, exact['logp'], exact), rel=1e-5)
  assert measured.sums['clipped low'] > 0 or measured.sums['clipped high'] > 0 or name == 'gspo'
  np.testing.assert_allclose(_gradients(config, tokens), _slopes(lambda x: _paper(name, x, exact), exact['logp']), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize('name', objectives.NAMES)
def test_on_policy_the_ratio_is_exactly_1_and_the_gradient_is_the_policy_gradient(name: str) -> None:
  config = dataclasses.replace(CONFIG, name=name)
  tokens, exact = _batch(0, config)
  tokens = tokens._replace(old=tokens.logp)
  _, measured = objectives.make(config)(tokens)
  assert measured.sums['ratio'] == sum(LENGTHS) and measured.sums['log ratio'] == 0 == measured.peaks['log ratio, largest']
  assert measured.sums['clipped low'] == measured.sums['clipped high'] == 0
  expected = [-w * a / sum(LENGTHS) for w, a in zip(exact['weight'], exact['advantage'])]
  np.testing.assert_allclose(_gradients(config, tokens), np.concatenate(expected), rtol=1e-5, atol=1e-9)


def test_a_clipped_token_of_cispo_keeps_its_gradient_and_that_of_the_others_loses_it() -> None:
  tokens, _ = _batch(0)
  tokens = tokens._replace(old=tokens.logp - 1.0, advantage=jnp.ones_like(tokens.advantage))  # every ratio is e > 1.3
  assert not _gradients(CONFIG, tokens).any()
  np.testing.assert_allclose(_gradients(dataclasses.replace(CONFIG, name='cispo'), tokens), -1.3 / sum(LENGTHS), rtol=1e-5)


def test_sft_is_the_negative_log_likelihood_of_trained_tokens() -> None:
  tokens, exact = _batch(0)
  loss, measured = objectives.sft(tokens)
  assert loss == pytest.approx(-np.concatenate(exact['logp']).sum(), rel=1e-6)
  assert measured.sums['loss'] == loss and measured.sums['entropy'] == pytest.approx(np.concatenate(exact['entropy']).sum(), rel=1e-6)
  gradient = jax.grad(lambda logp: objectives.sft(tokens._replace(logp=logp))[0])(tokens.logp)
  np.testing.assert_array_equal(gradient, np.where(tokens.mask, -1.0, 0.0))


# --- The divergence from the reference ---


@pytest.mark.parametrize('name', ['dapo', 'grpo', 'gspo'])
def test_a_divergence_in_the_loss_is_added_token_by_token_with_the_objectives_weights(name: str) -> None:
  config = dataclasses.replace(CONFIG, name=name, kl='loss', kl_coefficient=0.7)
  tokens, exact = _batch(1, config)

  def loss(logp: list[np.ndarray]) -> float:
    rows = zip(logp, exact['logp'], exact['old'], exact['reference'], exact['weight'])
    costs = sum((w * np.exp(new - old) * (now - ref)).sum() for new, now, old, ref, w in rows)
    return _paper(name, logp, exact) + 0.7 * costs / sum(LENGTHS)

  value, measured = objectives.make(config)(tokens)
  assert float(value) / sum(LENGTHS) == pytest.approx(loss(exact['logp']), rel=1e-4)
  np.testing.assert_allclose(_gradients(config, tokens), _slopes(loss, exact['logp']), rtol=1e-4, atol=1e-7)
  apart = np.concatenate(exact['reference']) - np.concatenate(exact['logp'])
  assert measured.sums['kl'] == pytest.approx((np.exp(apart) - 1 - apart).sum(), rel=1e-3)


@pytest.mark.parametrize('moved', [0.0, 0.5], ids=['on policy', 'after updates'])
def test_its_gradient_is_that_of_the_divergence_and_k3s_is_not(moved: float) -> None:
  """All answers of a one-token policy, weighed by how often the old policy gives them: an expectation without sampling."""
  rng = np.random.default_rng(0)
  logits, ref, step = rng.normal(size=(3, 6)).astype(np.float32)
  log_ref, log_old = jax.nn.log_softmax(ref), jax.nn.log_softmax(logits + moved * step)
  zero, mask = jnp.zeros(6), jnp.ones(6, bool)

  def expected(logits: jax.Array, objective: objectives.Objective) -> jax.Array:
    logp = jax.nn.log_softmax(logits)
    return objective(Tokens(logp, zero, mask, zero, log_old, log_old, log_ref, jnp.exp(log_old), jnp.arange(6), ~mask))[0]

  def divergence(logits: jax.Array) -> jax.Array:
    logp = jax.nn.log_softmax(logits)
    return (jnp.exp(logp) * (logp - log_ref)).sum()

  def k3(tokens: Tokens) -> tuple[jax.Array, None]:
    apart = tokens.reference - tokens.logp
    return (tokens.weight * (jnp.exp(apart) - 1 - apart)).sum(), None

  truth = jax.grad(divergence)(logits)
  ours = jax.grad(expected)(logits, objectives.make(ObjectiveConfig(kl='loss', kl_coefficient=1.0)))
  np.testing.assert_allclose(ours, truth, rtol=1e-4, atol=1e-6)
  biased = jax.grad(expected)(logits, k3)
  assert np.linalg.norm(biased - truth) > 0.2 * np.linalg.norm(truth)


# --- What the sampler did otherwise ---


@pytest.mark.parametrize('correction', objectives.CORRECTIONS)
@pytest.mark.parametrize('band', [0.0, 0.1])
def test_weights_of_learner_over_sampler_are_truncated_and_carry_no_gradient(correction: str, band: float) -> None:
  config = dataclasses.replace(CONFIG, correction=correction, correction_cap=1.2, sequence_band=band)
  tokens, exact = _batch(2, config)
  drifts = [old - sampler for old, sampler in zip(exact['old'], exact['behavior'])]
  weights = {
    'none': [np.ones(len(d)) for d in drifts],
    'token': [np.minimum(np.exp(d), 1.2) for d in drifts],
    'sequence': [np.full(len(d), min(np.exp(d.sum()), 1.2)) for d in drifts],
  }[correction]
  kept = [not band or abs(d.mean()) <= band for d in drifts]
  weights = [w * k for w, k in zip(weights, kept)]

  def loss(logp: list[np.ndarray]) -> float:
    ratios = [np.exp(new - old) for new, old in zip(logp, exact['old'])]
    gains = [np.minimum(r * a, np.clip(r, 0.8, 1.3) * a) for r, a in zip(ratios, exact['advantage'])]
    return -sum((w * g).sum() for w, g in zip(weights, gains)) / sum(LENGTHS)

  value, measured = objectives.make(config)(tokens)
  assert float(value) / sum(LENGTHS) == pytest.approx(loss(exact['logp']), rel=1e-4, abs=1e-7)
  np.testing.assert_allclose(_gradients(config, tokens), _slopes(loss, exact['logp']), rtol=1e-4, atol=1e-8)
  assert measured.sums['kept'] == sum(n for n, k in zip(LENGTHS, kept) if k) > 0 and (band == 0 or not all(kept))


def test_metrics_of_the_distance_between_learner_and_sampler() -> None:
  tokens, exact = _batch(0)
  _, measured = objectives.make(CONFIG)(tokens)
  drift = np.concatenate(exact['old']) - np.concatenate(exact['behavior'])
  means = {name: value / sum(LENGTHS) for name, value in measured.sums.items()}
  told = objectives.metrics(means, measured.peaks)
  assert told['gap'] == pytest.approx(np.abs(drift).mean(), rel=1e-4)
  assert told['gap, largest'] == pytest.approx(np.abs(drift).max(), rel=1e-5)
  assert told['k3'] == pytest.approx((np.exp(drift) - 1 - drift).mean(), rel=1e-2)
  weight = np.exp(drift)
  assert told['effective sample'] == pytest.approx(weight.sum() ** 2 / (weight**2).sum() / drift.size, rel=1e-4)
  assert not {'importance', 'importance squared'} & set(told)
  same = objectives.make(CONFIG)(tokens._replace(behavior=tokens.old))[1]
  assert same.sums['gap'] == same.sums['k3'] == same.peaks['gap, largest'] == 0 and same.sums['importance'] == sum(LENGTHS)


def test_metrics_of_the_distance_between_new_and_old_policy() -> None:
  tokens, exact = _batch(0)
  measured = objectives.make(CONFIG)(tokens)[1]
  moved, advantage = np.concatenate(exact['logp']) - np.concatenate(exact['old']), np.concatenate(exact['advantage'])
  assert measured.sums['log ratio'] == pytest.approx(np.abs(moved).sum(), rel=1e-4)
  assert measured.peaks['log ratio, largest'] == pytest.approx(np.abs(moved).max(), rel=1e-5)
  assert measured.sums['clipped low'] == ((np.exp(moved) < 0.8) & (advantage < 0)).sum() > 0
  assert measured.sums['clipped high'] == ((np.exp(moved) > 1.3) & (advantage > 0)).sum() > 0


# --- All of them ---

EVERY = {
  'sft': objectives.sft,
  **{name: objectives.make(dataclasses.replace(CONFIG, name=name)) for name in objectives.NAMES},
  'everything': objectives.make(ObjectiveConfig('gspo', kl='loss', kl_coefficient=0.1, correction='sequence', sequence_band=0.5)),
}


@pytest.mark.parametrize('name', EVERY)
def test_nothing_outside_the_mask_counts_not_even_infinities(name: str) -> None:
  tokens, _ = _batch(0)
  rubbish = jnp.where(tokens.mask, 0.0, -jnp.inf)
  fields = ('logp', 'entropy', 'behavior', 'old', 'reference')
  spoiled = tokens._replace(**{field: getattr(tokens, field) + rubbish for field in fields})

  def loss(logp: jax.Array, rest: Tokens) -> tuple[jax.Array, objectives.Measured]:
    return EVERY[name](rest._replace(logp=logp))

  results = [jax.value_and_grad(loss, has_aux=True)(t.logp, t) for t in (tokens, spoiled)]
  jax.tree.map(np.testing.assert_array_equal, *results)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(results[1]))


def test_demonstrations_are_trained_by_likelihood_and_are_in_no_metric_of_the_samples() -> None:
  tokens, exact = _batch(0)
  replay = tokens.mask & (tokens.sequence >= 4)
  mixed = tokens._replace(mask=tokens.mask & ~replay, replay=replay, weight=jnp.where(replay, 0.5, tokens.weight))
  plain, measured = objectives.make(CONFIG)(mixed)
  loss, with_replay = objectives.with_replay(objectives.make(CONFIG))(mixed)
  likelihood = sum(0.5 * x.sum() for x in exact['logp'][4:])
  assert with_replay.sums.pop('replay loss') == pytest.approx(-likelihood, rel=1e-5)
  assert float(loss) == pytest.approx(float(plain) - likelihood, rel=1e-5)
  assert with_replay.sums == measured.sums and with_replay.peaks == measured.peaks
  gradient = jax.grad(lambda logp: objectives.with_replay(objectives.make(CONFIG))(mixed._replace(logp=logp))[0])(tokens.logp)
  np.testing.assert_allclose(gradient[replay], -0.5)


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
