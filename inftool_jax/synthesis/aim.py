"""Planning aimed at one place: the same bench, with the choice of server or tool taken."""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Sequence

from inftool_jax.synthesis.bench import Bench
from inftool_jax.toolbox import graph
from inftool_jax.types import KINDS, Tool


def at_servers(bench: Bench, servers: Collection[str]) -> Bench:
  """The bench on which only `servers` are picked; distractors still come from all. Nothing is computed again."""
  other = copy.copy(bench)
  other.weights = {(kind, server): float(server in servers) for kind in KINDS for server in bench.by_server}
  return other


def at_gold(bench: Bench, gold: Sequence[Tool]) -> Bench:
  """The bench on which the tools of `gold` are picked to be called: the first, or a dependent path from first to last.

  A maker may still put another tool beside the first one; who needs them all looks at what was made.
  """
  return _AtGold(bench, gold)


def at_offered(bench: Bench, offered: Sequence[Tool], called: Sequence[Tool]) -> Bench:
  """The bench on which a tool of `called` is picked and all distractors are of `offered`."""
  return _AtOffered(bench, offered, called)


class _AtOffered(Bench):
  def __init__(self, bench: Bench, offered: Sequence[Tool], called: Sequence[Tool]) -> None:
    vars(self).update(vars(bench))
    self._bench, self._offered, self._called = bench, tuple(offered), tuple(called)

  def pick_server(self, kind: str, rng: random.Random, among: Sequence[str] | None = None) -> str:
    return rng.choice(self._called).server

  def pick_tool(self, kind: str, rng: random.Random) -> Tool:
    return rng.choice(self._called)

  def siblings(self, tool: Tool, rng: random.Random) -> list[Tool]:
    others = [t for t in self._offered if t.name != tool.name]
    return rng.sample(others, len(others))

  def look_alikes(self, tool: Tool) -> tuple[Tool, ...]:
    return ()

  def strangers(self, tools: Sequence[Tool], rng: random.Random, count: int) -> list[Tool]:
    return []

  def edges_into(self, tool: Tool) -> tuple[graph.Edge, ...]:
    names = {t.name for t in self._offered}
    return tuple(edge for edge in self._bench.edges_into(tool) if {edge.source_tool, tool.name} <= names)


class _AtGold(Bench):
  def __init__(self, bench: Bench, gold: Sequence[Tool]) -> None:
    vars(self).update(vars(bench))  # all but the choices is the other bench's, computed there already
    self._bench, self._first, self._last = bench, gold[0], gold[-1]

  def pick_server(self, kind: str, rng: random.Random, among: Sequence[str] | None = None) -> str:
    return self._first.server

  def pick_tool(self, kind: str, rng: random.Random) -> Tool:
    return self._first

  def look_alikes(self, tool: Tool) -> tuple[Tool, ...]:
    return self._bench.look_alikes(tool)

  def edges_into(self, tool: Tool) -> tuple[graph.Edge, ...]:
    if tool.name != self._last.name:
      return ()
    return tuple(edge for edge in self._bench.edges_into(tool) if edge.source_tool == self._first.name)
