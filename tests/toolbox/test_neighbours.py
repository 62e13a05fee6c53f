"""Pairs above delta, against the square matrix that the search avoids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from inftool_jax.toolbox.embedding import TfidfEmbedder
from inftool_jax.toolbox.neighbours import NeighbourGraph


def by_hand(vectors: np.ndarray, delta: float) -> list[tuple[int, int]]:
  cosine = np.round(vectors @ vectors.T, 6)
  return [(i, j) for i in range(len(vectors)) for j in range(i + 1, len(vectors)) if cosine[i, j] > delta]


def unit(rows: np.ndarray) -> np.ndarray:
  norms = np.linalg.norm(rows, axis=1, keepdims=True)
  return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 40), columns=st.integers(1, 12), delta=st.sampled_from((0.3, 0.6, 0.9)))
def test_sparse_and_dense_search_find_every_pair(seed, rows, columns, delta):
  rng = np.random.default_rng(seed)
  vectors = unit(rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.4))
  close = {(i, j) for i, j in zip(*np.nonzero(np.abs(vectors @ vectors.T - delta) < 1e-5))}  # either is right
  for given_ in (csr_matrix(vectors), vectors):
    pairs = NeighbourGraph().pairs(given_, delta)
    found = list(zip(pairs.first.tolist(), pairs.second.tolist()))
    assert found == sorted(found)
    assert set(found) - close == set(by_hand(vectors, delta)) - close


def test_a_common_term_does_not_make_all_pairs(bundled):
  vectors = TfidfEmbedder().embed(bundled)
  few, many = NeighbourGraph(window=5).pairs(vectors, 0.6), NeighbourGraph().pairs(vectors, 0.6)
  assert {*zip(few.first, few.second)} <= {*zip(many.first, many.second)}
  assert set(zip(many.first.tolist(), many.second.tolist())) == set(by_hand(vectors.toarray(), 0.6))


def test_tools_are_unit_vectors_or_nothing(bundled, tool):
  norms = np.linalg.norm(TfidfEmbedder().embed(bundled).toarray(), axis=1)
  assert norms == pytest.approx(np.ones(len(bundled)))
  assert TfidfEmbedder().embed([tool('', server=''), tool('the', server='')]).nnz == 0
