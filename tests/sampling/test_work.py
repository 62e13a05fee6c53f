"""The items of a dispatch: every query meets each of its pages once, and company shares an item."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.models.paged import GROUP, GROUPS, NONE, SINGLES
from inftool_jax.sampling import work

ROWS, BLOCKS = 64, 6


@st.composite
def batches(draw) -> list[np.ndarray]:
  """Pages of each query: sequences that share a beginning, some of their queries not at the end."""
  fresh = iter(range(1, 10_000))
  trunks = [[next(fresh) for _ in range(draw(st.integers(0, BLOCKS - 1)))] for _ in range(draw(st.integers(1, 4)))]
  out: list[list[int]] = []
  for _ in range(draw(st.integers(0, 20))):
    trunk = draw(st.sampled_from(trunks))
    pages = [*trunk, *(next(fresh) for _ in range(draw(st.integers(1, BLOCKS - len(trunk)))))]
    out += [pages[: draw(st.integers(1, len(pages)))] for _ in range(draw(st.integers(1, 12)))]
  return [np.array(p, np.int32) for p in out[:ROWS]]


@settings(deadline=None)
@given(batches())
def test_a_query_finds_one_result_for_each_of_its_pages_and_no_other(pages: list[np.ndarray]) -> None:
  todo = work.plan(pages, ROWS, BLOCKS)
  singles, groups = len(todo.single_page_I), len(todo.group_page_J)
  results = {NONE + i: (todo.single_page_I[i], todo.single_block_I[i], todo.single_row_I[i]) for i in range(todo.singles)}
  for j in range(todo.groups):
    for q in range(GROUP):
      results[NONE + singles + j * GROUP + q] = (todo.group_page_J[j], todo.group_block_J[j], todo.group_row_JxQ[j, q])
  used = set()
  for row in range(ROWS):
    seen = pages[row] if row < len(pages) else []
    for block in range(BLOCKS):
      found = todo.found_CxN[block, row]
      if block < len(seen):
        assert results[found] == (seen[block], block, row) and found not in used
        used.add(found)
      else:
        assert found == 0
  assert todo.blocks == max((len(p) for p in pages), default=0)
  assert todo.singles <= singles and todo.groups <= groups and singles % SINGLES == 0 and groups % GROUPS == 0


def test_a_page_that_many_look_at_is_read_once_for_eight_of_them() -> None:
  shared = [np.array([5, 6, 10 + i], np.int32) for i in range(16)]
  todo = work.plan(shared, ROWS, BLOCKS)
  assert (todo.singles, todo.groups) == (16, 4)
  pair = work.plan(shared[:2], ROWS, BLOCKS)  # not worth an item of their own
  assert (pair.singles, pair.groups) == (6, 0)


def test_the_shapes_do_not_depend_on_the_load() -> None:
  full = work.plan([np.arange(1 + BLOCKS * i, 1 + BLOCKS * (i + 1)) for i in range(ROWS)], ROWS, BLOCKS)
  same = work.plan([np.arange(1, 1 + BLOCKS)] * ROWS, ROWS, BLOCKS)
  none = work.plan([], ROWS, BLOCKS)
  for a, b, c in zip(full, same, none):
    assert np.shape(a) == np.shape(b) == np.shape(c) and a.dtype == b.dtype == c.dtype == np.int32
  assert full.singles == ROWS * BLOCKS and same.groups == BLOCKS * ROWS // GROUP
