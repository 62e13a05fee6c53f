from __future__ import annotations

import pytest

from tests.support.chats import small_tokenizer


@pytest.fixture(scope='session')
def tokenizer(tmp_path_factory):
  return small_tokenizer(tmp_path_factory.mktemp('tokenizer'))
