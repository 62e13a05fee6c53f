"""Two or three calls that do not depend on one another, in one turn."""

from __future__ import annotations

import random

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical, canonical_text
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.answers import Leaf
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import Request, Stage, Step, assemble, distractors, goal_of, known_of, wanted_leaves
from inftool_jax.synthesis.kinds.single import SPARE, alike
from inftool_jax.synthesis.wording.compose import Need
from inftool_jax.types import JSON, Task, Tool

TRIPLE_SHARE = 0.15
SAME_TOOL_SHARE = 0.5


def parallel(bench: Bench, request: Request) -> tuple[Task, ...]:
  """The same tool with other values, or two tools of one or two servers. The order of the calls changes nothing."""
  rng = seeds.rng(request.seed, 'tool')
  tools = _tools(bench, request, rng)
  if tools is None:
    return ()
  stage = Stage(bench, tuple(t.server for t in tools), request.seed)
  steps = _steps(stage, tools)
  if steps is None or not _independent(stage, steps):
    return ()
  leaves = _asked(steps, request.seed)
  if leaves is None:
    return ()
  before = [{}, *(step.difference for step in steps)]
  goals = [goal_of(step, found, before[i]) for i, (step, found) in enumerate(zip(steps, leaves, strict=True))]
  distinct = list({t.name: t for t in tools}.values())
  count = max(request.count(), len(distinct) + 1) - len(distinct)
  candidates = [
    *alike(bench, tools[0], request.seed)[:2],
    *bench.strangers(tools, rng, count + SPARE),
    *alike(bench, tools[0], request.seed),
  ]
  others = distractors(stage, distinct, candidates, count, goals, known_of(steps))
  if others is None:
    return ()
  need = Need(tuple(bench.part(s.tool, s.filled.slots) for s in steps), tuple(leaf.words for found in leaves for leaf in found))
  task = assemble(request, stage, (*distinct, *others), steps, leaves, need)
  return (task,) if task is not None else ()


def _tools(bench: Bench, request: Request, rng: random.Random) -> tuple[Tool, ...] | None:
  """The tools to call, in speaking order; None if the first has nothing to go with."""
  first = bench.pick_tool(request.kind, rng)
  count = 3 if rng.random() < TRIPLE_SHARE else 2
  if rng.random() < SAME_TOOL_SHARE:
    return (first,) * count
  others = [*bench.siblings(first, rng)[:4], *bench.strangers((first,), rng, 2)]
  return (first, rng.choice(others)) if others else None


def _steps(stage: Stage, tools: tuple[Tool, ...]) -> tuple[Step, ...] | None:
  """All calls executed one after the other; None if one fails, does nothing, or repeats another."""
  steps: list[Step] = []
  for i, tool in enumerate(tools):
    filled = stage.fill(tool, i)
    step = stage.perform(tool, filled, 0) if filled is not None else None
    if step is None or not step.filled.slots:
      return None
    steps.append(step)
  texts = {canonical(step.filled.call, step.tool) for step in steps}
  return tuple(steps) if len(texts) == len(steps) else None


def _asked(steps: tuple[Step, ...], seed: int) -> list[tuple[Leaf, ...]] | None:
  """At most one field of each result, the same one of calls to the same tool; None if a read shows nothing to ask for."""
  out: list[tuple[Leaf, ...]] = []
  for step in steps:
    found = wanted_leaves(step, seeds.derive(seed, step.tool.name))
    if found is None:
      return None
    twin = next((leaves for other, leaves in zip(steps, out, strict=False) if other.tool is step.tool), found[:1])
    alike = [leaf for leaf in answers.askable(step.tool, step.result, step.said) if leaf.words == twin[0].words] if twin else []
    if twin and not alike:
      return None
    out.append(tuple(alike[:1]))
  return out


def _independent(stage: Stage, steps: tuple[Step, ...]) -> bool:
  """Whether the calls in reverse order show and write the same."""
  session = stage.bench.simulator.open(stage.seed, stage.state)
  results: list[JSON] = [session.execute(step.filled.call).content for step in reversed(steps)]
  same = all(a == step.result.content for a, step in zip(reversed(results), steps, strict=True))
  return same and canonical_text(session.difference()) == canonical_text(steps[-1].difference)
