from __future__ import annotations

import pytest

from inftool_jax import specs
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS
from tests.support.chats import small_tokenizer


@pytest.fixture(scope='session')
def tokenizer(tmp_path_factory):
  return small_tokenizer(tmp_path_factory.mktemp('tokenizer'))


@pytest.fixture(scope='session')
def splits():
  ingest = specs.load(specs.bundled_path())
  return specs.split(ingest.tools, 0, ingest.splits)


@pytest.fixture(scope='session')
def held_out(splits):
  """Ten units of every kind on the test servers."""
  return plan(splits.test, dict.fromkeys(KINDS, 10), 3, split='test')
