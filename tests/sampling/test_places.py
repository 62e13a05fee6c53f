"""Weights on their way to a sampler."""

from __future__ import annotations

import dataclasses
import weakref

import jax
import numpy as np
import pytest

from inftool_jax.models import decoder, lora
from inftool_jax.sampling.places import Places
from tests.models.small import weights
from tests.sampling.driving import CONFIG

HALF = dataclasses.replace(CONFIG, compute_dtype='bfloat16')


@pytest.mark.parametrize('int8', (False, True))
def test_a_new_weight_comes_after_the_old_one_went(monkeypatch: pytest.MonkeyPatch, int8: bool) -> None:
  places = Places.over(jax.devices()[:1], HALF, int8)
  old = places.params(weights(HALF), HALF)
  there = [weakref.ref(x) for x in jax.tree.leaves(old)]
  put, seen = jax.device_put, []

  def watched(x, *args, **kwargs):
    seen.append(sum(ref() is not None for ref in there))
    return put(x, *args, **kwargs)

  monkeypatch.setattr(jax, 'device_put', watched)
  new = places.params(weights(HALF), HALF, old)
  assert old == {} and seen == list(range(len(there) - 1, -1, -1))
  expected = decoder.served(lora.quantized(weights(HALF)) if int8 else weights(HALF), HALF)
  assert (new['blocks']['up'].dtype == np.int8) == int8
  for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(new), jax.tree.leaves(expected), strict=True):
    np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))
    assert a.dtype == b.dtype and a.committed
