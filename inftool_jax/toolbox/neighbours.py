"""Which tools are near each other: all pairs of rows whose cosine is above delta, without a square matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
  from scipy.sparse import csr_matrix

WINDOW = 200
_CHUNK = 100_000  # pairs scored at once
_KEYS = 5_000_000  # candidates held before repeats are dropped for the first time
_BLOCK = 1024  # dense rows compared at once


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Pairs of rows, `first` < `second`, ordered by first, then second. `cosine` is rounded to 6 digits."""

  first: np.ndarray  # [pairs] int64
  second: np.ndarray
  cosine: np.ndarray  # [pairs] float64

  def __len__(self) -> int:
    return len(self.first)

  def where(self, kept: np.ndarray) -> Pairs:
    return Pairs(self.first[kept], self.second[kept], self.cosine[kept])


class Neighbours(Protocol):
  """`pairs` of the rows of `vectors` (norm 1 or 0) with a cosine above `delta`."""

  def pairs(self, vectors: csr_matrix | np.ndarray, delta: float) -> Pairs: ...


class NeighbourGraph:
  """Sparse vectors through an inverted index, dense ones block by block.

  Of sparse vectors only those terms are looked up, rarest first, without which a row could not reach delta (prefix filtering): two rows
  above delta share one of them. Rows that share a term are all compared where there are at most `window` of them; of more, each is with
  the `window` next ones, in the order of their rarest terms. So at most (terms looked up) * `window` pairs are ever scored, and
  time grows with the number of tools.
  """

  def __init__(self, window: int = WINDOW) -> None:
    self.window = window

  def pairs(self, vectors: csr_matrix | np.ndarray, delta: float) -> Pairs:
    if not 0.0 < delta < 1.0:
      raise ValueError(f'delta must lie between 0 and 1, is {delta}')
    chunks = list(_dense(vectors, delta) if isinstance(vectors, np.ndarray) else self._sparse(vectors, delta))
    first, second, cosine = (np.concatenate(c) for c in zip(*chunks)) if chunks else (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], cosine[order])

  def _sparse(self, vectors: csr_matrix, delta: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rows = _rarest_first(vectors)
    looked_up = _prefixes(rows, delta)
    order = np.array(sorted(range(rows.shape[0]), key=lambda i: rows.indices[rows.indptr[i] : rows.indptr[i + 1]].tolist()), dtype=int)
    columns = looked_up[order].tocsc()
    columns.sort_indices()
    keys = _candidates(columns, self.window)
    for start in range(0, len(keys), _CHUNK):
      a, b = np.divmod(keys[start : start + _CHUNK], rows.shape[0])
      a, b = order[a], order[b]
      cosine = np.round(np.asarray(rows[a].multiply(rows[b]).sum(axis=1)).ravel(), 6)
      near = cosine > delta
      yield np.minimum(a, b)[near], np.maximum(a, b)[near], cosine[near]


def _rarest_first(vectors: csr_matrix) -> csr_matrix:
  """The same rows with columns in the order of how many rows have them; of equal ones, as they were."""
  counts = np.bincount(vectors.indices, minlength=vectors.shape[1])
  place = np.empty(vectors.shape[1], dtype=vectors.indices.dtype)
  place[np.argsort(counts, kind='stable')] = np.arange(vectors.shape[1])
  rows = vectors.copy()
  rows.indices = place[vectors.indices]
  rows.has_sorted_indices = False
  rows.sort_indices()
  return rows


def _prefixes(rows: csr_matrix, delta: float) -> csr_matrix:
  """Each row up to where what is left of it is too short for delta: the rest alone cannot bring two rows above it."""
  squares = np.concatenate([[0.0], np.cumsum(rows.data**2)])
  ends = np.repeat(squares[rows.indptr[1:]], np.diff(rows.indptr))
  prefix = rows.copy()
  prefix.data = (ends - squares[:-1] >= delta**2 - 1e-6).astype(float)
  prefix.eliminate_zeros()
  return prefix


def _candidates(columns, window: int) -> np.ndarray:
  """`row * rows + other row` of rows that stand in one column at most `window` places apart, sorted, each once."""
  rows = columns.indices.astype(np.int64)
  column = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
  found: list[np.ndarray] = []
  limit = _KEYS
  for apart in range(1, window + 1):
    same = column[apart:] == column[:-apart]
    if not same.any():
      break
    found.append(rows[:-apart][same] * columns.shape[0] + rows[apart:][same])
    if sum(map(len, found)) > limit:
      found = [_distinct(found)]
      limit = max(_KEYS, 2 * len(found[0]))  # what is sorted again has doubled: no key is sorted more than a few times
  return _distinct(found)


def _distinct(keys: list[np.ndarray]) -> np.ndarray:
  """Sorted, each once. (`np.unique` hashes integers, which takes several times as long.)"""
  together = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
  return together[np.append(True, together[1:] != together[:-1])] if len(together) else together


def _dense(vectors: np.ndarray, delta: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  for start in range(0, len(vectors), _BLOCK):
    cosine = np.round(vectors[start : start + _BLOCK] @ vectors[start:].T, 6).astype(float)
    a, b = np.nonzero(np.triu(cosine > delta, 1))
    yield a + start, b + start, cosine[a, b]
