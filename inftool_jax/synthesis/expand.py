"""Expansion: new tasks like a given one, of its kind and about its tools, with other words, values and distractors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from inftool_jax import seeds
from inftool_jax.synthesis.aim import at_gold
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import OFFERED, Request
from inftool_jax.synthesis.kinds import MAKERS
from inftool_jax.synthesis.plan import ATTEMPTS, fingerprint
from inftool_jax.synthesis.wording.families import Split
from inftool_jax.types import Task, Tool


def expand(
  parents: Sequence[Task],
  tools: Sequence[Tool],
  k: int,
  seed: int,
  *,
  split: Split,
  offered: tuple[int, int] = OFFERED,
) -> tuple[Task, ...]:
  """Up to `k` tasks (of a twinned kind, pairs) for each parent, whose id they carry in `parent`.

  Args:
    parents: tasks with gold calls; of a pair in which one has none, the other.
    tools: complete servers of one split; nothing else is reachable.
    k: how many per parent; fewer where its tools leave no other task.
    seed: expansion i of a parent depends on (tools, seed, split, offered, parent, i).
    split: whose wording and values are used.
    offered: fewest and most tools offered.

  Raises:
    ValueError: a parent without gold, or one that offers a tool that is not among `tools`, such as a held-out one.
  """
  require_known(parents, tools)
  for parent in parents:
    if not parent.gold:
      raise ValueError(f'task {parent.id} has no gold calls to expand; expand its twin {parent.twin}')
  if not parents or not k:
    return ()
  bench = Bench(tools, split)
  return tuple(task for parent in parents for task in _children(bench, parent, k, seed, offered))


def require_known(tasks: Sequence[Task], tools: Sequence[Tool]) -> None:
  """Raises ValueError unless every tool that `tasks` offer is one of `tools`: a task of another split stays out of this one."""
  known = {tool.name: tool for tool in tools}
  for task in tasks:
    foreign = [tool.name for tool in task.tools if known.get(tool.name) != tool]
    if foreign:
      raise ValueError(f'task {task.id} offers {foreign[0]}, which is not among the tools that may be planned with')


def _children(bench: Bench, parent: Task, k: int, seed: int, offered: tuple[int, int]) -> Iterator[Task]:
  gold = _gold_tools(parent)
  aimed = at_gold(bench, gold)
  seen = {fingerprint(parent)}
  for i in range(k):
    made = _child(aimed, parent, {tool.name for tool in gold}, i, seeds.derive(seed, 'expand', parent.id, i), offered)
    signatures = {fingerprint(task) for task in made}
    if not signatures & seen:
      seen |= signatures
      yield from made


def _child(aimed: Bench, parent: Task, wanted: set[str], index: int, seed: int, offered: tuple[int, int]) -> tuple[Task, ...]:
  request = Request(f'{parent.id}-x{index}-{seed % 16**6:06x}', parent.kind, seed, offered)
  for attempt in range(ATTEMPTS):
    made = MAKERS[parent.kind](aimed, dataclasses.replace(request, seed=seeds.derive(seed, attempt)))
    if made and {g.call.tool for task in made for g in task.gold} == wanted:
      return tuple(dataclasses.replace(task, parent=parent.id) for task in made)
  return ()


def _gold_tools(task: Task) -> tuple[Tool, ...]:
  """The tools that gold calls, in the order of the calls."""
  by_name = {tool.name: tool for tool in task.tools}
  return tuple(by_name[g.call.tool] for g in task.gold)
