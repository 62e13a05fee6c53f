"""Nothing that is offered does what the user needs. In the twin the fitting tool stands in the place of one other."""

from __future__ import annotations

import dataclasses

from inftool_jax import seeds
from inftool_jax.synthesis.bench import Bench, same_job
from inftool_jax.synthesis.draft import Request, assemble, distractors, goal_of, known_of
from inftool_jax.synthesis.kinds.single import SPARE, alike, one_call
from inftool_jax.types import Task

ALIKE_SHARE = 0.5  # of the pairs in which siblings of the missing tool are offered


def irrelevance(bench: Bench, request: Request) -> tuple[Task, ...]:
  """The pair (tool missing, tool offered): the same words, and as many tools."""
  rng = seeds.rng(request.seed, 'tool')
  tool = bench.pick_tool(request.kind, rng)
  call = one_call(bench, request, tool)
  if call is None:
    return ()
  near = alike(bench, tool, request.seed)[: rng.randint(1, 2)] if rng.random() < ALIKE_SHARE else []
  near = [t for t in near if not same_job(t, tool)]
  candidates = [*near, *bench.strangers((tool,), rng, SPARE), *bench.siblings(tool, rng)]
  goal, known = goal_of(call.step, call.leaves), known_of((call.step,))
  others = distractors(call.stage, (tool,), candidates, request.count(), (goal,), known)
  if others is None:
    return ()
  id_twin = f'{request.id}-offered'
  offered = assemble(dataclasses.replace(request, id=id_twin), call.stage, (tool, *others[1:]), (call.step,), (call.leaves,), call.need)
  if offered is None:
    return ()
  # The fitting tool leaves; the one it had replaced stands in its place.
  tools = tuple(others[0] if t.name == tool.name else t for t in offered.tools)
  missing = dataclasses.replace(offered, id=request.id, tools=tools, gold=(), answers=(), final_state={}, twin=id_twin)
  return (missing, dataclasses.replace(offered, twin=request.id))
