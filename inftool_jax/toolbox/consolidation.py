"""Many tools to fewer: rounds of embedding, clustering, discrimination and abstraction.

  T(r+1) = union over clusters k of (U_k + {A(R_k)})

with R_k the groups of redundant tools in cluster k, U_k its other tools and A the abstraction (InfTool, arXiv 2512.23611). Tools with
different effects, or kept apart (by split), are never in one cluster, so no discriminator or abstraction can merge them.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inftool_jax.toolbox.abstraction import Abstraction, Merged, SchemaUnion
from inftool_jax.toolbox.embedding import Embedder, TfidfEmbedder
from inftool_jax.toolbox.neighbours import NeighbourGraph, Neighbours, Pairs
from inftool_jax.toolbox.redundancy import Discriminator, Group, SchemaOverlap
from inftool_jax.types import Effect, Tool

DELTA = 0.65
MAX_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Method:
  """The four parts, each replaceable by one of the same interface, and the cosine above which tools are neighbours."""

  embedder: Embedder = dataclasses.field(default_factory=TfidfEmbedder)
  neighbours: Neighbours = dataclasses.field(default_factory=NeighbourGraph)
  discriminator: Discriminator = dataclasses.field(default_factory=SchemaOverlap)
  abstraction: Abstraction = dataclasses.field(default_factory=SchemaUnion)
  delta: float = DELTA


@dataclasses.dataclass(frozen=True)
class Merge:
  """One line of the log: in `round`, `members` (name, server) became the tool `name` of `server`, because of `reason`."""

  round: int
  name: str
  server: str
  effect: Effect
  members: tuple[tuple[str, str], ...]
  cosine: float  # lowest of those that joined the members
  reason: str
  renamed: Mapping[str, str]
  added: tuple[str, ...]
  dropped: tuple[str, ...]

  def __str__(self) -> str:
    others = ', '.join(f'{server}.{name}' for name, server in self.members[1:])
    told = [f'{self.server}.{self.name} stands for {others} (cosine {self.cosine:.2f}): {self.reason}']
    told += [f'renamed {", ".join(f"{a} to {b}" for a, b in self.renamed.items())}'] if self.renamed else []
    told += [f'added {", ".join(self.added)}'] if self.added else []
    told += [f'dropped {", ".join(self.dropped)}'] if self.dropped else []
    return '; '.join(told)


@dataclasses.dataclass(frozen=True)
class Consolidation:
  """`tools` in the order of those they were. `sizes`: how many there were at first and after each round."""

  tools: tuple[Tool, ...]
  merges: tuple[Merge, ...]
  sizes: tuple[int, ...]


def consolidate(
  tools: Sequence[Tool],
  method: Method | None = None,
  target: int = 0,
  apart: Mapping[str, str] | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> Consolidation:
  """Merges redundant tools until `target` are left, or a round changes nothing.

  A merged tool stays with the server that has the most tools of the group's (the first of equals), so that two servers that overlap
  merge into one of them. `apart` (server -> label, such as its split) keeps servers of different labels apart; a server without one has
  the label ''. The closest groups are merged first, so that `target` is not undershot. `progress` hears (round, tools left). Deterministic.
  Raises ValueError for two tools of one name.
  """
  method, labels = method or Method(), apart or {}
  if len({t.name for t in tools}) < len(tools):
    twice = collections.Counter(t.name for t in tools).most_common(1)[0][0]
    raise ValueError(f'two tools are called {twice}; give each a name of its own')
  counts = collections.Counter(t.server for t in tools)
  rank = {server: i for i, server in enumerate(sorted(counts, key=lambda s: -counts[s]))}  # stable: first come, first of equals
  current, merges, sizes = tuple(tools), [], [len(tools)]
  while len(sizes) <= MAX_ROUNDS and len(current) > max(target, 1):
    current, made = _round(current, method, target, labels, rank, len(sizes))
    if not made:
      break
    merges += made
    sizes.append(len(current))
    if progress is not None:
      progress(len(sizes) - 1, len(current))
  return Consolidation(current, tuple(merges), tuple(sizes))


def _round(
  tools: tuple[Tool, ...], method: Method, target: int, labels: Mapping[str, str], rank: Mapping[str, int], number: int,
) -> tuple[tuple[Tool, ...], list[Merge]]:  # fmt: skip
  pairs = _pairs(tools, method, labels)
  found: list[tuple[list[int], Group]] = []
  for rows, inside in clusters(tools, pairs, labels, rank):
    found += [(rows, group) for group in method.discriminator.groups([tools[i] for i in rows], inside)]
  found.sort(key=lambda f: (-f[1].cosine, f[0][f[1].members[0]]))
  current: dict[int, Tool] = dict(enumerate(tools))
  made: list[Merge] = []
  for rows, group in found:
    members = [tools[rows[i]] for i in group.members]
    if len(current) - len(members) + 1 >= target:
      merged = method.abstraction.merge(members)
      _check(merged, members)
      for i in group.members[1:]:
        del current[rows[i]]
      current[rows[group.members[0]]] = merged.tool
      made.append(Merge(
        number, merged.tool.name, merged.tool.server, merged.tool.effect, tuple((t.name, t.server) for t in members), group.cosine,
        group.reason, merged.renamed, merged.added, merged.dropped))
  return tuple(current.values()), made


def _kinds(tools: Sequence[Tool], labels: Mapping[str, str]) -> np.ndarray:
  """A number for each tool, equal where effect and label are: only these may be merged."""
  codes: dict[tuple[str, str], int] = {}
  return np.array([codes.setdefault((t.effect, labels.get(t.server, '')), len(codes)) for t in tools], dtype=int)


def _pairs(tools: Sequence[Tool], method: Method, labels: Mapping[str, str]) -> Pairs:
  """The neighbours of one kind among all tools' vectors; those of different kinds are not even compared."""
  vectors, kinds = method.embedder.embed(tools), _kinds(tools, labels)
  found: list[Pairs] = []
  for kind in range(kinds.max(initial=-1) + 1):
    rows = np.flatnonzero(kinds == kind)
    part = method.neighbours.pairs(vectors[rows], method.delta)
    found.append(Pairs(rows[part.first], rows[part.second], part.cosine))
  first, second, cosine = (np.concatenate([getattr(p, name) for p in found]) for name in ('first', 'second', 'cosine'))
  order = np.lexsort((second, first))
  return Pairs(first[order], second[order], cosine[order])


def clusters(
  tools: Sequence[Tool], pairs: Pairs, labels: Mapping[str, str], rank: Mapping[str, int],
) -> list[tuple[list[int], Pairs]]:  # fmt: skip
  """The connected parts of the neighbour graph with two tools or more: rows of `tools`, and the pairs among them.

  Only pairs of one effect and label connect. Rows are ordered by their server's rank, then as given; the pairs count in that order.
  """
  from scipy.sparse import coo_matrix
  from scipy.sparse.csgraph import connected_components

  kinds = _kinds(tools, labels)
  pairs = pairs.where(kinds[pairs.first] == kinds[pairs.second])
  graph = coo_matrix((np.ones(len(pairs)), (pairs.first, pairs.second)), shape=(len(tools), len(tools)))
  cluster_of = connected_components(graph, directed=False)[1]
  members: dict[int, list[int]] = {}
  for row in sorted({*pairs.first.tolist(), *pairs.second.tolist()}):
    members.setdefault(int(cluster_of[row]), []).append(row)
  inside: dict[int, list[int]] = {}
  for k, cluster in enumerate(cluster_of[pairs.first].tolist()):
    inside.setdefault(cluster, []).append(k)
  out = []
  for cluster, rows in members.items():
    rows.sort(key=lambda row: (rank[tools[row].server], row))
    place = {row: i for i, row in enumerate(rows)}
    part = pairs.where(np.array(inside[cluster]))
    out.append((rows, Pairs(
      np.array([place[i] for i in part.first.tolist()]), np.array([place[i] for i in part.second.tolist()]), part.cosine)))
  return out


def _check(merged: Merged, members: Sequence[Tool]) -> None:
  """What every abstraction must keep, or what is held out would leak."""
  home, tool = members[0], merged.tool
  kept = (tool.name, tool.server, tool.effect) == (home.name, home.server, home.effect)
  if not kept or any(origin not in tool.lineage for member in members for origin in member.lineage):
    raise ValueError(f'the abstraction of {home.name} lost its name, server, effect or part of its lineage')
