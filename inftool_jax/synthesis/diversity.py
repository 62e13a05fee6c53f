"""How varied a list of tasks is: entropies in bits, reported every round so that a collapse is seen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.types import Task


def entropy(counts: Iterable[int]) -> float:
  """Shannon entropy in bits of a distribution given by counts; 0 for nothing at all."""
  listed = [count for count in counts if count]
  total = sum(listed)
  return max(0.0, -sum(c / total * math.log2(c / total) for c in listed)) if total else 0.0


def report(tasks: Sequence[Task]) -> Mapping[str, float]:
  """Entropies (bits) over `tasks`, and the shares that say how the arguments are voiced.

  tools, servers: of the tools gold calls. kinds, families, registers: of the tasks. arguments: of the (tool, parameter)
  pairs that gold fills. values: of the values given. unnamed: share of the voiced arguments said without their name.
  words: mean length of the openings.
  """
  gold = [(task, g) for task in tasks for g in task.gold]
  server_of = {tool.name: tool.server for task in tasks for tool in task.tools}
  voiced = [p for _, g in gold for p in g.provenance.values() if p.source == 'utterance']
  return {
    'tools': entropy(Counter(g.call.tool for _, g in gold).values()),
    'servers': entropy(Counter(server_of[g.call.tool] for _, g in gold).values()),
    'kinds': entropy(Counter(task.kind for task in tasks).values()),
    'families': entropy(Counter(task.scenario.family for task in tasks).values()),
    'registers': entropy(Counter(task.scenario.register for task in tasks).values()),
    'arguments': entropy(Counter((g.call.tool, name) for _, g in gold for name in g.call.arguments).values()),
    'values': entropy(Counter(canonical_text(v) for _, g in gold for v in g.call.arguments.values()).values()),
    'unnamed': sum(not p.named for p in voiced) / len(voiced) if voiced else 0.0,
    'words': sum(len(task.scenario.opening.split()) for task in tasks) / len(tasks) if tasks else 0.0,
  }
