"""A required value is not said: the assistant must ask for it. In the twin it is said."""

from __future__ import annotations

import dataclasses

from inftool_jax import seeds
from inftool_jax.rewards.questions import asked_slots
from inftool_jax.servers import identifiers
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import (
  Request,
  assemble,
  distractors,
  goal_of,
  gold_calls,
  known_facts,
  known_of,
)
from inftool_jax.synthesis.kinds.single import SPARE, OneCall, alike, one_call
from inftool_jax.synthesis.slots import Slot, speaks_of, value_class
from inftool_jax.synthesis.wording.compose import Need, word
from inftool_jax.synthesis.wording.mentions import reply
from inftool_jax.types import Fact, Scenario, Task


def missing_parameter(bench: Bench, request: Request) -> tuple[Task, ...]:
  """The pair (value withheld, value said), alike in everything else."""
  rng = seeds.rng(request.seed, 'tool')
  tool = bench.pick_tool(request.kind, rng)
  call = one_call(bench, request, tool)
  slots = _withholdable(call) if call is not None else []
  if call is None or not slots:
    return ()
  slot = rng.choice(slots)
  candidates = [*alike(bench, tool, request.seed)[: rng.randint(0, 2)], *bench.strangers((tool,), rng, SPARE), *bench.siblings(tool, rng)]
  others = distractors(call.stage, (tool,), candidates, request.count() - 1, (goal_of(call.step, call.leaves),), known_of((call.step,)))
  if others is None:
    return ()
  told = assemble(
    dataclasses.replace(request, id=f'{request.id}-told'), call.stage, (tool, *others), (call.step,), (call.leaves,), call.need
  )
  asked = _asked(bench, request, call, slot, told) if told is not None else None
  return (asked, dataclasses.replace(told, twin=asked.id)) if told is not None and asked is not None else ()


def _withholdable(call: OneCall) -> list[Slot]:
  """Required values that a user can be asked for in words that point at nothing else."""
  tool, operation = call.step.tool, call.stage.bench.operation(call.step.tool)
  out = []
  for slot in call.step.filled.slots:
    plain = value_class(slot.parameter, slot.schema) not in ('boolean', 'object', 'list')
    an_id = slot.parameter in {operation.id_parameter, *operation.references} or identifiers.is_identifier(slot.parameter)
    heard = asked_slots(f'Which {slot.words}?', tool) == {slot.parameter}
    if plain and not an_id and heard and slot.parameter in tool.required:
      out.append(slot)
  return out


def _asked(bench: Bench, request: Request, call: OneCall, slot: Slot, told: Task) -> Task | None:
  """The told task with the slot kept back; None if the opening still speaks of it."""
  kept = tuple(s for s in call.step.filled.slots if s is not slot)
  worded = word(Need((bench.part(call.step.tool, kept),), call.need.wanted), bench.split, request.seed)
  if speaks_of(worded.opening, slot) or answers.gives_away(worded.opening, [leaf.value for leaf in call.leaves]):
    return None
  gold = gold_calls((call.step,), worded, (slot,))
  text = reply(slot, bench.split == 'test', seeds.rng(request.seed, 'reply'))
  withheld = Fact(call.step.tool.name, slot.parameter, slot.value, text)
  scenario = Scenario(worded.opening, known_facts((call.step,), gold), (withheld,), worded.family, worded.register)
  return dataclasses.replace(told, id=request.id, scenario=scenario, gold=gold, twin=told.id)
