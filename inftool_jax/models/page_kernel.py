"""Attention of queries to pages of the cache as a Pallas kernel for TPU.

The grid goes through the items of `paged.Work`, as many as there are, several pages at a time: while some are computed, the next are on
their way to the chip, for their numbers are known before. A query's rows of a product do not depend on those beside it, so that it gets
the same bits alone and in company (invariant 4). What an item yields is one array, for it is written and read in one piece: in the first
E lanes the values mixed, behind them the largest score (`TOP`) and the sum of the weights (`TOTAL`).
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from inftool_jax.models.attention import MASKED

LANES, SUBLANES = 128, 8
TOP, TOTAL = 0, 1  # lanes behind the values
CHUNK = 4096  # queries of a call at most: their numbers must fit a chip's scalar memory
AT_ONCE = 16, 4  # items of one query, or of several, in a cell of the grid: a page alone arrives faster than a cell begins
BUFFERED = 4 * 2**20  # bytes of pages in a cell at most
VMEM = 48 * 2**20  # bytes of a chip's vector memory that a call may take


def fits(head_size: int, page: int) -> bool:
  """Whether the kernel takes heads of this size and pages of so many tokens."""
  return head_size % LANES == 0 and page % (2 * SUBLANES) == 0


def rows(group: int) -> int:
  """R, the query heads of a key/value head, filled up to whole tiles."""
  return -(-group // SUBLANES) * SUBLANES


def empty(entries: int, kv_heads: int, group: int, head_size: int) -> jax.Array:
  """Room for results [X, K, R, E + LANES], float32, each of them over no key."""
  none = jnp.where(jnp.arange(head_size + LANES) == head_size + TOP, MASKED, 0.0)
  return jnp.broadcast_to(none, (entries, kv_heads, rows(group), head_size + LANES))


def attend(q_NxKxRxE, kv_PxSxC, page_I, row_IxQ, last_IxQ, count, into, entry: int, interpret: bool = False):
  """`into` with the results of `count` items at its entries from `entry` on, Q for each.

  Args:
    q_NxKxRxE: float32, scaled; rounded to the keys' dtype.
    kv_PxSxC: the pool, C = K * 2 * E; see `paged.TokenPages`.
    page_I: int32, the page of an item, in the pool.
    row_IxQ: int32, the queries of an item.
    last_IxQ: int32, the last token of the page that a query sees; below 0 it sees none.
    count: int32 scalar, how many items are real.
    into: see `empty`. Behind `entry` there is room for all of `page_I`; what is beyond `count` may be written to.
    interpret: runs the kernel's code as ordinary operations, on any platform and slowly.

  Raises:
    ValueError: `into` has no room for all items, or they and their entries do not come in whole cells.
  """
  capacity, Q = row_IxQ.shape
  if entry + capacity * Q > into.shape[0]:
    raise ValueError(f'results of {capacity} items of {Q} queries from entry {entry} on do not fit {into.shape[0]} entries')
  n = at_once(Q, math.prod(kv_PxSxC.shape[1:]) * kv_PxSxC.dtype.itemsize)
  if capacity % n or entry % (n * Q):
    raise ValueError(f'{capacity} items of {Q} queries with results from entry {entry} on are not done {n} at a time')
  chunk = min(capacity, CHUNK // Q // n * n)

  def some(part, into):
    # The last part begins earlier where the items do not fill it; some are then done again.
    start = jnp.minimum(part * chunk, capacity - chunk)
    cut = lambda x: jax.lax.dynamic_slice_in_dim(x, start, chunk)
    scalars = cut(page_I), cut(row_IxQ).reshape(-1), cut(last_IxQ).reshape(-1), jnp.reshape((entry // Q + start) // n, 1)
    return _call(q_NxKxRxE, kv_PxSxC, scalars, -(-jnp.minimum(count - start, chunk) // n), into, Q, n, interpret)

  return jax.lax.fori_loop(0, -(-count // chunk), some, into)


def at_once(queries: int, page_bytes: int) -> int:
  """Items in a cell of the grid, a power of 2."""
  return min(AT_ONCE[queries > 1], 1 << max(1, BUFFERED // page_bytes).bit_length() - 1)


def _call(q_NxKxRxE, kv_PxSxC, scalars, cells, into, Q: int, n: int, interpret: bool):
  _, K, R, E = q_NxKxRxE.shape
  _, S, C = kv_PxSxC.shape
  page = lambda place: pl.BlockSpec((1, S, C), lambda i, page, row, last, first: (page[i * n + place], 0, 0))
  return pl.pallas_call(
    functools.partial(_kernel, Q),
    grid_spec=pltpu.PrefetchScalarGridSpec(
      num_scalar_prefetch=len(scalars),
      grid=(cells,),
      in_specs=[
        pl.BlockSpec(q_NxKxRxE.shape, lambda i, *_: (0, 0, 0, 0), pipeline_mode=pl.Buffered(1)),
        *(page(place) for place in range(n)),
        pl.BlockSpec(memory_space=pl.ANY),
      ],
      out_specs=pl.BlockSpec((n * Q, K, R, E + LANES), lambda i, page, row, last, first: (first[0] + i, 0, 0, 0)),
    ),
    out_shape=jax.ShapeDtypeStruct(into.shape, into.dtype),
    input_output_aliases={len(scalars) + 1 + n: 0},
    compiler_params=pltpu.CompilerParams(dimension_semantics=('parallel',), vmem_limit_bytes=VMEM),
    name=name(Q),
    interpret=interpret,
  )(*scalars, q_NxKxRxE, *[kv_PxSxC] * n, into)


def name(queries: int) -> str:
  """Of the kernel for items of so many queries, as it is called in the compiled program."""
  return 'one_to_a_page' if queries == 1 else 'several_to_a_page'


def result_bytes(queries: int, kv_heads: int, group: int, head_size: int) -> int:
  """What an item writes."""
  return 4 * queries * kv_heads * rows(group) * (head_size + LANES)


def _kernel(Q: int, page_I, row_X, last_X, first, q_ref, *refs):
  del page_I, first
  *pages, _, out_ref = refs
  _, K, R, E = q_ref.shape
  S, begin = pages[0].shape[1], pl.program_id(0) * len(pages) * Q
  place = jax.lax.broadcasted_iota(jnp.int32, (Q * R, S), 0) // R
  token = jax.lax.broadcasted_iota(jnp.int32, (Q * R, S), 1)
  lane = jax.lax.broadcasted_iota(jnp.int32, (Q * R, LANES), 1)
  for n, ref in enumerate(pages):
    items = [begin + n * Q + p for p in range(Q)]
    last = functools.reduce(lambda found, p: jnp.where(place == p, last_X[items[p]], found), range(Q), jnp.full_like(place, -1))
    for head in range(K):
      k, v = (ref[0, :, (2 * head + i) * E : (2 * head + i + 1) * E] for i in range(2))
      q = jnp.concatenate([q_ref[row_X[item], head] for item in items], axis=0).astype(k.dtype)
      scores = jax.lax.dot_general(q, k, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
      scores = jnp.where(token <= last, scores, MASKED)
      top = scores.max(axis=1, keepdims=True)
      weights = jnp.exp(scores - top)
      out = jnp.dot(weights.astype(v.dtype), v, preferred_element_type=jnp.float32)
      behind = jnp.where(lane == TOP, top, jnp.where(lane == TOTAL, weights.sum(axis=1, keepdims=True), 0.0))
      for p in range(Q):
        out_ref[n * Q + p, head, :, :E] = out[p * R : (p + 1) * R]
        out_ref[n * Q + p, head, :, E:] = behind[p * R : (p + 1) * R]
