"""Train, dev and test by whole server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.types import Tool

SPLITS = ('train', 'dev', 'test')
SHARES: Mapping[str, float] = {'train': 0.60, 'dev': 0.15, 'test': 0.25}


@dataclasses.dataclass(frozen=True)
class Splits:
  """Tools by split, each in the order it had. A server is in one split only."""

  train: tuple[Tool, ...]
  dev: tuple[Tool, ...]
  test: tuple[Tool, ...]


def split(tools: Sequence[Tool], seed: int, stated: Mapping[str, str] | None = None) -> Splits:
  """Splits `tools` by server: as `stated` (server -> split, an Ingest's `splits`) says, and the rest by hashed order under `seed`.

  Servers that share an origin's server (two versions of one document, a merged tool) are kept together. The rest is divided
  60/15/25 by servers. With three servers or more no split is empty; two make train and test, one is train. Raises ValueError when
  `stated` puts servers that belong together apart.
  """
  families = _families(tools)
  placed: dict[str, str] = {}
  free: list[tuple[str, ...]] = []
  for family in families:
    wanted = {(stated or {})[server]: None for server in family if server in (stated or {})}
    if len(wanted) > 1:
      raise ValueError(f'servers {", ".join(family)} share tools but are stated to be in {" and ".join(wanted)}')
    if wanted:
      placed.update(dict.fromkeys(family, next(iter(wanted))))
    else:
      free.append(family)
  free.sort(key=lambda family: (seeds.derive(seed, 'split', family[0]), family[0]))
  for name, wanted_servers in _quotas(sum(map(len, free)), placed).items():
    taken = 0
    while free and taken < wanted_servers:
      family = free.pop(0)
      placed.update(dict.fromkeys(family, name))
      taken += len(family)
  placed.update({server: 'train' for family in free for server in family})
  return Splits(*(tuple(t for t in tools if placed[t.server] == name) for name in SPLITS))


def _quotas(servers: int, placed: Mapping[str, str]) -> dict[str, int]:
  """How many of the free servers each held-out split gets; what is left is train's."""
  empty = [name for name in ('train', 'test', 'dev') if name not in placed.values()]
  quotas = {name: int(SHARES[name] * servers + 0.5) for name in SPLITS}
  for name in empty[:servers]:
    quotas[name] = max(quotas[name], 1)
  surplus = sum(quotas.values()) - servers
  for name in ('train', 'dev', 'test'):
    give = min(surplus, quotas[name] - (1 if name in empty[:servers] else 0))
    if surplus > 0 and give > 0:
      quotas[name] -= give
      surplus -= give
  return {'test': quotas['test'], 'dev': quotas['dev']}


def _families(tools: Sequence[Tool]) -> list[tuple[str, ...]]:
  """Groups of servers connected by a common origin server, in order of first appearance."""
  parent: dict[str, str] = {}

  def root(node: str) -> str:
    while parent.setdefault(node, node) != node:
      node = parent[node]
    return node

  for tool in tools:
    for origin in tool.lineage:
      parent[root(f'origin {origin.server}')] = root(f'server {tool.server}')
  members: dict[str, dict[str, None]] = {}
  for tool in tools:
    members.setdefault(root(f'server {tool.server}'), {})[tool.server] = None
  return [tuple(group) for group in members.values()]
