"""The self-test tells backends that keep the promise from those that do not."""

from __future__ import annotations

from inftool_jax.sampling import selftest
from inftool_jax.sampling.sampler import BatchedSampler
from tests.models import small
from tests.sampling.driving import SIZES


def test_a_sampler_that_keeps_its_promise(sampler: BatchedSampler) -> None:
  assert selftest.reproducible(sampler)
  assert sampler.pages_in_use == 0 and not sampler._sessions


def test_a_sampler_that_does_not() -> None:
  # Heads of 8: XLA's CPU kernels give a query other bits beside others than alone.
  assert not selftest.reproducible(BatchedSampler(small.weights(small.CONFIG), small.CONFIG, SIZES))
