"""Attention over pages: the plain one, with the same bits whoever shares the batch, the page or the phase."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.models import paged
from inftool_jax.models.paged import HeadPages, Pool, TokenPages
from inftool_jax.sampling import work

H, K, E, S, LAYERS, PAGES, BLOCKS = 4, 2, 16, 64, 2, 40, 5
rng = np.random.default_rng(0)
LONGEST = BLOCKS * S
STORY = tuple(rng.normal(size=(LONGEST, heads, E)).astype(np.float32) for heads in (H, K, K))  # q, k, v of a sequence


@functools.partial(jax.jit, static_argnums=0)
def _run(layer: int, todo, positions, pages, q, k, v, pool: Pool):
  cache = paged.opened(pool, _Shape, todo)
  out, cache = paged.attention(todo, positions, pages, LAYERS)(layer, q[None], k[None], v[None], cache)
  return out[0], cache.pool


class _Shape:
  heads, kv_heads, head_dim = H, K, E


def _pool(fill: float) -> Pool:
  return HeadPages(jnp.full((LAYERS * PAGES, K, E, S), fill), jnp.full((LAYERS * PAGES, K, S, E), fill))


def _feed(rows: int, what: list[tuple[list[int], int, int]], pool: Pool, layer: int = 1) -> tuple[np.ndarray, Pool]:
  """Feeds positions [start, end) of the story to sequences of the given pages, in one batch of `rows`."""
  where = [(pages, p) for pages, start, end in what for p in range(start, end)]
  arrays = [np.zeros((rows, *x.shape[1:]), np.float32) for x in STORY]
  for x, source in zip(arrays, STORY):
    x[: len(where)] = source[[p for _, p in where]]
  positions, page = np.zeros((2, rows), np.int32)
  positions[: len(where)] = [p for _, p in where]
  page[: len(where)] = [pages[p // S] for pages, p in where]
  seen = [np.array(pages[: p // S + 1], np.int32) for pages, p in where]
  out, pool = _run(layer, work.plan(seen, rows, BLOCKS), positions, page, *arrays, pool)
  return np.asarray(out)[: len(where)], pool


def _plain(end: int) -> np.ndarray:
  q, k, v = (x[:end].astype(np.float64) for x in STORY)
  k, v = np.repeat(k, H // K, axis=1), np.repeat(v, H // K, axis=1)
  scores = np.where(np.tri(end, dtype=bool), np.einsum('the,she->hts', q, k) / np.sqrt(E), -np.inf)
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  return np.einsum('hts,she->the', weights / weights.sum(-1, keepdims=True), v)


OWN = [7, 3, 11, 5, 20]


def _alone(end: int) -> np.ndarray:
  """Token by token."""
  pool, outs = _pool(123.0), []
  for p in range(end):
    out, pool = _feed(64, [(OWN, p, p + 1)], pool)
    outs.append(out)
  return np.concatenate(outs)


@pytest.fixture(scope='module')
def alone() -> np.ndarray:
  return _alone(150)


def test_token_by_token_is_causal_attention_whatever_the_pages_held(alone: np.ndarray) -> None:
  np.testing.assert_allclose(alone, _plain(150), atol=1e-5)


@pytest.mark.parametrize(('rows', 'cuts'), [(256, [0, 150]), (64, [0, 64, 128, 150]), (128, [0, 1, 70, 71, 72, 150])])
def test_a_prefill_in_any_pieces_and_of_any_size_has_the_bits_of_token_by_token(alone: np.ndarray, rows: int, cuts: list[int]) -> None:
  pool, outs = _pool(-7.0), []
  for start, end in itertools.pairwise(cuts):
    out, pool = _feed(rows, [(OWN, start, end)], pool)
    outs.append(out)
  np.testing.assert_array_equal(np.concatenate(outs), alone)


def test_neighbors_that_share_pages_or_need_more_of_them_change_no_bit(alone: np.ndarray) -> None:
  _, pool = _feed(256, [(OWN, 0, 128)], _pool(0.0))  # two full pages, shared by all
  sequences = [(OWN[:2] + [21 + i], 128, 129 + i) for i in range(9)]
  out, pool = _feed(64, sequences, pool)
  at = 0
  for i in range(9):
    np.testing.assert_array_equal(out[at : at + 1 + i], alone[128 : 129 + i])
    at += 1 + i
  # Beside a sequence of five pages, of which it sees none.
  _, pool = _feed(512, [([30, 31, 32, 33, 34], 0, LONGEST - 1)], pool)
  out, _ = _feed(64, [([30, 31, 32, 33, 34], LONGEST - 1, LONGEST), (OWN[:2] + [29], 137, 138)], pool)
  np.testing.assert_allclose(out[0], _plain(LONGEST)[-1], atol=1e-5)
  np.testing.assert_array_equal(out[1], _again(pool, 137))


def _again(pool: Pool, position: int) -> np.ndarray:
  return _feed(64, [(OWN[:2] + [29], position, position + 1)], pool)[0][0]


def test_only_the_layers_own_pages_at_the_tokens_places_are_written() -> None:
  _, pool = _feed(64, [(OWN, 60, 70)], _pool(9.0), layer=1)
  k, v = (np.asarray(x).reshape(LAYERS, PAGES, *x.shape[1:]) for x in pool)
  np.testing.assert_array_equal(v[1, 7, :, 60:64], STORY[2][60:64].transpose(1, 0, 2))
  np.testing.assert_array_equal(v[1, 3, :, :6], STORY[2][64:70].transpose(1, 0, 2))
  np.testing.assert_array_equal(k[1, 7, :, :, 60:64], STORY[1][60:64].transpose(1, 2, 0))
  assert (k[0] == 9).all() and (v[0] == 9).all()
  written = {page for page in range(PAGES) if (v[1, page] != 9).any()}
  assert written == {0, 7, 3}  # page 0 takes what is over


def test_rows_without_a_token_are_finite() -> None:
  todo = work.plan([], 64, BLOCKS)
  zeros = [np.zeros((64, *x.shape[1:]), np.float32) for x in STORY]
  out, _ = _run(0, todo, np.zeros(64, np.int32), np.zeros(64, np.int32), *zeros, _pool(np.nan))
  assert (np.asarray(out) == 0).all()


def test_both_orders_of_a_page_hold_and_give_the_same() -> None:
  by_head = _feed(256, [(OWN, 0, 200)], _pool(5.0))
  by_token = _feed(256, [(OWN, 0, 200)], TokenPages(jnp.full((LAYERS * PAGES, S, K * 2 * E), 5.0)))
  np.testing.assert_allclose(by_head[0], by_token[0], atol=1e-6)
  k, v = np.split(np.asarray(by_token[1].kv).reshape(LAYERS * PAGES, S, K, 2 * E), 2, axis=-1)
  np.testing.assert_array_equal(by_head[1].k, k.transpose(0, 2, 3, 1))
  np.testing.assert_array_equal(by_head[1].v, v.transpose(0, 2, 1, 3))
