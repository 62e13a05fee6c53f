"""Drawing a token: the right distribution, reproducible per row, blind to the neighbors."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inftool_jax.sampling import drawing
from inftool_jax.sampling.drawing import Choice

LOGITS = np.array([1.5, 0.0, -2.0, 0.7, -0.3, 1.4, -1.0], np.float32)
DRAWS = 4096

draw = jax.jit(drawing.draw)


def _choice(rows: int, vocab: int, seeds: np.ndarray | None = None, **given: Any) -> Choice:
  """The same choice for every row; `seeds` are [rows, 2], by default all different."""
  full = lambda name, default, dtype=np.float32: np.full(rows, given.pop(name, default), dtype)
  banned, allowed = given.pop('banned', ()), given.pop('allowed', None)
  bits = np.zeros(-(-vocab // 32) * 32, np.uint32)
  bits[list(allowed or ())] = 1
  words = (bits.reshape(-1, 32) << np.arange(32, dtype=np.uint32)).sum(axis=1, dtype=np.uint32).view(np.int32)
  choice = Choice(
    np.stack([np.zeros(rows), np.arange(rows)], axis=1).astype(np.uint32) if seeds is None else seeds,
    full('temperature', 1.0), full('top_p', 1.0), full('top_k', 0, np.int32), full('min_p', 0.0),
    np.tile(np.array([*banned, -1], np.int32), (rows, 1)), np.full(rows, allowed is not None), np.tile(words, (rows, 1)),
  )  # fmt: skip
  assert not given
  return choice


def _draw(logits: np.ndarray, **choice: Any) -> tuple[np.ndarray, np.ndarray]:
  """One token of each of `DRAWS` requests over the same logits, and their log-probabilities."""
  rows = np.broadcast_to(logits, (DRAWS, len(logits)))
  tokens, logps = draw(rows, np.full(DRAWS, 5, np.int32), _choice(DRAWS, len(logits), **choice))
  return np.asarray(tokens), np.asarray(logps)


def _softmax(logits: np.ndarray) -> np.ndarray:
  e = np.exp(logits.astype(np.float64) - logits.max())
  return e / e.sum()


def _assert_drawn_from(tokens: np.ndarray, p: np.ndarray) -> None:
  counts = np.bincount(tokens, minlength=len(p))
  assert counts[p == 0].sum() == 0
  if (p > 0).sum() > 1:
    assert stats.chisquare(counts[p > 0], DRAWS * p[p > 0]).pvalue > 1e-4


def _assert_only(kept: np.ndarray, **choice: Any) -> None:
  """The distribution is that of `LOGITS` over the tokens `kept`, renormalized."""
  p = np.where(np.isin(np.arange(len(LOGITS)), kept), _softmax(LOGITS), 0)
  p /= p.sum()
  tokens, logp = _draw(LOGITS, **choice)
  _assert_drawn_from(tokens, p)
  np.testing.assert_allclose(logp, np.log(p[tokens]), atol=1e-5)


@pytest.mark.parametrize('temperature', [1.0, 0.5, 2.0])
def test_frequencies_and_log_probabilities_are_those_of_the_tempered_softmax(temperature: float) -> None:
  p = _softmax(LOGITS / temperature)
  tokens, logp = _draw(LOGITS, temperature=temperature)
  _assert_drawn_from(tokens, p)
  np.testing.assert_allclose(logp, np.log(p[tokens]), atol=1e-5)
  with pytest.raises(AssertionError):  # the bound is tight enough to tell temperatures apart
    _assert_drawn_from(tokens, _softmax(LOGITS / (temperature * 1.3)))


def test_a_vocabulary_of_many_blocks_is_drawn_from_as_a_whole() -> None:
  V = 3 * drawing.BLOCK + 17
  logits = np.random.default_rng(0).normal(size=V).astype(np.float32)
  logits[[5, 130, 300, V - 1]] += 4.0  # likely ones in every block, the last and shorter one too
  p = _softmax(logits)
  tokens, logp = _draw(logits)
  likely = np.argsort(-p)[:12]
  counts = np.array([*((tokens == t).sum() for t in likely), (~np.isin(tokens, likely)).sum()])
  assert stats.chisquare(counts, DRAWS * np.array([*p[likely], 1 - p[likely].sum()])).pvalue > 1e-4
  np.testing.assert_allclose(logp, np.log(p[tokens]), atol=1e-5)


ORDER = np.argsort(-_softmax(LOGITS))


def test_top_p_keeps_the_smallest_set_that_reaches_it_and_renormalizes() -> None:
  p = _softmax(LOGITS)
  assert p[ORDER[:2]].sum() < 0.75 < p[ORDER[:3]].sum()
  _assert_only(ORDER[:3], top_p=0.75)
  tokens, logp = _draw(LOGITS, top_p=1e-6)
  assert (tokens == ORDER[0]).all() and not logp.any()


def test_top_k_min_p_bans_and_grammar_keep_what_they_say() -> None:
  _assert_only(ORDER[:4], top_k=4)
  _assert_only(ORDER[:7], top_k=100)
  p = _softmax(LOGITS)
  _assert_only(np.flatnonzero(p >= 0.3 * p.max()), min_p=0.3)
  _assert_only(np.setdiff1d(np.arange(7), [0, 3]), banned=(0, 3))
  _assert_only(np.array([2, 5, 6]), allowed=(2, 5, 6))
  # Together: bans and grammar first, then the best of what is left.
  left = [t for t in ORDER if t not in (0, 3) and t != 1]
  _assert_only(np.array(left[:2]), banned=(0, 3), allowed=(0, 2, 3, 4, 5, 6), top_k=2)


def test_temperature_0_takes_the_best_and_reports_its_log_probability_at_temperature_1() -> None:
  tokens, logp = _draw(LOGITS, temperature=0.0)
  assert (tokens == LOGITS.argmax()).all()
  np.testing.assert_allclose(logp, np.log(_softmax(LOGITS).max()), atol=1e-6)
  assert (_draw(LOGITS, temperature=0.0, banned=(int(LOGITS.argmax()),))[0] == ORDER[1]).all()


def test_both_halves_of_a_seed_and_the_position_make_the_draw() -> None:
  flat = np.zeros((DRAWS, 300), np.float32)
  counter, zero = np.arange(DRAWS, dtype=np.uint32), np.zeros(DRAWS, np.uint32)
  draws = []
  for high, low, position in ((counter, zero, zero), (zero, counter, zero), (zero, zero, counter)):
    tokens, _ = draw(flat, position.astype(np.int32), _choice(DRAWS, 300, np.stack([high, low], axis=1)))
    _assert_drawn_from(np.asarray(tokens), np.full(300, 1 / 300))
    draws.append(np.asarray(tokens))
  assert all((a != b).mean() > 0.9 for a, b in zip(draws, [*draws[1:], draws[0]]))


def test_a_neighbor_with_filters_does_not_change_a_row_without() -> None:
  # One sure token and a tail that float32 sums to 1 before its end: the row must keep all of it, whoever stands beside.
  peaked = np.full(97, -17.0, np.float32)
  peaked[3] = 0.0
  rows = np.stack([peaked, peaked, *np.random.default_rng(0).normal(size=(6, 97)).astype(np.float32)])
  positions, plain = np.arange(8, dtype=np.int32), _choice(8, 97, np.arange(16, dtype=np.uint32).reshape(8, 2))
  beside = jax.tree.map(np.copy, plain)
  beside.top_p_N[7], beside.top_k_N[6], beside.min_p_N[5], beside.ban_NxM[4, 0], beside.constrained_N[3] = 0.5, 3, 0.4, 11, True
  for a, b in zip(draw(rows, positions, plain), draw(rows, positions, beside), strict=True):
    np.testing.assert_array_equal(a[:3], b[:3])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([1.0, 0.9, 0.3]), st.sampled_from([0.0, 0.05, 0.5]))
def test_what_is_drawn_passes_every_filter_and_its_log_probability_is_of_what_is_left(seed, top_k, top_p, min_p) -> None:
  logits = np.random.default_rng(seed).normal(size=(8, 10)).astype(np.float32) * 2
  tokens, logps = draw(logits, np.arange(8, dtype=np.int32), _choice(8, 10, top_k=top_k, top_p=top_p, min_p=min_p))
  for row, token, logp in zip(logits, np.asarray(tokens), np.asarray(logps)):
    order = np.argsort(-row, kind='stable')
    p = _softmax(row)[order]
    p[top_k or 10 :] = 0
    p /= p.sum()
    kept = (np.cumsum(p) - p < top_p) & (p >= min_p * p[0]) & (p > 0)
    rank = list(order).index(token)
    assert kept[rank]
    np.testing.assert_allclose(logp, np.log(p[rank] / p[kept].sum()), atol=1e-4)
