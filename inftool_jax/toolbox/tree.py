"""The MCP tree: domain -> server -> tool, over tools without redundancy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from inftool_jax.toolbox import domains
from inftool_jax.toolbox.consolidation import Consolidation, Method, consolidate
from inftool_jax.toolbox.domains import Domain
from inftool_jax.types import JSON, Tool


@dataclasses.dataclass(frozen=True)
class Tree:
  """`consolidation` holds the tools and what became them. Every server with tools left is in one domain."""

  consolidation: Consolidation
  domains: tuple[Domain, ...]

  @property
  def tools(self) -> tuple[Tool, ...]:
    return self.consolidation.tools

  def to_json(self) -> dict[str, JSON]:
    """Counts and the tree itself: domain -> server -> names of its tools."""
    names: dict[str, list[str]] = {}
    for tool in self.tools:
      names.setdefault(tool.server, []).append(tool.name)
    return {
      'sizes': list(self.consolidation.sizes), 'merges': len(self.consolidation.merges),
      'domains': [
        {'label': d.label, 'terms': list(d.terms), 'servers': {s: names[s] for s in d.servers}} for d in self.domains]}


def grow(
  tools: Sequence[Tool],
  method: Method | None = None,
  target: int = 0,
  count: int = domains.COUNT,
  apart: Mapping[str, str] | None = None,
  progress: Callable[[int, int], None] | None = None,
) -> Tree:
  """Consolidates `tools` as `consolidation.consolidate` does, and puts their servers into at most `count` domains."""
  found = consolidate(tools, method, target, apart, progress)
  return Tree(found, domains.domains(found.tools, count))
