"""The TPU's kernel over pages, run by interpretation: plain attention, and the same bits in any company."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.models import page_kernel, paged
from inftool_jax.models.paged import Pool, TokenPages
from inftool_jax.sampling import work

H, K, E, S, LAYERS, PAGES, BLOCKS = 6, 2, 128, 16, 2, 40, 4
rng = np.random.default_rng(0)
LONGEST = BLOCKS * S
Q, KEYS, VALUES = (rng.normal(size=(LONGEST, heads, E)).astype(np.float32) for heads in (H, K, K))
OWN = [7, 3, 11, 5]


class _Shape:
  heads, kv_heads, head_dim = H, K, E


@functools.partial(jax.jit, static_argnums=0)
def _run(layer: int, todo, positions, pages, q, k, v, pool: Pool):
  cache = paged.opened(pool, _Shape, todo)
  out, cache = paged.attention(todo, positions, pages, LAYERS, interpret=True)(layer, q[None], k[None], v[None], cache)
  return out[0], cache.pool


def _pool(fill: float) -> TokenPages:
  return TokenPages(jnp.full((LAYERS * PAGES, S, K * 2 * E), fill))


def _feed(rows: int, what: list[tuple[list[int], int, int]], pool: TokenPages) -> tuple[np.ndarray, TokenPages]:
  """Feeds positions [start, end) of one story to sequences of the given pages, in one batch of `rows`."""
  where = [(pages, p) for pages, start, end in what for p in range(start, end)]
  arrays = [np.zeros((rows, *x.shape[1:]), np.float32) for x in (Q, KEYS, VALUES)]
  for x, source in zip(arrays, (Q, KEYS, VALUES)):
    x[: len(where)] = source[[p for _, p in where]]
  positions, page = np.zeros((2, rows), np.int32)
  positions[: len(where)] = [p for _, p in where]
  page[: len(where)] = [pages[p // S] for pages, p in where]
  seen = [np.array(pages[: p // S + 1], np.int32) for pages, p in where]
  out, pool = _run(1, work.plan(seen, rows, BLOCKS), positions, page, *arrays, pool)
  return np.asarray(out)[: len(where)], pool


def _plain(end: int) -> np.ndarray:
  q, k, v = (x[:end].astype(np.float64) for x in (Q, KEYS, VALUES))
  k, v = np.repeat(k, H // K, axis=1), np.repeat(v, H // K, axis=1)
  scores = np.where(np.tri(end, dtype=bool), np.einsum('the,she->hts', q, k) / np.sqrt(E), -np.inf)
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  return np.einsum('hts,she->the', weights / weights.sum(-1, keepdims=True), v)


def test_a_prefill_is_causal_attention_whatever_the_pages_held() -> None:
  out, pool = _feed(64, [(OWN, 0, 50)], _pool(77.0))
  np.testing.assert_allclose(out, _plain(50), atol=1e-5)
  values = np.asarray(pool.kv).reshape(LAYERS, PAGES, S, K, 2, E)[..., 1, :]
  np.testing.assert_array_equal(values[1, 5, :2], VALUES[48:50])
  assert (values[0] == 77).all() and (values[1, 5, 2:] == 77).all()


def test_company_of_any_kind_changes_no_bit() -> None:
  alone, pool = _feed(64, [(OWN, 0, 50)], _pool(-3.0))
  one, _ = _feed(64, [(OWN, 49, 50)], pool)  # each of its pages an item of its own
  np.testing.assert_array_equal(one[0], alone[49])
  shared = [(OWN[:3] + [20 + i], 48, 50) for i in range(9)]  # pages of eighteen queries: items of eight, and what is left over
  many, _ = _feed(64, shared, pool)
  for i in range(9):
    np.testing.assert_array_equal(many[2 * i : 2 * i + 2], alone[48:50])


def test_more_items_than_one_call_takes_are_done_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
  whole, _ = _feed(64, [(OWN, 0, 50)], _pool(0.0))
  monkeypatch.setattr(page_kernel, 'CHUNK', 96)  # does not divide the items there may be
  jax.clear_caches()
  parts, _ = _feed(64, [(OWN, 0, 50)], _pool(0.0))
  jax.clear_caches()  # no other test is to find what was compiled with it
  np.testing.assert_array_equal(parts, whole)


def test_a_batch_that_is_full_of_items_is_done_to_the_last() -> None:
  fresh = iter(range(1, PAGES))
  stories = [[next(fresh) for _ in range(BLOCKS)] for _ in range(9)]
  _, pool = _feed(640, [(pages, 0, LONGEST) for pages in stories], _pool(0.0))
  out, _ = _feed(9, [(pages, LONGEST - 1, LONGEST) for pages in stories], pool)  # nine rows that each see four pages of their own
  np.testing.assert_allclose(out, np.repeat(_plain(LONGEST)[-1:], 9, axis=0), atol=1e-5)


def test_results_without_room_are_refused() -> None:
  numbers = jnp.zeros((64, 1), jnp.int32)
  with pytest.raises(ValueError, match='results of 64 items of 1 queries from entry 32 on do not fit 95 entries'):
    page_kernel.attend(jnp.zeros((1, K, 8, E)), _pool(0.0).kv, numbers[:, 0], numbers, numbers, 1, page_kernel.empty(95, K, 3, E), 32)


def test_rows_without_a_token_are_finite() -> None:
  zeros = [np.zeros((64, *x.shape[1:]), np.float32) for x in (Q, KEYS, VALUES)]
  out, _ = _run(0, work.plan([], 64, BLOCKS), np.zeros(64, np.int32), np.zeros(64, np.int32), *zeros, _pool(np.nan))
  assert (np.asarray(out) == 0).all()


@pytest.mark.parametrize(('head_size', 'page', 'taken'), [(128, 16, True), (256, 128, True), (64, 128, False), (128, 8, False)])
def test_heads_and_pages_of_whole_tiles_are_taken(head_size: int, page: int, taken: bool) -> None:
  assert page_kernel.fits(head_size, page) is taken
  config = type('Shape', (), dict(heads=2, kv_heads=1, head_dim=head_size))
  pool = TokenPages(jnp.zeros((2, page, 2 * head_size)))
  room = paged.opened(pool, config, work.plan([], 64, 1)).partials
  assert isinstance(room, paged._Joined) is taken
