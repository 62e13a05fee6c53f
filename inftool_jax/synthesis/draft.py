"""From executed gold calls to a task: the offered tools, the words, and everything a task must hold to be fair."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.servers import seeding
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.answers import Leaf
from inftool_jax.synthesis.arguments import Filled, World, fill
from inftool_jax.synthesis.bench import Bench, same_job
from inftool_jax.synthesis.slots import Slot, resolved, spoken
from inftool_jax.synthesis.solutions import Goal, Known, solves
from inftool_jax.synthesis.wording.compose import Need, Worded, word
from inftool_jax.types import JSON, Answer, Fact, GoldCall, Provenance, Result, Scenario, Task, Tool

OFFERED = (2, 4)


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked of a kind: one task (or pair) of number `index`; `seed` belongs to this attempt alone."""

  id: str
  kind: str
  seed: int
  offered: tuple[int, int] = OFFERED

  def count(self) -> int:
    """How many tools are offered."""
    return seeds.rng(self.seed, 'offered').randint(*self.offered)


@dataclasses.dataclass(frozen=True)
class Step:
  """One executed gold call. `dependent`: parameter -> where an earlier result shows its value."""

  tool: Tool
  filled: Filled
  result: Result
  turn: int
  difference: JSON  # of the session up to and including this call
  dependent: dict[str, Provenance] = dataclasses.field(default_factory=dict)

  @property
  def said(self) -> list[JSON]:
    return list(self.filled.call.arguments.values())


class Stage:
  """The world of one task while its gold is found out: the seeded records and a session on them."""

  def __init__(self, bench: Bench, servers: Sequence[str], seed: int) -> None:
    self.bench, self.seed = bench, seed
    self.state = seeding.opening(bench.catalog, seeds.derive(seed, 'state'), bench.split, frozenset(servers))
    self.session = bench.simulator.open(seed, self.state)

  def fill(self, tool: Tool, index: int, given: dict[str, JSON] | None = None) -> Filled | None:
    """Gold call number `index`; one with `given` values depends on what was done so far, the others on the opening state."""
    records = self.state if given is None else self.session.snapshot()
    world = World(self.bench.catalog, records, self.bench.split)
    return fill(self.bench.operation(tool), world, index, seeds.derive(self.seed, 'fill', index), given)

  def perform(self, tool: Tool, filled: Filled, turn: int, dependent: dict[str, Provenance] | None = None) -> Step | None:
    """Executes the call; None if the server refuses it, or if a writing call writes nothing."""
    before = self.session.digest()
    result = self.session.execute(filled.call)
    if result.is_error or (tool.writes and self.session.digest() == before):
      return None
    return Step(tool, filled, result, turn, self.session.difference(), dependent or {})


def wanted_leaves(step: Step, rng_seed: int, hidden: Sequence[JSON] = ()) -> tuple[Leaf, ...] | None:
  """The fields the user asks for after a call: of a read always, of a write mostly. None if a read shows nothing to ask for."""
  rng = seeds.rng(rng_seed, 'answers')
  if step.tool.effect == 'delete' or (step.tool.writes and rng.random() < 0.4):
    return ()
  found = answers.choose(step.tool, step.result, [*step.said, *hidden], rng)
  return found if found or step.tool.writes else None


def goal_of(step: Step, leaves: Sequence[Leaf], before: JSON = None) -> Goal:
  """What another tool must not achieve by itself: this step's writing or, if it writes nothing, its answers."""
  difference = {} if step.difference == (before or {}) else step.difference
  return Goal(difference, tuple(leaf.value for leaf in leaves))


def known_of(steps: Sequence[Step]) -> tuple[Known, ...]:
  """The values that a caller has at hand: what the user says."""
  slots = [slot for step in steps for slot in step.filled.slots]
  return tuple(Known(slot.parameter, resolved(slot.tool, slot.parameter), slot.value) for slot in slots)


def distractors(
  stage: Stage, gold: Sequence[Tool], candidates: Sequence[Tool], count: int, goals: Sequence[Goal], known: Sequence[Known]
) -> tuple[Tool, ...] | None:
  """The first `count` candidates that leave the task its one solution; None if there are not as many."""
  chosen: list[Tool] = []
  for tool in candidates:
    if len(chosen) == count:
      break
    taken = {t.name for t in (*gold, *chosen)}
    if tool.name in taken or any(same_job(tool, t) for t in gold if t.server != tool.server):
      continue
    if not solves(tool, known, goals, stage.bench.simulator, stage.seed, stage.state):
      chosen.append(tool)
  return tuple(chosen) if len(chosen) == count else None


def gold_calls(steps: Sequence[Step], worded: Worded, withheld: Sequence[Slot] = ()) -> tuple[GoldCall, ...]:
  """The gold calls with the provenance of every argument; a withheld one is said in the user's second turn."""
  asked = {(slot.call, slot.parameter): Provenance('utterance', 1, spoken(slot.value), False) for slot in withheld}
  said = {**worded.provenance, **asked}
  out = []
  for i, step in enumerate(steps):
    provenance = {**step.filled.fixed, **step.dependent}
    provenance |= {slot.parameter: said[i, slot.parameter] for slot in step.filled.slots}
    out.append(GoldCall(step.filled.call, {name: provenance[name] for name in step.filled.call.arguments}, step.turn))
  return tuple(out)


def known_facts(steps: Sequence[Step], gold: Sequence[GoldCall]) -> tuple[Fact, ...]:
  return tuple(
    Fact(step.tool.name, slot.parameter, slot.value, call.provenance[slot.parameter].path)
    for step, call in zip(steps, gold, strict=True)
    for slot in step.filled.slots
    if call.provenance[slot.parameter].turn == 0
  )


def assemble(
  request: Request,
  stage: Stage,
  tools: Sequence[Tool],
  steps: Sequence[Step],
  asked: Sequence[Sequence[Leaf]],
  need: Need,
) -> Task | None:
  """Words the need and makes the task; None if the opening gives an answer or a dependent value away."""
  worded = word(need, stage.bench.split, request.seed)
  values = [leaf.value for leaves in asked for leaf in leaves]
  values += [step.filled.call.arguments[name] for step in steps for name in step.dependent]
  if answers.gives_away(worded.opening, values):
    return None
  gold = gold_calls(steps, worded)
  scenario = Scenario(worded.opening, known_facts(steps, gold), (), worded.family, worded.register)
  found = tuple(Answer(i, leaf.path, leaf.value) for i, leaves in enumerate(asked) for leaf in leaves)
  final = steps[-1].difference
  return Task(request.id, request.kind, shuffled(tools, request.seed), scenario, gold, found, stage.state, final, stage.seed)


def shuffled(tools: Sequence[Tool], seed: int) -> tuple[Tool, ...]:
  """The offered tools in random order; a tool's place does not depend on the others."""
  return tuple(sorted(tools, key=lambda tool: seeds.derive(seed, 'place', tool.name)))
