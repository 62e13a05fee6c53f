"""Whether the backend keeps the sampler's promise: a request's bits do not depend on its company (invariant 4)."""

from __future__ import annotations

import asyncio

import numpy as np

from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.types import Sample, SampleParams

COMPANY = 9  # more than look at a page together, so that items of one query and of several are both met


def reproducible(sampler: BatchedSampler) -> bool:
  """Plays a conversation of two turns alone, among others that open like it, and with its second turn read from its tokens.

  Whether all three are the same, bit for bit. Nothing may be under way; the cache is emptied.
  """
  sizes, rng = sampler.sizes, np.random.default_rng(0)
  new = min(sizes.decode_steps + 1, sizes.context // 8)
  opening = rng.integers(0, sampler.config.vocab, max(1, min(sizes.page * 3 // 2, sizes.context - 3 * new))).tolist()

  async def turn(tokens: list[int], seed: int) -> Sample:
    return await sampler.sample(tokens, SampleParams(seed, new), f'self-test {seed}')

  async def conversation(seed: int) -> tuple[list[int], Sample, Sample]:
    first = await turn(opening, seed)
    history = [*opening, *first.tokens, opening[0]]
    second = await turn(history, seed)
    sampler.release(f'self-test {seed}')
    return history, first, second

  async def together() -> list[tuple[list[int], Sample, Sample]]:
    return await asyncio.gather(*(conversation(seed) for seed in range(COMPANY)))

  async def read_again(history: list[int]) -> Sample:
    second = await turn(history, 0)
    sampler.release('self-test 0')
    return second

  sampler.forget()
  history, first, second = asyncio.run(conversation(0))
  sampler.forget()
  again = asyncio.run(read_again(history))
  sampler.forget()
  among = asyncio.run(together())[0]
  sampler.forget()
  return among == (history, first, second) and again == second
