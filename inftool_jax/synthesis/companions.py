"""Companions: more tasks over exactly the tools that a task offers, so that training reads a tool block once for all of them.

Half of a conversation's tokens are the tools it offers (tiny preset). Conversations that offer the same ones are packed behind one
copy of them (`data.prefix`), and what they differ in is just what is to be learned: which of these tools a request means.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.synthesis.aim import at_offered
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import Request
from inftool_jax.synthesis.expand import require_known
from inftool_jax.synthesis.kinds import MAKERS
from inftool_jax.synthesis.plan import fingerprint
from inftool_jax.synthesis.wording.families import Split
from inftool_jax.types import Task, Tool

ATTEMPTS = 6  # a block may have no fair task of a kind, such as two steps over tools that nothing connects


def companions(
  parents: Sequence[Task], tools: Sequence[Tool], k: int, seed: int, weights: Mapping[str, int], *, split: Split
) -> tuple[Task, ...]:
  """Up to `k` more tasks for each parent, which offer its tools in its order and carry its id in `parent`.

  Twins are not kept together: of an irrelevance pair only the half that offers these tools is taken, of a missing parameter
  the half that has to ask, and `twin` is empty.

  Args:
    parents: tasks over `tools`.
    tools: complete servers of one split; nothing else is reachable.
    k: how many per parent; fewer where the block leaves no other task.
    seed: companion i of a parent depends on (tools, seed, weights, split, parent, i), and is left out if an earlier one or a parent
      asks for the same.
    weights: kind -> how often it is tried.
    split: whose wording and values are used.

  Raises:
    ValueError: a parent offers a tool that is not among `tools`, such as a held-out one.
  """
  require_known(parents, tools)
  if not parents or not k or not any(weights.values()):
    return ()
  bench = Bench(tools, split)
  seen = {fingerprint(parent) for parent in parents}
  return tuple(task for parent in parents for task in _companions(bench, parent, k, seed, weights, seen))


def _companions(bench: Bench, parent: Task, k: int, seed: int, weights: Mapping[str, int], seen: set[str]) -> Iterator[Task]:
  names = {tool.name for tool in parent.tools}
  inside = at_offered(bench, parent.tools, parent.tools)
  outside = at_offered(bench, parent.tools, [t for t in bench.tools if t.name not in names])
  for i in range(k):
    own = seeds.derive(seed, 'companion', parent.id, i)
    rng = random.Random(own)
    kinds = rng.choices(list(weights), list(weights.values()), k=ATTEMPTS)
    for attempt, kind in enumerate(kinds):
      request = Request(f'{parent.id}-c{i}-{own % 16**6:06x}', kind, seeds.derive(own, attempt), (len(names), len(names)))
      made = [t for t in MAKERS[kind](outside if kind == 'irrelevance' else inside, request) if {o.name for o in t.tools} == names]
      if made:
        asking = [t for t in made if t.scenario.withheld] or made  # the twin that is told all is a plain call, of which there are many
        task = dataclasses.replace(rng.choice(asking), tools=parent.tools, parent=parent.id, twin='')
        if fingerprint(task) not in seen:
          seen.add(fingerprint(task))
          yield task
          break
