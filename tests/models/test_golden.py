"""Logits that transformers' torch models gave for the same weights (`tests/models/torch_models.py` writes them), without torch."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from inftool_jax.models import attention, decoder
from tests.models import reference
from tests.models.small import SMALL, weights


@pytest.mark.parametrize('name', SMALL)
def test_logits_are_those_of_torch(name: str) -> None:
  config, params = SMALL[name], weights(SMALL[name])
  with np.load(Path(__file__).parent / 'golden' / (re.sub(r'[^a-z0-9]+', '_', name) + '.npz')) as file:
    tokens, golden = file['tokens'], file['logits']
  limit = 1e-4 * np.abs(golden).max()
  assert np.abs(reference.logits(params, config, tokens.tolist()) - golden).max() < limit

  @jax.jit
  def run(params):
    segments = np.ones((1, len(tokens)), np.int32)
    attend = attention.segment_attention(segments, -segments)
    hidden, _ = decoder.forward(params, config, tokens[None], np.arange(len(tokens))[None], attend)
    return decoder.logits(params, hidden[0])

  assert np.abs(run(params) - golden).max() < limit
