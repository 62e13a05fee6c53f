from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.play.ledger import NOT_SAMPLED, Ledger
from inftool_jax.types import Sample

ids = st.lists(st.integers(0, 9), max_size=5)


@given(st.lists(st.tuples(st.sampled_from(['context', 'scripted', 'sampled']), ids), max_size=8))
def test_columns_stay_aligned_and_say_who_wrote_what(pieces):
  ledger = Ledger()
  expected = []
  for version, (who, tokens) in enumerate(pieces):
    if who == 'sampled':
      ledger.sampled(Sample(tuple(tokens), (-0.5,) * len(tokens), 'stop', version))
    else:
      getattr(ledger, who)(tokens)
    expected += [(t, who != 'context', who == 'sampled', version if who == 'sampled' else NOT_SAMPLED) for t in tokens]
  columns = zip(ledger.tokens, ledger.loss_mask, (not math.isnan(p) for p in ledger.logprobs), ledger.versions, strict=True)
  assert list(columns) == expected
  assert len(ledger) == len(expected)


@pytest.mark.parametrize('logprobs', [(-0.1,), (-0.1, math.nan)])
def test_a_sampled_token_without_its_log_probability_is_refused(logprobs):
  ledger = Ledger()
  with pytest.raises(ValueError, match='log-probabilit'):
    ledger.sampled(Sample((1, 2), logprobs, 'stop', 0))
  assert len(ledger) == 0
