"""Invariant 5 for every objective: the same gradient from any packing, micro-batch size and order, off policy and clipped too."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inftool_jax.data import packing
from inftool_jax.data.packing import Packed
from inftool_jax.models import decoder
from inftool_jax.training import batching, objectives, step
from inftool_jax.training.objectives import ObjectiveConfig
from tests.models import reference
from tests.models.small import CONFIG, weights
from tests.training.rows import ADVANTAGE, FLAT, LAYOUTS, ROW

MICRO = {1: 16, 2: 8, 8: 2}  # rows of a micro-batch -> micro-batches
KEEP = optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params: (grads, grads))
KL = {'kl': 'loss', 'kl_coefficient': 0.3, 'clip_low': 0.05, 'clip_high': 0.1}
OBJECTIVES = {
  **{name: ObjectiveConfig(name, **KL) for name in objectives.NAMES},
  'dapo, all options': ObjectiveConfig('dapo', correction='token', sequence_band=0.2, **KL),
  'gspo, all options': ObjectiveConfig('gspo', correction='sequence', sequence_band=0.2, **KL),
}
DEMONSTRATION = np.arange(len(FLAT)) % 5 == 0
BUDGET = 20


@functools.cache
def _known() -> dict[str, list[np.ndarray]]:
  """Log-probabilities of each sequence's tokens under policies not far from the learner."""
  rng = np.random.default_rng(7)
  exact = [reference.logprobs(weights(CONFIG), CONFIG, list(s.tokens)) for s in FLAT]
  near = lambda: [x + rng.normal(0, 0.2) + rng.normal(0, 0.3, x.shape) for x in exact]
  return {'old': near(), 'behavior': near(), 'reference': near()}


def _batch(packed: Packed, rows: int, order: Sequence[int], config: ObjectiveConfig) -> step.Batch:
  lengths = np.array([sum(FLAT[i].loss_mask) for i in order]) * ~DEMONSTRATION[order]
  share = np.where(DEMONSTRATION[order], 0.5, objectives.shares(config, lengths, 20, BUDGET))
  batch = batching.batch(packed, rows, MICRO[rows], ADVANTAGE[order] * ~DEMONSTRATION[order], share, DEMONSTRATION[order])

  def of_tokens(values: list[np.ndarray]) -> np.ndarray:
    out = np.zeros((rows * MICRO[rows], ROW), np.float32)
    for row, column in zip(*np.nonzero(packed.loss_mask_BxT)):
      out[row, column] = values[order[packed.sequence_BxT[row, column]]][packed.positions_BxT[row, column]]
    return out.reshape(batch.mask.shape)

  known = {name: of_tokens(values) for name, values in _known().items()}
  return batch._replace(**known, revisited=np.bool_(True))


@jax.jit
def _update(state: step.State, batch: step.Batch, number: int):
  """By objective number so and so: one program for all, for the sake of compile time."""
  branches = [objectives.with_replay(objectives.make(config)) for config in OBJECTIVES.values()]
  return step.update(state, batch, {}, CONFIG, KEEP, lambda tokens: jax.lax.switch(number, branches, tokens))


def _gradient(name: str, packed: Packed, rows: int, order: Sequence[int] = range(len(FLAT))) -> tuple[decoder.Params, dict[str, jax.Array]]:
  batch = _batch(packed, rows, np.asarray(order), OBJECTIVES[name])
  state, metrics, _ = _update(step.init(weights(CONFIG), KEEP), batch, list(OBJECTIVES).index(name))
  return state.opt_state, metrics


def _assert_same(one: tuple[decoder.Params, dict], other: tuple[decoder.Params, dict]) -> None:
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(one[0]), jax.tree.leaves(other[0]), strict=True):
    assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y), jax.tree_util.keystr(path)
  for metric, value in one[1].items():
    np.testing.assert_allclose(value, other[1][metric], rtol=2e-5, atol=1e-6, err_msg=metric)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_any_layout_micro_batch_and_order_has_the_same_gradient_and_metrics(name: str) -> None:
  expected = _gradient(name, LAYOUTS['packed'], 1)
  metrics = expected[1]
  assert metrics['log ratio, largest'] > 0.5 and metrics['clipped low'] > 0 and metrics['clipped high'] > 0 and metrics['replay loss'] > 0
  assert 0 < metrics['kept'] < 1 or not OBJECTIVES[name].sequence_band
  _assert_same(_gradient(name, LAYOUTS['packed'], 2), expected)
  for layout in LAYOUTS:
    _assert_same(_gradient(name, LAYOUTS[layout], 8), expected)
  order = random.Random(0).sample(range(len(FLAT)), len(FLAT))
  _assert_same(_gradient(name, packing.pack([FLAT[i] for i in order], ROW), 1, order), expected)
