"""One call: among strangers (`single`), or among siblings and look-alikes (`multiple`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.synthesis.answers import Leaf
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import Request, Stage, Step, assemble, distractors, goal_of, known_of, wanted_leaves
from inftool_jax.synthesis.wording.compose import Need
from inftool_jax.types import Task, Tool

# More candidates than are needed: some would solve the task as well.
SPARE = 6


@dataclasses.dataclass(frozen=True)
class OneCall:
  """A task's gold before anything is offered or said: one executed call and the fields asked for."""

  stage: Stage
  step: Step
  leaves: tuple[Leaf, ...]

  @property
  def need(self) -> Need:
    return Need((self.stage.bench.part(self.step.tool, self.step.filled.slots),), tuple(leaf.words for leaf in self.leaves))


def one_call(bench: Bench, request: Request, tool: Tool) -> OneCall | None:
  """An executed call of `tool` with what the user wants to know; None if this attempt finds none."""
  stage = Stage(bench, (tool.server,), request.seed)
  filled = stage.fill(tool, 0)
  step = stage.perform(tool, filled, 0) if filled is not None else None
  leaves = wanted_leaves(step, request.seed) if step is not None else None
  return OneCall(stage, step, leaves) if step is not None and leaves is not None else None


def single(bench: Bench, request: Request) -> tuple[Task, ...]:
  """Distractors are strangers; in a run of one server they are its other tools."""
  rng = seeds.rng(request.seed, 'tool')
  tool = bench.pick_tool(request.kind, rng)
  candidates = bench.strangers((tool,), rng, request.count() + SPARE) or bench.siblings(tool, rng)
  return _offered(bench, request, tool, candidates)


def multiple(bench: Bench, request: Request) -> tuple[Task, ...]:
  """Distractors are siblings about the same records, other tools of the server, and look-alikes of other servers."""
  rng = seeds.rng(request.seed, 'tool')
  tool = bench.pick_tool(request.kind, rng)
  return _offered(bench, request, tool, alike(bench, tool, request.seed))


def alike(bench: Bench, tool: Tool, seed: int) -> list[Tool]:
  """Siblings first; now and then a look-alike of another server comes before them."""
  rng = seeds.rng(seed, 'alike')
  siblings, others = bench.siblings(tool, rng), list(bench.look_alikes(tool)[:SPARE])
  rng.shuffle(others)
  if others and rng.random() < 0.4:
    return [others[0], *siblings, *others[1:]]
  return [*siblings, *others]


def _offered(bench: Bench, request: Request, tool: Tool, candidates: Sequence[Tool]) -> tuple[Task, ...]:
  call = one_call(bench, request, tool)
  if call is None:
    return ()
  goal = goal_of(call.step, call.leaves)
  others = distractors(call.stage, (tool,), candidates, request.count() - 1, (goal,), known_of((call.step,)))
  if others is None:
    return ()
  task = assemble(request, call.stage, (tool, *others), (call.step,), (call.leaves,), call.need)
  return (task,) if task is not None else ()
