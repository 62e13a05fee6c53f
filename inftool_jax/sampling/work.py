"""What a dispatch has to attend to, as items for `models.paged`: made on the host, in numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inftool_jax.models.paged import GROUP, GROUPS, NONE, SINGLES, Work

LEAST = 4  # queries that are worth an item of their own kind: fewer are read one by one


def capacities(rows: int, blocks: int) -> tuple[int, int]:
  """(single, group) items of so many rows at most, in whole loops."""
  most = rows * blocks
  return -(-most // SINGLES) * SINGLES, -(-most // (LEAST * GROUPS)) * GROUPS


def plan(pages: Sequence[np.ndarray], rows: int, blocks: int) -> Work:
  """The work of a batch of `rows` queries, the first of which look at the pages of `pages`, each at its own in their order.

  Args:
    pages: int32, of each query the ids of the pages it sees, the first page of its sequence first; at most `blocks` of them.

  Equal ids mean equal places in a sequence: a page is shared by those only whose tokens are the same up to its end.
  """
  counts = np.array([len(p) for p in pages], np.int64)
  page_X = np.concatenate([*pages, np.zeros(0, np.int32)])
  row_X = np.repeat(np.arange(len(pages)), counts)
  block_X = np.arange(len(page_X)) - np.repeat(np.cumsum(counts) - counts, counts)
  order = np.argsort(page_X, kind='stable')
  page_X, row_X, block_X = page_X[order], row_X[order], block_X[order]

  begins_X = np.diff(page_X, prepend=-1) != 0  # where the queries of a page begin
  rank_X = np.arange(len(page_X)) - np.maximum.accumulate(np.where(begins_X, np.arange(len(page_X)), 0))
  place_X = rank_X % GROUP
  item_X = np.cumsum(place_X == 0) - 1
  grouped_X = np.bincount(item_X)[item_X] >= LEAST if len(item_X) else np.zeros(0, bool)
  single_X = np.cumsum(~grouped_X) - 1
  group_X = np.cumsum(grouped_X & (place_X == 0)) - 1

  most_single, most_group = capacities(rows, blocks)
  rows_JxQ = np.zeros((most_group, GROUP), np.int32)
  rows_JxQ[group_X[grouped_X], place_X[grouped_X]] = row_X[grouped_X]
  found_CxN = np.zeros((blocks, rows), np.int32)
  found_CxN[block_X, row_X] = NONE + np.where(grouped_X, most_single + group_X * GROUP + place_X, single_X)
  alone, first = ~grouped_X, grouped_X & (place_X == 0)
  return Work(
    _padded(page_X[alone], most_single), _padded(block_X[alone], most_single), _padded(row_X[alone], most_single), np.int32(alone.sum()),
    _padded(page_X[first], most_group), _padded(block_X[first], most_group), rows_JxQ, np.int32(first.sum()),
    found_CxN, np.int32(counts.max(initial=0)),
  )  # fmt: skip


def _padded(x: np.ndarray, length: int) -> np.ndarray:
  out = np.zeros(length, np.int32)
  out[: len(x)] = x
  return out
