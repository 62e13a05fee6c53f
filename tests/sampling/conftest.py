from __future__ import annotations

import pytest

from inftool_jax.sampling.sampler import BatchedSampler
from tests.models.small import weights
from tests.sampling.driving import CONFIG, SIZES


@pytest.fixture(scope='session')
def params():
  return weights(CONFIG)


@pytest.fixture(scope='session')
def warm(params) -> BatchedSampler:
  sampler = BatchedSampler(params, CONFIG, SIZES)
  sampler.warm_up()
  return sampler


@pytest.fixture
def sampler(warm: BatchedSampler, params) -> BatchedSampler:
  """The one sampler of these tests, as if it were new: compiled programs, and a cache full of other tests' keys."""
  warm.update(params, 0)
  return warm
