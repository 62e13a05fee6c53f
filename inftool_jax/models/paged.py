"""Attention over a paged KV cache, for prefill and decode alike.

Queries come as one flat batch of tokens, each of any sequence at any position. What has to be done is a list of items, made on the
host (`sampling.work`): a page and the queries that look at it. Queries of one sequence's chunk and of sequences that share a prefix look at
their common pages together, so that keys and values are read once for all of them. Each item yields a partial softmax; a query's
partials are folded in the order of its pages. Neither step depends on what else is in the batch: a query gets the same bits alone,
in company, in a prefill and in a decode (invariant 4).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models import page_kernel
from inftool_jax.models.attention import HEADS, MASKED
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import placing

Array = Any  # numpy's or JAX's
SINGLES, GROUPS = 32, 16  # items that are attended to at a time: enough to keep the cores busy, few enough to stay in their caches
GROUP = 8  # queries of a grouped item at most
NONE = 32  # entries of partial results before those of items; blocks that the kernel writes divide it


# Keys and values of all layers, S tokens to a page: page p of layer l is at l * P + p, and page 0 takes writes that nobody reads. Flat
# arrays, donated and carried through the layers: as the scan's inputs and outputs there would be a second pool.


class HeadPages(NamedTuple):
  """Where scores are read from a page as a plain matrix product: on a CPU it takes half the time of other orders (2026-11-30)."""

  k: Array  # [L * P, K, E, S]
  v: Array  # [L * P, K, S, E]


class TokenPages(NamedTuple):
  """Where a token's keys and values lie together: a TPU writes them in place in no other order, but into a copy of the whole."""

  kv: Array  # [L * P, S, K * 2 * E]: of each head the key, then the value


Pool = HeadPages | TokenPages


class Work(NamedTuple):
  """Who looks at which page. `single` items have one query, `group` items up to `GROUP` of them; what pads an item is never found."""

  single_page_I: Array  # int32
  single_block_I: Array  # the page's place in its sequence
  single_row_I: Array  # the query's place in the batch
  singles: Array  # how many of them are real
  group_page_J: Array
  group_block_J: Array
  group_row_JxQ: Array
  groups: Array
  found_CxN: Array  # where the partial result of a query (N) and the block of its sequence (C) is; 0: it has none
  blocks: Array  # the most that a query has


class _Partials(NamedTuple):
  """Softmax over a part of the keys, unnormalized: the first `NONE` entries are over none. Not cleared between layers: what is stale is
  never found."""

  top: Array  # [X, K, G] float32
  total: Array  # [X, K, G] float32
  out: Array  # [X, K, G, E] float32


class _Joined(NamedTuple):
  """The same as `page_kernel` has it."""

  all: Array  # [X, K, R, E + LANES] float32


class Cache(NamedTuple):
  pool: Pool
  partials: _Partials | _Joined


# Logical axes: on a mesh the heads are divided.
PARTIAL_AXES: dict[type, tuple[tuple[str, ...], ...]] = {
  _Partials: (('whole', 'attended_heads', 'whole'),) * 2 + (('whole', 'attended_heads', 'whole', 'head'),),
  _Joined: (('whole', 'attended_heads', 'whole', 'head'),),
}
POOL_AXES: dict[type, tuple[tuple[str, ...], ...]] = {
  HeadPages: (('whole', 'attended_heads', 'head', 'whole'), ('whole', 'attended_heads', 'whole', 'head')),
  TokenPages: (('whole', 'whole', 'attended_heads'),),
}


def kind(platform: str) -> type[HeadPages] | type[TokenPages]:
  return TokenPages if platform == 'tpu' else HeadPages


def empty_pool(config: DecoderConfig, pages: int, size: int, platform: str) -> Pool:
  c, dtype = config, jnp.dtype(config.compute_dtype)
  if kind(platform) is TokenPages:
    return TokenPages(jnp.zeros((c.layers * pages, size, c.kv_heads * 2 * c.head_dim), dtype))
  heads = (c.layers * pages, c.kv_heads)
  return HeadPages(jnp.zeros((*heads, c.head_dim, size), dtype), jnp.zeros((*heads, size, c.head_dim), dtype))


def page_size(pool: Pool) -> int:
  return pool[-1].shape[2 if isinstance(pool, HeadPages) else 1]


def opened(pool: Pool, config: DecoderConfig, work: Work) -> Cache:
  """The pool with room for the results of the work's items."""
  c, entries = config, NONE + work.single_page_I.shape[0] + work.group_row_JxQ.size
  shape = (entries, c.kv_heads, c.heads // c.kv_heads)
  empty: _Partials | _Joined
  if isinstance(pool, TokenPages) and page_kernel.fits(c.head_dim, page_size(pool)):
    empty = _Joined(page_kernel.empty(*shape, c.head_dim))
  else:
    empty = _Partials(jnp.full(shape, MASKED), jnp.zeros(shape), jnp.zeros((*shape, c.head_dim)))
  return Cache(pool, type(empty)(*(placing.constrain(x, *names) for x, names in zip(empty, PARTIAL_AXES[type(empty)]))))


def attention(work: Work, positions_N: Array, page_N: Array, layers: int, interpret: bool = False):
  """`attend` for a batch [1, N] of tokens: writes their keys and values at `page_N`, then attends to the pages of `work`.

  `interpret` is for a pool as TPUs have it on a platform that has no kernels for them.
  """
  plain = tuple(jax.tree.leaves((work, positions_N, page_N)))

  def attend(layer, q_1xNxHxE, k_1xNxKxE, v_1xNxKxE, cache: Cache):
    # On a mesh every device does this for its own heads.
    axes = *POOL_AXES[type(cache.pool)], *PARTIAL_AXES[type(cache.partials)]
    whole = tuple(('whole',) * np.ndim(x) for x in (layer, *plain))
    arrays, made = jax.tree.flatten(cache)

    def own(q, k, v, *rest):
      part = jax.tree.unflatten(made, rest[: len(axes)])
      out, part = _attention(layers, interpret, q, k, v, part, *rest[len(axes) :])
      return out, *jax.tree.leaves(part)

    function = placing.by_shard(own, (HEADS, HEADS, HEADS, *axes, *whole), (HEADS, *axes))
    out, *arrays = function(q_1xNxHxE, k_1xNxKxE, v_1xNxKxE, *arrays, layer, *plain)
    return out, jax.tree.unflatten(made, arrays)

  return attend


def _attention(layers: int, interpret: bool, q_1xNxHxE, k_1xNxKxE, v_1xNxKxE, cache: Cache, layer, *plain):
  """(result [1, N, H, E], cache)."""
  (pool, partials), work, (positions_N, page_N) = cache, Work(*plain[:-2]), plain[-2:]
  (_, N, H, E), K, S = q_1xNxHxE.shape, k_1xNxKxE.shape[2], page_size(pool)
  first = layer * (pool[0].shape[0] // layers)
  pool = _written(pool, first + page_N, positions_N % S, k_1xNxKxE[0], v_1xNxKxE[0])
  q_NxKxGxE = (q_1xNxHxE[0] * (1 / math.sqrt(E))).reshape(N, K, H // K, E)
  if isinstance(partials, _Joined):
    partials = _by_kernel(q_NxKxGxE, positions_N, pool, first, work, partials, interpret)
  else:
    partials = _item_by_item(q_NxKxGxE, positions_N, pool, first, work, partials)
  out_NxKxGxE = _folded(partials, work, N, H // K, E)
  return out_NxKxGxE.reshape(1, N, H, E).astype(q_1xNxHxE.dtype), Cache(pool, partials)


def _by_kernel(q_NxKxGxE, positions_N, pool: Pool, first, work: Work, partials: _Joined, interpret: bool) -> _Joined:
  R, S = partials.all.shape[2], page_size(pool)
  q_NxKxRxE = jnp.pad(q_NxKxGxE.astype(jnp.float32), ((0, 0), (0, 0), (0, R - q_NxKxGxE.shape[2]), (0, 0)))

  def attended(page_I, block_I, row_IxQ, count, entry: int, into):
    last_IxQ = positions_N[row_IxQ] - block_I[:, None] * S
    return page_kernel.attend(q_NxKxRxE, pool[0], first + page_I, row_IxQ, last_IxQ, count, into, entry, interpret)

  one, several = NONE, NONE + work.single_page_I.shape[0]  # where their results begin
  into = attended(work.single_page_I, work.single_block_I, work.single_row_I[:, None], work.singles, one, partials.all)
  return _Joined(attended(work.group_page_J, work.group_block_J, work.group_row_JxQ, work.groups, several, into))


def _item_by_item(q_NxKxGxE, positions_N, pool: Pool, first, work: Work, partials: _Partials) -> _Partials:
  def singles(i, partials):
    page, block, row = (_slice(x, i, SINGLES) for x in (work.single_page_I, work.single_block_I, work.single_row_I))
    found = _attend(q_NxKxGxE, positions_N, pool, first + page, block, row[:, None])
    return _kept(partials, found, NONE + i * SINGLES)

  def groups(i, partials):
    page, block, row = (_slice(x, i, GROUPS) for x in (work.group_page_J, work.group_block_J, work.group_row_JxQ))
    found = _attend(q_NxKxGxE, positions_N, pool, first + page, block, row)
    return _kept(partials, found, NONE + work.single_page_I.shape[0] + i * GROUPS * row.shape[1])

  partials = jax.lax.fori_loop(0, -(-work.singles // SINGLES), singles, partials)
  return jax.lax.fori_loop(0, -(-work.groups // GROUPS), groups, partials)


def _slice(x, i, size):
  return jax.lax.dynamic_slice_in_dim(x, i * size, size)


def _written(pool: Pool, page_N, offset_N, k_NxKxE, v_NxKxE) -> Pool:
  k, v = (x.astype(pool[0].dtype) for x in (k_NxKxE, v_NxKxE))
  if isinstance(pool, TokenPages):
    rows = jnp.concatenate([k, v], axis=-1).reshape(len(k), -1)
    return TokenPages(pool.kv.at[page_N, offset_N].set(rows, mode='promise_in_bounds'))
  return HeadPages(
    pool.k.at[page_N, :, :, offset_N].set(k, mode='promise_in_bounds'), pool.v.at[page_N, :, offset_N].set(v, mode='promise_in_bounds')
  )


def _read(pool: Pool, page_I, heads: int):
  """Keys [I, K, E, S] and values [I, K, S, E] of the pages."""
  read = [x.at[page_I].get(mode='promise_in_bounds') for x in pool]
  if isinstance(pool, HeadPages):
    return read
  k, v = jnp.split(read[0].reshape(*read[0].shape[:2], heads, -1), 2, axis=-1)
  return k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)


def _attend(q_NxKxGxE, positions_N, pool: Pool, page_I, block_I, row_IxQ) -> _Partials:
  """Of each item's queries, in the order of the items."""
  (items, Q), (_, K, G, E), S = row_IxQ.shape, q_NxKxGxE.shape, page_size(pool)
  k_IxKxExS, v_IxKxSxE = _read(pool, page_I, K)
  q_IxQxKxGxE = q_NxKxGxE.at[row_IxQ].get(mode='promise_in_bounds')
  q_IxKxMxE = q_IxQxKxGxE.transpose(0, 2, 1, 3, 4).reshape(items, K, Q * G, E)
  last_IxM = jnp.repeat(positions_N[row_IxQ] - block_I[:, None] * S, G, axis=1)
  scores = jnp.einsum('ikme,ikes->ikms', q_IxKxMxE, k_IxKxExS, preferred_element_type=jnp.float32)
  scores = jnp.where(jnp.arange(S) <= last_IxM[:, None, :, None], scores, MASKED)
  top = scores.max(axis=-1)
  # A query that sees none of the page's keys weighs them all with 1 here, and the whole page with exp(MASKED - ..) = 0 later.
  weights = jnp.exp(scores - top[..., None])
  out = jnp.einsum('ikms,ikse->ikme', weights.astype(v_IxKxSxE.dtype), v_IxKxSxE, preferred_element_type=jnp.float32)

  def by_query(x):
    return jnp.moveaxis(x.reshape(items, K, Q, G, *x.shape[3:]), 2, 1).reshape(items * Q, K, G, *x.shape[3:])

  return _Partials(by_query(top), by_query(weights.sum(axis=-1)), by_query(out))


def _kept(partials: _Partials, new: _Partials, start) -> _Partials:
  return _Partials(*(jax.lax.dynamic_update_slice_in_dim(all_, x, start, 0) for all_, x in zip(partials, new)))


def _folded(partials: _Partials | _Joined, work: Work, N: int, G: int, E: int):
  """[N, K, G, E] float32: each query's partial results put together, page by page."""

  def at(found_N) -> _Partials:
    found = type(partials)(*(x.at[found_N].get(mode='promise_in_bounds') for x in partials))
    if isinstance(found, _Partials):
      return found
    x_NxKxGxE = found.all[:, :, :G]
    return _Partials(x_NxKxGxE[..., E + page_kernel.TOP], x_NxKxGxE[..., E + page_kernel.TOTAL], x_NxKxGxE[..., :E])

  def fold(block, carry):
    top, total, out = carry
    more_top, more_total, more_out = at(jax.lax.dynamic_index_in_dim(work.found_CxN, block, keepdims=False))
    new_top = jnp.maximum(top, more_top)
    keep, add = jnp.exp(top - new_top), jnp.exp(more_top - new_top)
    return new_top, total * keep + more_total * add, out * keep[..., None] + more_out * add[..., None]

  shape = (N, partials[0].shape[1], G)
  start = jnp.full(shape, MASKED), jnp.zeros(shape), jnp.zeros((*shape, E))
  _, total, out = jax.lax.fori_loop(0, work.blocks, fold, start)
  return out / jnp.maximum(total, 1e-30)[..., None]  # a row without a token has no keys
