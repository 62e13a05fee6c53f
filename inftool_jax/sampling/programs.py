"""The sampler's compiled programs: prefill a batch of tokens, decode several steps, copy pages.

Both phases are flat batches of tokens, of sizes that follow from the config: so many compilations and no more (invariant 8). A token's
bits depend neither on its neighbors, nor on the batch's size, nor on the phase (invariant 4): matrix products see at least 64 rows, from
where on XLA's CPU kernels give a row the same bits, and attention is put together page by page in either phase.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models import decoder, paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.paged import Pool, Work
from inftool_jax.parallel import placing
from inftool_jax.sampling.drawing import Choice, draw
from inftool_jax.sampling.places import Places

Array = Any  # numpy's or JAX's
MAX_STOPS = 4  # stop ids of a request
MAX_BANS = 16  # banned ids of a request
COPIES = 16  # pages that are copied at a time
FEWEST_ROWS = 64


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
  """What the programs are compiled for."""

  slots: int = 64  # requests that run at once; a conversation that waits for a tool takes none
  context: int = 2048  # tokens per conversation
  page: int = 128  # tokens per page of the cache
  pages: int = 0  # of the cache; 0: what free memory takes, where the device tells, else all slots' whole contexts
  prefill: int = 512  # tokens of a prefill
  decode_steps: int = 8  # steps per dispatch
  int8: bool = False  # the layers' matrices are sampled from in 8 bits

  @property
  def blocks(self) -> int:
    """Pages of a full context."""
    return -(-self.context // self.page)

  @property
  def decode_rows(self) -> tuple[int, ...]:
    """Sizes that decode is compiled for: a dispatch takes the smallest that its requests fit in."""
    return _sizes(self.slots, 2)

  @property
  def prefill_rows(self) -> tuple[int, ...]:
    return _sizes(self.prefill, 4)[-2:]


def _sizes(most: int, step: int) -> tuple[int, ...]:
  sizes = [most]
  while sizes[0] % step == 0 and sizes[0] // step >= FEWEST_ROWS:
    sizes.insert(0, sizes[0] // step)
  return tuple(sizes)


class Tokens(NamedTuple):
  """A prefill: N tokens of any sequences. What is over is written to page 0."""

  token_N: Array  # int32
  position_N: Array  # int32, in its sequence
  page_N: Array  # int32, where its key and value go


class Request(NamedTuple):
  """Arrays of a decode dispatch, a row for each of N requests."""

  steps: Array  # int32 scalar, tokens that are sampled at most
  last_N: Array  # int32, the token to feed next
  length_N: Array  # int32, tokens whose keys and values are in the cache
  active_N: Array  # bool
  remaining_N: Array  # int32, tokens it may still sample
  page_NxA: Array  # int32, pages of the positions from `length` on, as far as this dispatch can come
  stop_NxM: Array  # int32, -1 is unused
  choice: Choice


def empty_tokens(rows: int) -> Tokens:
  return Tokens(*np.zeros((3, rows), np.int32))


def empty_request(config: SamplerConfig, rows: int, vocab: int) -> Request:
  zeros, one = lambda *shape: np.zeros((rows, *shape), np.int32), np.ones(rows, np.float32)
  choice = Choice(
    seed_Nx2=np.zeros((rows, 2), np.uint32), temperature_N=one.copy(), top_p_N=one.copy(), top_k_N=zeros(), min_p_N=0 * one,
    ban_NxM=zeros(MAX_BANS) - 1, constrained_N=np.zeros(rows, bool), allowed_NxW=zeros(-(-vocab // 32)),
  )  # fmt: skip
  return Request(
    steps=np.int32(config.decode_steps), last_N=zeros(), length_N=zeros(), active_N=np.zeros(rows, bool), remaining_N=zeros(),
    page_NxA=zeros(ahead(config)), stop_NxM=zeros(MAX_STOPS) - 1, choice=choice,
  )  # fmt: skip


def ahead(config: SamplerConfig) -> int:
  """Pages that one dispatch can write to."""
  return (config.decode_steps - 1) // config.page + 2


def make(sizes: SamplerConfig, places: Places) -> tuple[Any, Any, Any]:
  """The compiled (prefill, copy, decode), the cache donated: their only jit site.

  They are called as prefill(params, pool, tokens, work), copy(pool, source, target), decode(params, pool, request, work).
  """

  config = dataclasses.replace(places.config, remat='none')  # nothing is differentiated, and what is marked for it is not updated in place

  def prefilled(params, pool, tokens, work):
    with placing.on(places.mesh):
      return prefill(params, config, pool, tokens, work)

  def copied(pool, source, target):
    return copy(config, pool, source, target)

  def decoded(params, pool, request, work):
    with placing.on(places.mesh):
      return decode(params, config, sizes.decode_steps, pool, request, work)

  return (
    jax.jit(prefilled, donate_argnums=1, out_shardings=places.cache),
    jax.jit(copied, donate_argnums=0, out_shardings=places.cache),
    jax.jit(decoded, donate_argnums=1, out_shardings=(places.cache, *[places.whole] * 3)),
  )


def prefill(params, config: DecoderConfig, pool: Pool, tokens: Tokens, work: Work) -> Pool:
  """The pool with the tokens' keys and values. A token may look at what an earlier one of the batch writes: a layer writes first."""
  attend = paged.attention(work, tokens.position_N, tokens.page_N, config.layers)
  cache = paged.opened(pool, config, work)
  return decoder.forward(params, config, tokens.token_N[None], tokens.position_N[None], attend, cache)[1].pool


def copy(config: DecoderConfig, pool: Pool, source_C: Array, target_C: Array) -> Pool:
  """The pool with pages `target` equal to pages `source`, in every layer."""

  def copied(x):
    pages = x.reshape(config.layers, -1, *x.shape[1:])
    return pages.at[:, target_C].set(pages[:, source_C]).reshape(x.shape)

  return type(pool)(*(copied(x) for x in pool))


def decode(params, config: DecoderConfig, most: int, pool: Pool, request: Request, work: Work):
  """Samples for every active row until each has stopped, at most `request.steps` tokens, of which there are no more than `most`.

  Returns:
    The pool; tokens [most, N] int32; log-probabilities [most, N] float32; emitted [most, N] bool.
  """
  size = paged.page_size(pool)
  first_N = request.length_N // size

  def going(state):
    n, (_, _, _, active_N, _), _ = state
    return (n < request.steps) & active_N.any()

  def step(state):
    n, (cache, last_N, length_N, active_N, remaining_N), found = state
    page_N = jnp.take_along_axis(request.page_NxA, (length_N // size - first_N)[:, None], axis=1)[:, 0]
    attend = paged.attention(work, length_N, jnp.where(active_N, page_N, 0), config.layers)
    hidden_1xNxD, cache = decoder.forward(params, config, last_N[None], length_N[None], attend, cache)
    token_N, logp_N = draw(decoder.logits(params, hidden_1xNxD[0]), length_N + 1, request.choice)
    found = tuple(all_.at[n].set(new) for all_, new in zip(found, (token_N, logp_N, active_N)))
    stopped_N = (token_N[:, None] == request.stop_NxM).any(axis=-1)
    remaining_N = remaining_N - active_N
    going_N = active_N & ~stopped_N & (remaining_N > 0)
    return n + 1, (cache, jnp.where(active_N, token_N, last_N), length_N + active_N, going_N, remaining_N), found

  given: Any = request.last_N, request.length_N, request.active_N, request.remaining_N
  found = tuple(jnp.zeros((most, len(request.last_N)), dtype) for dtype in (jnp.int32, jnp.float32, jnp.bool_))
  state: Any = jnp.int32(0), (paged.opened(pool, config, work), *given), found
  _, (cache, *_), found = jax.lax.while_loop(going, step, state)
  return cache.pool, *found
