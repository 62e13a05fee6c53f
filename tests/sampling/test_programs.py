"""Drawing a token: the right distribution, reproducible per row, blind to the neighbors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from inftool_jax.sampling import programs
from tests.models.small import CONFIG
from tests.sampling.driving import SIZES

LOGITS = np.array([1.5, 0.0, -2.0, 0.7, -0.3, 1.4, -1.0], np.float32)
DRAWS = 4096

sample = jax.jit(programs.sample)


def _draw(logits: np.ndarray, temperature: float = 1.0, top_p: float = 1.0, first_seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """One token of each of `DRAWS` requests over the same logits, and their log-probabilities."""
  keys = jax.random.wrap_key_data(np.stack([np.zeros(DRAWS), np.arange(DRAWS) + first_seed], axis=1).astype(np.uint32))
  rows = np.broadcast_to(logits, (DRAWS, len(logits)))
  full = lambda value: np.full(DRAWS, value, np.float32)
  return tuple(np.asarray(x) for x in sample(rows, keys, np.full(DRAWS, 5, np.int32), full(temperature), full(top_p)))  # type: ignore


def _softmax(logits: np.ndarray) -> np.ndarray:
  e = np.exp(logits.astype(np.float64) - logits.max())
  return e / e.sum()


def _assert_drawn_from(tokens: np.ndarray, p: np.ndarray) -> None:
  counts = np.bincount(tokens, minlength=len(p))
  assert counts[p == 0].sum() == 0
  assert stats.chisquare(counts[p > 0], DRAWS * p[p > 0]).pvalue > 1e-4


@pytest.mark.parametrize('temperature', [1.0, 0.5, 2.0])
def test_frequencies_and_log_probabilities_are_those_of_the_tempered_softmax(temperature: float) -> None:
  p = _softmax(LOGITS / temperature)
  tokens, logp = _draw(LOGITS, temperature)
  _assert_drawn_from(tokens, p)
  np.testing.assert_allclose(logp, np.log(p[tokens]), atol=1e-5)
  with pytest.raises(AssertionError):  # the bound is tight enough to tell temperatures apart
    _assert_drawn_from(tokens, _softmax(LOGITS / (temperature * 1.3)))


def test_top_p_keeps_the_smallest_set_that_reaches_it_and_renormalizes() -> None:
  p = _softmax(LOGITS)
  order = np.argsort(-p)
  assert p[order[:2]].sum() < 0.75 < p[order[:3]].sum()
  kept = np.where(np.isin(np.arange(len(p)), order[:3]), p, 0)
  tokens, logp = _draw(LOGITS, top_p=0.75)
  _assert_drawn_from(tokens, kept / kept.sum())
  np.testing.assert_allclose(logp, np.log((kept / kept.sum())[tokens]), atol=1e-5)
  tokens, logp = _draw(LOGITS, top_p=1e-6)
  assert (tokens == order[0]).all() and not logp.any()


def test_temperature_0_takes_the_best_and_reports_its_log_probability_at_temperature_1() -> None:
  tokens, logp = _draw(LOGITS, temperature=0.0)
  assert (tokens == LOGITS.argmax()).all()
  np.testing.assert_allclose(logp, np.log(_softmax(LOGITS).max()), atol=1e-6)


def test_both_halves_of_a_seed_and_the_position_make_the_draw() -> None:
  flat = np.zeros((DRAWS, 64), np.float32)
  ones = np.ones(DRAWS, np.float32)
  counter = np.arange(DRAWS, dtype=np.uint32)
  zero = np.zeros(DRAWS, np.uint32)
  draws = []
  for high, low, position in ((counter, zero, zero), (zero, counter, zero), (zero, zero, counter)):
    tokens, _ = sample(flat, jax.random.wrap_key_data(np.stack([high, low], axis=1)), position.astype(np.int32), ones, ones)
    _assert_drawn_from(np.asarray(tokens), np.full(64, 1 / 64))
    draws.append(np.asarray(tokens))
  assert all((a != b).mean() > 0.9 for a, b in zip(draws, [*draws[1:], draws[0]]))


def test_a_neighbor_with_top_p_does_not_change_a_row_without() -> None:
  # One sure token and a tail that float32 sums to 1 before its end: the row must keep all of it, whoever stands beside.
  peaked = np.full(97, -17.0, np.float32)
  peaked[3] = 0.0
  rows = np.stack([peaked, peaked, *np.random.default_rng(0).normal(size=(6, 97)).astype(np.float32)])
  keys = jax.random.wrap_key_data(np.arange(16, dtype=np.uint32).reshape(8, 2))
  positions, temperature = np.arange(8, dtype=np.int32), np.ones(8, np.float32)
  alone = sample(rows, keys, positions, temperature, np.ones(8, np.float32))
  beside = sample(rows, keys, positions, temperature, np.array([1, 1, 1, 1, 1, 1, 1, 0.5], np.float32))
  for a, b in zip(alone, beside, strict=True):
    np.testing.assert_array_equal(a[:7], b[:7])


def test_the_cache_has_a_spare_slot_and_room_for_the_last_chunk() -> None:
  cache = programs.empty_cache(CONFIG, SIZES)
  layers, slots, heads, length, size = cache.k.shape
  assert (layers, slots, heads, size) == (CONFIG.layers, SIZES.slots + 1, CONFIG.kv_heads, CONFIG.head_dim)
  assert length >= SIZES.context + SIZES.prefill_chunk and length % programs.BLOCK == 0
  assert cache.k.dtype == jnp.dtype(CONFIG.compute_dtype)
