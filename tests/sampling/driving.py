"""Requests to a real sampler over a small decoder, and the learner's opinion of what it sampled."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from inftool_jax.models import decoder
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.training import step
from inftool_jax.types import Sample, SampleParams
from tests.models import small

# Heads of at least 16: with smaller ones XLA gives a query other bits in company than alone.
CONFIG = dataclasses.replace(small.CONFIG, head_dim=16)
# 64 rows: the fewest for which a row's bits do not depend on its place (see SamplerConfig).
SIZES = SamplerConfig(slots=64, context=400, page=64, prefill=64, decode_steps=4)
SCORED = (16, 64)  # rows and columns of what the learner scores, one shape for all tests

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Ask:
  """One request; `session` is chosen by the test."""

  tokens: tuple[int, ...]
  params: SampleParams


def prompt(seed: int, length: int) -> tuple[int, ...]:
  return tuple(np.random.default_rng([seed, length]).integers(0, CONFIG.vocab, length).tolist())


def ask(seed: int, length: int, new: int = 8, **params: Any) -> Ask:
  return Ask(prompt(seed, length), SampleParams(seed=seed * 0x1_0000_0001 + 17, max_new_tokens=new, **params))


async def answer(sampler: BatchedSampler, request: Ask, session: str, wait: int = 0, keep: bool = False) -> Sample:
  """The request's sample, asked for `wait` turns of the event loop later."""
  for _ in range(wait):
    await asyncio.sleep(0)
  try:
    return await sampler.sample(request.tokens, request.params, session)
  finally:
    if not keep:
      sampler.release(session)


def run(work: Coroutine[Any, Any, T]) -> T:
  """A hanging sampler fails its test instead of stopping all of them."""
  return asyncio.run(asyncio.wait_for(work, 60))


def assert_same(a: list[Sample], b: list[Sample]) -> None:
  """Bit for bit: tokens, log-probabilities, finish."""
  for one, other in zip(a, b, strict=True):
    assert (one.tokens, one.finish) == (other.tokens, other.finish)
    np.testing.assert_array_equal(np.array(one.logprobs), np.array(other.logprobs))


def one_by_one(sampler: BatchedSampler, params: decoder.Params, requests: Sequence[Ask]) -> list[Sample]:
  """Each request alone under `params`, in a sampler that has forgotten the one before."""

  async def all_of_them() -> list[Sample]:
    out = []
    for i, request in enumerate(requests):
      sampler.update(params, sampler.version)
      out.append(await answer(sampler, request, f'alone {i}'))
    return out

  return run(all_of_them())


@functools.partial(jax.jit, static_argnums=1)
def _score(params, config: DecoderConfig, tokens_RxT: np.ndarray, segments_RxT: np.ndarray) -> jax.Array:
  positions = np.broadcast_to(np.arange(tokens_RxT.shape[1], dtype=np.int32), tokens_RxT.shape)
  return step.score(params, (tokens_RxT, segments_RxT, np.full_like(positions, -1), positions), config)


def learners(params: decoder.Params, sequences: Sequence[Sequence[int]], config: DecoderConfig = CONFIG) -> list[np.ndarray]:
  """The learner's log-probability of every token of each sequence, by `training.step.score`."""
  tokens, segments = np.zeros((2, *SCORED), np.int32)
  for row, sequence in enumerate(sequences):
    tokens[row, : len(sequence)], segments[row, : len(sequence)] = sequence, 1
  return [np.asarray(logp[: len(sequence)]) for logp, sequence in zip(_score(params, config, tokens, segments), sequences)]
