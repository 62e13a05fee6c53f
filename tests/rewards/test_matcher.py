from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.rewards.matcher import match
from inftool_jax.types import Call

ARGUMENTS = st.dictionaries(st.sampled_from('ab'), st.integers(0, 1), max_size=2)
CALLS = st.lists(st.builds(Call, st.sampled_from(['f', 'g']), ARGUMENTS), max_size=4)


def test_both_empty_is_perfect_and_one_empty_is_nothing():
  assert match([], [], []) == 1
  assert match([Call('f', {})], [], []) == match([], [Call('f', {})], []) == 0


@pytest.mark.parametrize(('predicted', 'expected'), [
  ([('f', {'a': 1, 'b': 2})], 1),
  ([('g', {'a': 1, 'b': 2})], 0),
  ([('f', {'a': 1})], 1 / 2),
  ([('f', {'a': 1, 'b': 3})], 1 / 2),
  ([('f', {'a': 1, 'b': 2, 'c': 3})], 2 / 3),
  ([('f', {'a': 1, 'b': 2}), ('f', {'a': 1, 'b': 2})], 1 / 2),
  ([('f', {'a': 1}), ('f', {'a': 1, 'b': 2.0})], 1 / 2),
])
def test_shares(predicted, expected):
  assert match([Call(*p) for p in predicted], [Call('f', {'a': 1, 'b': 2})], []) == pytest.approx(expected)


def test_defaults_neither_help_nor_hurt(booking):
  gold = [Call('book_room', {'room_id': 'x'})]
  assert match([Call('book_room', {'room_id': 'x', 'seats': 5.0, 'price': None})], gold, [booking]) == 1
  assert match([Call('book_room', {'room_id': 'y', 'seats': 5})], gold, [booking]) == 0


@given(CALLS, CALLS)
@settings(max_examples=60, deadline=None)
def test_is_the_best_of_all_assignments(predicted, gold):
  def pair(p, g):
    union = p.arguments.keys() | g.arguments.keys()
    equal = sum(p.arguments.get(k, -1) == g.arguments.get(k, -2) for k in union)
    return 0 if p.tool != g.tool else equal / len(union) if union else 1
  small, large = sorted((predicted, gold), key=len)
  best = max(sum(map(pair, small, chosen)) for chosen in itertools.permutations(large, len(small)))
  expected = best / len(large) if large else 1
  assert match(predicted, gold, []) == pytest.approx(expected)
  assert match(gold, predicted, []) == pytest.approx(expected)
