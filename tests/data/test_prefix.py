"""Groups behind one copy of their prompt: each sample still sees exactly its own tokens."""

from __future__ import annotations

import collections
import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from inftool_jax.data import packing, prefix
from inftool_jax.data.packing import Packed


@dataclasses.dataclass(frozen=True)
class Tokens:
  tokens: tuple[int, ...]
  loss_mask: tuple[bool, ...]
  logprobs: tuple[float, ...]


def _sequence(tokens: list[int], mask: list[bool]) -> Tokens:
  return Tokens(tuple(tokens), tuple(mask), tuple(-float(t) - 0.5 if m else math.nan for t, m in zip(tokens, mask, strict=True)))


@st.composite
def groups(draw: st.DrawFn) -> list[Tokens]:
  """Samples that share a prompt, or part of one, or nothing; few token values, so that accidents happen."""
  token = st.integers(1, 3)
  prompt = draw(st.lists(token, max_size=8))
  out = []
  for _ in range(draw(st.integers(0, 5))):
    start = prompt if draw(st.integers(0, 4)) else draw(st.lists(token, max_size=8))
    end = draw(st.lists(st.tuples(token, st.booleans()), max_size=8))
    mask = [False] * len(start) + [m for _, m in end]
    out.append(_sequence([*start, *(t for t, _ in end)], [False, *mask[1:]] if mask else []))
  return out


several = st.lists(groups(), max_size=4)
lengths = st.integers(1, 24)
quick = hypothesis.settings(max_examples=80, deadline=None)


def _flat(given: list[list[Tokens]]) -> list[Tokens]:
  return [s for group in given for s in group]


def _visible(packed: Packed, row: int, column: int) -> np.ndarray:
  """Columns that the token at `column` attends to, as `models.attention.segment_attention` defines it."""
  segments, parent = packed.segments_BxT[row], packed.parents_BxT[row, column]
  columns = np.arange(packed.row_length)
  return columns[(columns <= column) & ((segments == segments[column]) | (segments == parent))]


@quick
@hypothesis.given(several, lengths)
def test_each_sample_sees_its_own_tokens_and_nothing_else(given: list[list[Tokens]], row_length: int) -> None:
  packed = prefix.pack_groups(given, row_length)
  dropped = {d.sequence for d in packed.dropped}
  for index, sequence in enumerate(_flat(given)):
    rows, columns = np.nonzero(packed.sequence_BxT == index)
    if index in dropped:
      assert len(rows) == 0
      continue
    row, last = rows[0], columns[-1]
    assert set(rows) == {row} and len(set(packed.segments_BxT[row, columns])) == 1
    seen = _visible(packed, row, last)
    assert tuple(packed.tokens_BxT[row, seen]) == sequence.tokens
    assert list(packed.positions_BxT[row, seen]) == list(range(len(sequence.tokens)))


@quick
@hypothesis.given(several, lengths)
def test_every_trained_token_is_trained_once(given: list[list[Tokens]], row_length: int) -> None:
  packed = prefix.pack_groups(given, row_length)
  dropped = {d.sequence for d in packed.dropped}
  wanted = collections.Counter(
    (i, position, s.tokens[position], s.logprobs[position])
    for i, s in enumerate(_flat(given))
    if i not in dropped
    for position, trained in enumerate(s.loss_mask)
    if trained
  )
  mask = packed.loss_mask_BxT
  found = zip(packed.sequence_BxT[mask], packed.positions_BxT[mask], packed.tokens_BxT[mask], packed.logprobs_BxT[mask], strict=True)
  assert collections.Counter((int(i), int(p), int(t), float(x)) for i, p, t, x in found) == wanted
  assert not packed.logprobs_BxT[~mask].any()


@quick
@hypothesis.given(several, lengths)
def test_a_trained_token_is_predicted_by_the_column_before_it(given: list[list[Tokens]], row_length: int) -> None:
  packed = prefix.pack_groups(given, row_length)
  assert not packed.loss_mask_BxT[:, :1].any()
  trained = packed.loss_mask_BxT[:, 1:]
  assert (packed.segments_BxT[:, 1:] == packed.segments_BxT[:, :-1])[trained].all()
  assert (packed.positions_BxT[:, 1:] == packed.positions_BxT[:, :-1] + 1)[trained].all()


@quick
@hypothesis.given(several, lengths)
def test_what_does_not_fit_is_listed_and_nothing_else_is_lost(given: list[list[Tokens]], row_length: int) -> None:
  packed = prefix.pack_groups(given, row_length)
  too_long = [(i, len(s.tokens)) for i, s in enumerate(_flat(given)) if not 0 < len(s.tokens) <= row_length]
  assert [(d.sequence, d.length) for d in packed.dropped] == too_long
  assert all(str(row_length) in d.reason for d in packed.dropped)
  kept = set(range(len(_flat(given)))) - {i for i, _ in too_long}
  assert set(packed.sequence_BxT[packed.sequence_BxT >= 0].tolist()) == kept


@quick
@hypothesis.given(several, lengths)
def test_rows_are_segments_in_order_with_parents_first_and_padding_last(given: list[list[Tokens]], row_length: int) -> None:
  packed = prefix.pack_groups(given, row_length)
  for segments, parents, mask in zip(packed.segments_BxT, packed.parents_BxT, packed.loss_mask_BxT):
    used = segments[segments > 0]
    assert list(segments[: len(used)]) == list(used) and list(np.unique(used)) == list(range(1, used.max() + 1))
    assert (np.diff(used) >= 0).all()
    for segment in np.unique(used):
      (parent,) = set(parents[segments == segment])
      assert parent == -1 or (0 < parent < segment and set(parents[segments == parent]) == {-1} and not mask[segments == parent].any())
    assert (parents[len(used) :] == -1).all()


@quick
@hypothesis.given(several, lengths)
def test_it_never_needs_more_columns_than_packing_without_sharing(given: list[list[Tokens]], row_length: int) -> None:
  shared, plain = prefix.pack_groups(given, row_length), packing.pack(_flat(given), row_length)
  assert (shared.segments_BxT > 0).sum() <= (plain.segments_BxT > 0).sum()


def _group(prompt: int, ends: list[int]) -> list[Tokens]:
  """Samples of `ends` trained tokens, each token with a value of its own, behind one prompt."""
  start = list(range(1, prompt + 1))
  return [_sequence([*start, *range(10 * (i + 1), 10 * (i + 1) + end)], [False] * prompt + [True] * end) for i, end in enumerate(ends)]


def test_the_example_of_the_module() -> None:
  packed = prefix.pack_groups([_group(4, [2, 3])], 12)
  assert packed.tokens_BxT.tolist() == [[1, 2, 3, 4, 10, 11, 4, 20, 21, 22, 0, 0]]
  assert packed.segments_BxT.tolist() == [[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 0, 0]]
  assert packed.parents_BxT.tolist() == [[-1, -1, -1, 1, 1, 1, 1, 1, 1, 1, -1, -1]]
  assert packed.positions_BxT.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 0, 0]]
  assert packed.loss_mask_BxT.astype(int).tolist() == [[0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0]]
  assert packed.sequence_BxT.tolist() == [[-1, -1, -1, 0, 0, 0, 1, 1, 1, 1, -1, -1]]


def test_a_group_longer_than_a_row_is_split_and_its_prompt_repeated() -> None:
  packed = prefix.pack_groups([_group(4, [3, 3, 3, 3, 3])], 11)
  assert packed.rows == 3 and packed.tokens_BxT[:, :4].tolist() == [[1, 2, 3, 4]] * 3
  assert [sorted(set(row[row >= 0])) for row in packed.sequence_BxT] == [[0, 1], [2, 3], [4]]


def test_a_shorter_group_fills_the_room_behind_another() -> None:
  packed = prefix.pack_groups([_group(4, [2, 2]), _group(3, [9]), _group(2, [2, 1])], 16)
  assert packed.rows == 2
  assert packed.segments_BxT[0, 9:15].tolist() == [4, 5, 5, 5, 6, 6]
  assert packed.parents_BxT[0, 9:15].tolist() == [-1, 4, 4, 4, 4, 4]
  assert packed.sequence_BxT[0, 9:15].tolist() == [-1, 3, 3, 3, 4, 4]


@pytest.mark.parametrize(
  ('group', 'shared'),
  [
    ([], 0),
    (_group(4, [3]), 0),  # no one to share with
    (_group(4, [3, 2]), 3),
    (_group(1, [3, 2]), 0),  # the last token of the prompt is each sample's own
    ([_sequence([1, 2, 3], [False, False, True]), _sequence([1, 2, 3], [False, False, True])], 1),  # never a trained token
    ([_sequence([1, 2], [False, False]), _sequence([1, 2], [False, False])], 1),  # nothing trained, nothing lost
    ([_sequence([1, 2, 3], [False] * 3), _sequence([2, 2, 3], [False] * 3)], 0),
  ],
)
def test_how_much_of_a_group_is_shared(group: list[Tokens], shared: int) -> None:
  assert prefix.shared_length(group) == shared


@pytest.mark.parametrize('samples', [1, 2])
def test_what_cannot_be_aligned_is_refused_as_in_packing(samples: int) -> None:
  with pytest.raises(ValueError, match='first token'):
    prefix.pack_groups([[Tokens((1, 2), (True, True), (0.0, 0.0))] * samples], 4)
  with pytest.raises(ValueError, match='differ in length'):
    prefix.pack_groups([[Tokens((1, 2), (False, True), (0.0,))] * samples], 4)
  with pytest.raises(ValueError, match='differ in length'):
    prefix.pack_groups([[Tokens((1, 2), (False,), (0.0, 0.0))] * samples], 4)
  with pytest.raises(ValueError, match='row length'):
    prefix.pack_groups([], 0)
