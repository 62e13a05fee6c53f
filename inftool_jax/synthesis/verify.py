"""Is a task what it claims to be, and was it played as it should?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax.agents import paths
from inftool_jax.rewards import gates
from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.slots import Slot, resolved, speaks_of, spoken, whole_words
from inftool_jax.synthesis.solutions import Goal, Known, solves
from inftool_jax.types import JSON, KINDS, TWINNED, Call, GoldCall, Provenance, Result, Task, Tool, Trajectory


@dataclasses.dataclass(frozen=True)
class Played:
  """Gold as it was executed: a result per call, and what had been written after each."""

  results: tuple[Result, ...]
  differences: tuple[JSON, ...]


def check_task(task: Task, simulator: Simulator) -> list[str]:
  """What is wrong with a task; [] if nothing is.

  Checked: form; that gold runs from the initial state, ends in the final one and shows the answers; that every argument
  has a provenance that holds; that neither the opening nor the tools give away what must be asked for or looked up; that
  no other offered tool does the same. `simulator` serves complete servers.
  """
  problems = list(_form(task))
  if problems:
    return problems
  if not task.gold:
    return [] if not (task.answers or task.final_state) else ['nothing fits, and yet there are answers or a final state']
  played = play_gold(task, simulator)
  problems += _execution(task, played)
  for i in range(len(task.gold)):
    problems += _provenances(task, i, played)
  problems += _openness(task)
  problems += [f'{name} would solve the task as well' for name in other_solutions(task, task.tools, played, simulator)]
  return problems


def check_tasks(tasks: Sequence[Task], simulator: Simulator) -> dict[str, list[str]]:
  """Task id -> what is wrong with it, for those with which something is; twins are compared with each other."""
  by_id = {task.id: task for task in tasks}
  found: dict[str, list[str]] = {}
  for task in tasks:
    problems = check_task(task, simulator)
    if task.kind in TWINNED:
      other = by_id.get(task.twin)
      problems += ['its twin is missing'] if other is None else list(_twins(task, other, simulator))
    if problems:
      found[task.id] = problems
  if len(by_id) != len(tasks):
    found.setdefault('', []).append('several tasks have one id')
  return found


def play_gold(task: Task, simulator: Simulator) -> Played:
  """Executes the gold calls from the initial state, one after the other."""
  session = simulator.open(task.seed, task.initial_state)
  results, differences = [], []
  for gold in task.gold:
    results.append(session.execute(gold.call))
    differences.append(session.difference())
  return Played(tuple(results), tuple(differences))


def _form(task: Task) -> Iterator[str]:
  names = [tool.name for tool in task.tools]
  if task.kind not in KINDS:
    yield f'no kind is called {task.kind}'
  if bool(task.twin) != (task.kind in TWINNED):
    yield 'twins belong to twinned kinds, and to no other'
  if len(set(names)) < len(names) or not names:
    yield 'offered tools have names of their own'
  if not task.scenario.opening.strip():
    yield 'the opening is empty'
  if not task.gold and task.kind != 'irrelevance':
    yield f'a task of kind {task.kind} has gold calls'
  for gold in task.gold:
    tool = next((t for t in task.tools if t.name == gold.call.tool), None)
    if tool is None:
      yield f'gold calls {gold.call.tool}, which is not offered'
    elif not gates.valid(gold.call.arguments, tool):
      yield f'the arguments of {gold.call.tool} do not fit its schema'
    if set(gold.provenance) != set(gold.call.arguments):
      yield f'the provenances of {gold.call.tool} are not those of its arguments'


def _execution(task: Task, played: Played) -> Iterator[str]:
  for gold, result in zip(task.gold, played.results, strict=True):
    if result.is_error:
      yield f'{gold.call.tool} fails: {result.content}'
  if canonical_text(played.differences[-1]) != canonical_text(task.final_state):
    yield 'the gold calls do not end in the final state'
  for answer in task.answers:
    try:
      shown = paths.value_at(played.results[answer.call], answer.path)
    except (LookupError, ValueError) as e:
      yield f'answer {answer.path}: {e}'
      continue
    if canonical_text(shown) != canonical_text(answer.value):
      yield f'answer {answer.path} is {shown!r}, not {answer.value!r}'


def _provenances(task: Task, index: int, played: Played) -> Iterator[str]:
  gold = task.gold[index]
  tool = _tool(task, gold.call)
  for name, provenance in gold.provenance.items():
    slot = Slot(index, tool, name, gold.call.arguments[name])
    where = f'{gold.call.tool}.{name}'
    if provenance.source == 'utterance':
      yield from (f'{where}: {p}' for p in _said(task, slot, provenance))
    elif provenance.source == 'result':
      yield from (f'{where}: {p}' for p in _shown(task, index, slot, provenance, played))
    elif provenance.source == 'schema':
      if canonical_text(slot.value) not in _stated(resolved(tool, name)):
        yield f'{where}: the schema does not leave {slot.value!r} alone'
    else:
      yield f'{where}: nobody derives values yet'


def _said(task: Task, slot: Slot, provenance: Provenance) -> Iterator[str]:
  texts = [task.scenario.opening, *(fact.text for fact in task.scenario.withheld)]
  if provenance.turn >= len(texts):
    yield f'there is no utterance {provenance.turn}'
    return
  if not whole_words(texts[provenance.turn], provenance.path):
    yield f'{provenance.path!r} is not said in {texts[provenance.turn]!r}'
  if isinstance(slot.value, bool):
    if provenance.path.startswith('without') == slot.value:
      yield f'{provenance.path!r} does not voice {slot.value}'
  elif spoken(slot.value) != provenance.path:
    yield f'{provenance.path!r} does not voice {slot.value!r}'


def _shown(task: Task, index: int, slot: Slot, provenance: Provenance, played: Played) -> Iterator[str]:
  if not 0 <= provenance.turn < index or task.gold[provenance.turn].step >= task.gold[index].step:
    yield f'call {provenance.turn} does not come before'
    return
  try:
    value = paths.value_at(played.results[provenance.turn], provenance.path)
  except (LookupError, ValueError) as e:
    yield str(e)
    return
  if canonical_text(value) != canonical_text(slot.value):
    yield f'{provenance.path} shows {value!r}, not {slot.value!r}'
  tools = ' '.join(json.dumps([tool.description, tool.input_schema], default=str) for tool in task.tools)
  if any(whole_words(text, spoken(slot.value)) for text in (task.scenario.opening, tools)):
    yield f'{slot.value!r} is given away'


def _stated(schema: Mapping[str, JSON]) -> set[str]:
  values = [schema[key] for key in ('const', 'default') if key in schema]
  listed = schema.get('enum') or []
  return {canonical_text(value) for value in [*values, *(listed if len(listed) == 1 else [])]}


def _openness(task: Task) -> Iterator[str]:
  """The opening says no answer, and nothing of what is withheld."""
  for answer in task.answers:
    if answers.gives_away(task.scenario.opening, [answer.value]):
      yield f'the opening gives the answer {answer.value!r} away'
  if len(task.scenario.withheld) > 1 or (task.scenario.withheld and task.kind != 'missing_parameter'):
    yield 'one fact is withheld in missing_parameter, none in other kinds'
  for fact in task.scenario.withheld:
    gold = next((i for i, g in enumerate(task.gold) if g.call.tool == fact.tool), None)
    tool = next((t for t in task.tools if t.name == fact.tool), None)
    if gold is None or tool is None or fact.parameter not in tool.required:
      yield f'{fact.tool}.{fact.parameter} is no required argument of gold'
    elif speaks_of(task.scenario.opening, Slot(gold, tool, fact.parameter, fact.value)):
      yield f'the opening speaks of the withheld {fact.parameter}'


def other_solutions(task: Task, tools: Sequence[Tool], played: Played, simulator: Simulator) -> list[str]:
  """Names of `tools` that gold does not call and that reach, by their best call, what a gold call reaches."""
  used = {gold.call.tool for gold in task.gold}
  facts = (*task.scenario.known, *task.scenario.withheld)
  gold_tools = {t.name: t for t in task.tools}
  known = [Known(f.parameter, resolved(gold_tools[f.tool], f.parameter), f.value) for f in facts if f.tool in gold_tools]
  goals = []
  for i, gold in enumerate(task.gold):
    before = played.differences[i - 1] if i else {}
    wrote = canonical_text(played.differences[i]) != canonical_text(before)
    revealed = tuple(answer.value for answer in task.answers if answer.call == i)
    goals.append(Goal(played.differences[i] if wrote else {}, revealed))
    goals += [Goal({}, (gold.call.arguments[n],)) for n, p in gold.provenance.items() if p.source == 'result']
  return [t.name for t in tools if t.name not in used and solves(t, known, goals, simulator, task.seed, task.initial_state)]


def _twins(task: Task, other: Task, simulator: Simulator) -> Iterator[str]:
  if other.twin != task.id or other.kind != task.kind:
    yield 'its twin is of another kind or names another twin'
  if canonical_text(other.initial_state) != canonical_text(task.initial_state) or len(other.tools) != len(task.tools):
    yield 'twins share the initial state and the number of tools'
  if task.kind == 'missing_parameter':
    if bool(task.scenario.withheld) == bool(other.scenario.withheld) or not _same_calls(task.gold, other.gold):
      yield 'one twin withholds a value of the same calls'
    if other.tools != task.tools:
      yield 'twins that differ in what is told are offered the same tools'
  elif other.scenario.opening != task.scenario.opening or bool(task.gold) == bool(other.gold):
    yield 'twins that differ in what is offered open with the same words, and one has no gold'
  elif other.gold:
    played = play_gold(other, simulator)
    if {g.call.tool for g in other.gold} & {t.name for t in task.tools}:
      yield 'the fitting tool is offered'
    yield from (f'{name} would solve the task' for name in other_solutions(other, task.tools, played, simulator))


def _same_calls(a: Sequence[GoldCall], b: Sequence[GoldCall]) -> bool:
  return [canonical_text([g.call.tool, g.call.arguments]) for g in a] == [canonical_text([g.call.tool, g.call.arguments]) for g in b]


def _tool(task: Task, call: Call) -> Tool:
  return next(tool for tool in task.tools if tool.name == call.tool)


@dataclasses.dataclass(frozen=True)
class Acceptance:
  """Whether a trajectory may be learned from; if not, what failed: an outcome, 'replay', or a term of `gates.TERMS`."""

  accepted: bool
  failed: str


def verdict(task: Task, trajectory: Trajectory, simulator: Simulator) -> Acceptance:
  """Plays the trajectory's calls again and scores it anew; nothing that the trajectory says about itself is believed."""
  if trajectory.outcome != 'completed':
    return Acceptance(False, trajectory.outcome)
  session = simulator.open(task.seed, task.initial_state)
  offered = {tool.name for tool in task.tools}
  calls: tuple[Call, ...] = ()
  for message in trajectory.messages:
    if message.role == 'assistant':
      calls = message.calls
    elif message.role == 'tool':
      again = [session.execute(call) if call.tool in offered else None for call in calls]
      if any(a is not None and a.content != b.content for a, b in zip(again, message.results, strict=False)):
        return Acceptance(False, 'replay')
  failed = gates.score(task, trajectory.messages, session.difference()).failed
  return Acceptance(not failed, failed)
