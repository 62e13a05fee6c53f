"""Packing: every token once, never across segments, fixed shapes."""

from __future__ import annotations

import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from inftool_jax.data import packing


@dataclasses.dataclass(frozen=True)
class Tokens:
  tokens: tuple[int, ...]
  loss_mask: tuple[bool, ...]
  logprobs: tuple[float, ...]


@st.composite
def sequences(draw: st.DrawFn) -> Tokens:
  tokens = draw(st.lists(st.integers(1, 999), max_size=20))
  mask = [False, *(draw(st.booleans()) for _ in tokens[1:])][: len(tokens)]
  return Tokens(tuple(tokens), tuple(mask), tuple(-float(t) if m else math.nan for t, m in zip(tokens, mask, strict=True)))


many = st.lists(sequences(), max_size=14)
lengths = st.integers(1, 24)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(many, lengths)
def test_every_token_is_in_one_row_once_and_in_order(given: list[Tokens], row_length: int) -> None:
  packed = packing.pack(given, row_length)
  dropped = {d.sequence: d.length for d in packed.dropped}
  for index, sequence in enumerate(given):
    rows, columns = np.nonzero(packed.sequence_BxT == index)
    if index in dropped:
      assert len(rows) == 0 and dropped[index] == len(sequence.tokens) and not 0 < dropped[index] <= row_length
      continue
    assert len(set(rows)) == 1 and list(columns) == list(range(columns[0], columns[0] + len(sequence.tokens)))
    here = rows[0], columns
    assert tuple(packed.tokens_BxT[here]) == sequence.tokens
    assert tuple(packed.loss_mask_BxT[here]) == sequence.loss_mask
    assert list(packed.positions_BxT[here]) == list(range(len(sequence.tokens)))
    assert len(set(packed.segments_BxT[here])) == 1
    np.testing.assert_array_equal(packed.logprobs_BxT[here], np.where(sequence.loss_mask, sequence.logprobs, 0.0).astype(np.float32))
  kept = sum(len(s.tokens) for i, s in enumerate(given) if i not in dropped)
  assert (packed.segments_BxT > 0).sum() == kept


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(many, lengths)
def test_a_trained_token_is_predicted_from_its_own_segment(given: list[Tokens], row_length: int) -> None:
  packed = packing.pack(given, row_length)
  assert not packed.loss_mask_BxT[:, :1].any()
  trained = packed.loss_mask_BxT[:, 1:]
  assert (packed.segments_BxT[:, 1:] == packed.segments_BxT[:, :-1])[trained].all()
  assert (packed.positions_BxT[:, 1:] == packed.positions_BxT[:, :-1] + 1)[trained].all()


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(many, lengths)
def test_segments_count_up_from_one_and_padding_is_at_the_end(given: list[Tokens], row_length: int) -> None:
  packed = packing.pack(given, row_length)
  padding = packed.segments_BxT == 0
  assert ((packed.sequence_BxT == -1) == padding).all()
  assert not packed.tokens_BxT[padding].any() and not packed.loss_mask_BxT[padding].any()
  for segments in packed.segments_BxT:
    used = segments[segments > 0]
    assert list(segments[: len(used)]) == list(used) and list(np.unique(used)) == list(range(1, used.max() + 1))
    assert (np.diff(used) >= 0).all()


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(many, lengths, st.randoms(use_true_random=False))
def test_rows_taken_in_any_order_and_put_together_are_the_same_rows(given: list[Tokens], row_length: int, rng) -> None:
  packed = packing.pack(given, row_length)
  order = rng.sample(range(packed.rows), packed.rows)
  half = len(order) // 2
  joined = packing.concatenate(packing.take(packed, order[:half]), packing.take(packed, order[half:]))
  assert packing.concatenate(packing.empty(0, row_length), packed).rows == packed.rows
  for field in dataclasses.fields(packed):
    if field.name != 'dropped':
      whole, part = getattr(packed, field.name), getattr(joined, field.name)
      np.testing.assert_array_equal(part, whole[order])
      assert part.dtype == whole.dtype
  np.testing.assert_array_equal(packing.take(packed, slice(1)).tokens_BxT, packed.tokens_BxT[:1])


def _plain(length: int) -> Tokens:
  return Tokens(tuple(range(1, length + 1)), (False,) * length, (math.nan,) * length)


def test_first_fit_by_hand() -> None:
  packed = packing.pack([_plain(n) for n in (4, 3, 7, 2, 9, 1, 0)], 6)
  assert packed.sequence_BxT.tolist() == [[0, 0, 0, 0, 3, 3], [1, 1, 1, 5, -1, -1]]
  assert packed.segments_BxT.tolist() == [[1, 1, 1, 1, 2, 2], [1, 1, 1, 2, 0, 0]]
  assert [(d.sequence, d.length) for d in packed.dropped] == [(2, 7), (4, 9), (6, 0)]
  assert 'longer than a row of 6' in packed.dropped[0].reason and packed.dropped[2].reason == 'empty'


def test_a_trained_token_without_log_probability_shows_as_nan() -> None:
  packed = packing.pack([Tokens((1, 2, 3), (False, True, True), (math.nan, -0.5, math.nan))], 4)
  np.testing.assert_array_equal(packed.logprobs_BxT, np.array([[0, -0.5, math.nan, 0]], np.float32))


def test_what_cannot_be_aligned_is_refused() -> None:
  with pytest.raises(ValueError, match='first token'):
    packing.pack([Tokens((1, 2), (True, True), (0.0, 0.0))], 4)
  with pytest.raises(ValueError, match='differ in length'):
    packing.pack([Tokens((1, 2), (False,), (0.0, 0.0))], 4)
  with pytest.raises(ValueError, match='row length'):
    packing.pack([], 0)
