"""The tools of one split, ready to plan with: what they do, who looks like whom, and a simulator to run them in."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from inftool_jax.servers.catalog import Catalog, Operation
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.slots import Slot
from inftool_jax.synthesis.wording import lexicon, phrases
from inftool_jax.synthesis.wording.compose import Part
from inftool_jax.synthesis.wording.families import Split
from inftool_jax.toolbox import graph
from inftool_jax.toolbox.similarity import Band, SimilarityIndex
from inftool_jax.types import Tool

Weights = Mapping[tuple[str, str], float]  # (kind, server) -> weight; 1 where nothing is said

BANDS: tuple[Band, ...] = ('near', 'related', 'far')
# How many look-alikes of other servers are kept in mind for a tool.
NEAREST = 12


class Bench:
  """What planning needs to know of a set of tools. Nothing changes after construction but caches.

  `tools` are complete servers of one split: records are shared by all tools of a server, and a play simulates them with
  the same tools.
  """

  def __init__(self, tools: Sequence[Tool], split: Split, weights: Weights | None = None) -> None:
    if not tools:
      raise ValueError('there are no tools to plan with')
    self.tools = tuple(tools)
    self.split: Split = split
    self.simulator = Simulator(self.tools, split)
    self.catalog: Catalog = self.simulator.catalog
    self.weights: Weights = weights or {}
    self.by_server: dict[str, tuple[Tool, ...]] = {}
    for tool in self.tools:
      self.by_server[tool.server] = (*self.by_server.get(tool.server, ()), tool)
    self.by_name = {tool.name: tool for tool in self.tools}
    self.similarity = SimilarityIndex(self.tools)
    self._look_alikes: dict[str, tuple[Tool, ...]] = {}
    self._rivals: dict[str, frozenset[str]] = {}
    self._edges: dict[str, tuple[graph.Edge, ...]] = {}

  def operation(self, tool: Tool) -> Operation:
    return self.catalog.operations[tool.name]

  def pick_server(self, kind: str, rng: random.Random, among: Sequence[str] | None = None) -> str:
    """A server, by the weights of this kind."""
    servers = sorted(self.by_server if among is None else among)
    weights = [max(0.0, self.weights.get((kind, server), 1.0)) for server in servers]
    return rng.choices(servers, weights)[0] if sum(weights) > 0 else rng.choice(servers)

  def pick_tool(self, kind: str, rng: random.Random) -> Tool:
    """A tool of a picked server."""
    return rng.choice(self.by_server[self.pick_server(kind, rng)])

  def siblings(self, tool: Tool, rng: random.Random) -> list[Tool]:
    """The other tools of its server in random order, those about the same records first."""
    others = [t for t in self.by_server[tool.server] if t.name != tool.name]
    entity = self.operation(tool).entity
    return sorted(others, key=lambda t: (not entity or self.operation(t).entity != entity, rng.random()))

  def look_alikes(self, tool: Tool) -> tuple[Tool, ...]:
    """Tools of other servers, the most alike first; at most `NEAREST`."""
    if tool.name not in self._look_alikes:
      bands = (self.similarity.band(tool.name, band) for band in BANDS)
      others = (t for t in itertools.chain.from_iterable(bands) if t.server != tool.server)
      self._look_alikes[tool.name] = tuple(itertools.islice(others, NEAREST))
    return self._look_alikes[tool.name]

  def strangers(self, tools: Sequence[Tool], rng: random.Random, count: int) -> list[Tool]:
    """Tools of other servers that share little with `tools`, in random order."""
    near = {t.name for tool in tools for t in self.look_alikes(tool)[: NEAREST // 2]}
    servers = {tool.server for tool in tools}
    far = [t for t in self.tools if t.server not in servers and t.name not in near]
    return rng.sample(far, min(count, len(far)))

  def part(self, tool: Tool, slots: tuple[Slot, ...], thing: str = '') -> Part:
    """What is said of a call, with the verbs that would name a sibling instead. `thing` replaces the tool's own object."""
    if tool.name not in self._rivals:
      own = phrases.phrase(tool)
      others = [phrases.phrase(t) for t in self.by_server[tool.server] if t.name != tool.name]
      rivals = {p.verb.split(' ')[0] for p in others if set(p.noun.split(' ')) & set(own.noun.split(' '))}
      self._rivals[tool.name] = frozenset(rivals - {own.verb})
    return Part(tool, slots, thing, self._rivals[tool.name])

  def edges_into(self, tool: Tool) -> tuple[graph.Edge, ...]:
    """The identifiers of this server's results that this tool can take."""
    if tool.server not in self._edges:
      found = graph.edges(self.by_server[tool.server], across_servers=False)
      self._edges[tool.server] = tuple(edge for edge in found if edge.score >= graph.IDENTITY)
    return tuple(edge for edge in self._edges[tool.server] if edge.target_tool == tool.name)


def same_job(a: Tool, b: Tool) -> bool:
  """Whether two tools would be described in the same words: the same effect, verb and noun. No wording tells them apart."""
  first, second = phrases.phrase(a), phrases.phrase(b)
  nouns = lexicon.singular(first.noun.rsplit(' ', 1)[-1]) == lexicon.singular(second.noun.rsplit(' ', 1)[-1])
  return nouns and a.effect == b.effect and (first.verb == second.verb or a.effect in ('create', 'delete'))
