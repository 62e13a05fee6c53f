"""Which domain a server belongs to: at most so many as wanted, under names that the specifications use."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inftool_jax.specs import effects
from inftool_jax.toolbox.terms import telling
from inftool_jax.types import Tool

if TYPE_CHECKING:
  from scipy.sparse import csr_matrix

COUNT = 15
OTHER = 'other'
_SAYS_NOTHING = frozenset(
  'other others misc miscellaneous tools tool data default general api apis unknown uncategorized none public'.split())
_STATED_WEIGHT = 3  # the stated domain's words among those of all tools
_SWEEPS = 20
_TERMS = 4  # told of a domain


@dataclasses.dataclass(frozen=True)
class Domain:
  """`label` is what most of its servers state, of what is no other domain's; `terms` what its tools speak of most."""

  label: str
  terms: tuple[str, ...]
  servers: tuple[str, ...]


def domains(tools: Sequence[Tool], count: int = COUNT) -> tuple[Domain, ...]:
  """The servers of `tools` in at most `count` domains, the largest first.

  Spherical k-means over the words of each server's tools, begun with the servers that state one of the `count` domains stated most
  often; so there are no more domains than stated ones. What says nothing, or has no word in common with a domain, is in 'other', which
  counts as one of them. Raises ValueError for a count below 2.
  """
  if count < 2:
    raise ValueError(f'at least 2 domains are needed, one of them for the rest; got {count}')
  members: dict[str, list[Tool]] = {}
  for tool in tools:
    members.setdefault(tool.server, []).append(tool)
  stated = {server: _stated(of) for server, of in members.items()}
  frequent = collections.Counter(s for s in stated.values() if s)
  starts = sorted(frequent, key=lambda s: (-frequent[s], s))[: count - 1]
  placed = dict.fromkeys(members, -1)
  if starts:
    vectors, vocabulary = _vectors(members, stated)
    begin = np.array([starts.index(s) if s in starts else -1 for s in stated.values()])
    found, centers = _k_means(vectors, begin, len(starts))
    placed = dict(zip(members, found.tolist()))
  out = []
  taken: set[str] = set()
  for k in sorted({*placed.values()}, key=lambda k: (-sum(p == k for p in placed.values()), k)):
    servers = tuple(server for server, p in placed.items() if p == k)
    if k < 0:
      out.append(Domain(OTHER, (), servers))
      continue
    foremost = tuple(str(vocabulary[i]) for i in np.argsort(-centers[k], kind='stable')[:_TERMS] if centers[k][i] > 0)
    said = collections.Counter(stated[s] for s in servers if stated[s] and stated[s] not in taken)
    label = min(said, key=lambda s: (-said[s], s)) if said else ' '.join(foremost[:2])
    taken.add(label)
    out.append(Domain(label.replace('_', ' '), foremost, servers))
  return tuple(out)


def _stated(tools: Sequence[Tool]) -> str:
  """The domain that most tools of a server state, '' where it says nothing."""
  counts = collections.Counter(t.domain for t in tools if t.domain and t.domain not in _SAYS_NOTHING)
  return counts.most_common(1)[0][0] if counts else ''


def _vectors(members: Mapping[str, Sequence[Tool]], stated: Mapping[str, str]) -> tuple[csr_matrix, np.ndarray]:
  """A row of TF-IDF weights for each server, and the terms of the columns."""
  from sklearn.feature_extraction.text import TfidfVectorizer

  documents = [
    [*_subjects(f'{server} {stated[server]}') * _STATED_WEIGHT, *(w for t in of for w in _subjects(f'{t.name} {t.description}'))]
    for server, of in members.items()]
  vectorizer = TfidfVectorizer(analyzer=list, sublinear_tf=True)
  return vectorizer.fit_transform(documents).tocsr(), vectorizer.get_feature_names_out()


def _subjects(text: str) -> list[str]:
  """Its words without verbs, which are the same in every domain, and single letters."""
  return [w for w in telling(text) if (len(w) > 1 or not w.isascii()) and effects.of_words([w]) is None]


def _k_means(vectors: csr_matrix, begin: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
  """The center of each row, -1 where it shares no term with any; and the centers, [centers, terms], of norm 1 (0: nobody's)."""
  from scipy.sparse import csr_matrix
  from sklearn.preprocessing import normalize

  placed = begin
  for _ in range(_SWEEPS):
    rows = np.flatnonzero(placed >= 0)
    membership = csr_matrix((np.ones(len(rows)), (placed[rows], rows)), shape=(count, vectors.shape[0]))
    centers = normalize(membership @ vectors).toarray()
    scores = np.round(vectors @ centers.T, 6)
    found = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    if np.array_equal(found, placed):
      break
    placed = found
  return placed, centers
