from __future__ import annotations

import pytest

from inftool_jax.rewards import quality as quality_module
from inftool_jax.rewards.quality import EQUIVALENT, MUTANT, quality


def test_no_false_accepts_or_rejects_and_every_rule_is_used(booking, make_tool):
  plain = make_tool('add', {'a': {'type': 'number'}, 'b': {'type': 'number', 'default': 1}}, ('a',))
  rates = quality([booking, plain], seed=3, n=800)
  assert rates.examples == ()
  assert rates.false_accept_rate == rates.false_reject_rate == 0
  assert (rates.equivalents, rates.mutants) == (800, 800)
  assert set(rates.by_rule) == {*EQUIVALENT, *MUTANT}


def test_same_seed_same_pairs(booking):
  assert quality([booking], 1, 50) == quality([booking], 1, 50) != quality([booking], 2, 50)


def test_a_wrong_canonical_is_caught(booking, monkeypatch):
  monkeypatch.setattr(quality_module, 'canonical', lambda call, tool: call.tool)
  assert quality([booking], 0, 20).false_accepts == 20
  monkeypatch.setattr(quality_module, 'canonical', lambda call, tool: repr(call))
  assert quality([booking], 0, 20).false_rejects > 10


def test_needs_something_to_rewrite(make_tool):
  with pytest.raises(ValueError, match='no tool with parameters'):
    quality([make_tool('ping', {})], 0, 1)
