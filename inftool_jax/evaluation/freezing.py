"""Making the tasks of the frozen evaluation file: generated ones, and copies of them in words that a person wrote."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from inftool_jax.errors import StoreError
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.plan import plan
from inftool_jax.synthesis.slots import whole_words
from inftool_jax.synthesis.verify import check_tasks
from inftool_jax.synthesis.wording.lexicon import split_name
from inftool_jax.types import KINDS, GoldCall, Provenance, Task, Tool

SUFFIX = '-h'  # of the ids of hand-written copies
NEAR = 40  # characters before and after a value within which its parameter's name counts as said beside it

Row = Mapping[str, str]  # 'task': id of a generated task; 'opening': what a person would say in its place


def freeze(tools: Sequence[Tool], units: int, seed: int, rows: Sequence[Row]) -> tuple[Task, ...]:
  """Plans and checks the tasks of the file: about `units` units of each kind in test wording, and the hand-written copies.

  `tools` are the complete servers of the test split. Raises StoreError naming every task that does not hold.
  """
  generated = plan(tools, dict.fromkeys(KINDS, units), seed, split='test')
  tasks = (*generated, *rewritten(generated, rows))
  problems = check_tasks(tasks, Simulator(tools, 'test'))
  if problems:
    lines = [f'{task or "all tasks"}: {"; ".join(found)}' for task, found in problems.items()]
    raise StoreError('Nothing was written, for these tasks do not hold:\n  ' + '\n  '.join(lines))
  return tasks


def read_rows(path: Path) -> tuple[Row, ...]:
  """The rows of hand-written openings in a JSONL file. Raises StoreError naming the line that is no such row."""
  try:
    lines = path.read_text(encoding='utf-8').splitlines()
  except (OSError, ValueError) as e:
    raise StoreError(f'{path} cannot be read ({e}); name another file of hand-written openings, or none.') from e
  return tuple(_row(line, f'{path}:{number}') for number, line in enumerate(lines, 1) if line.strip())


def _row(line: str, where: str) -> Row:
  try:
    row = json.loads(line)
  except ValueError as e:
    raise StoreError(f'{where} is no JSON ({e}).') from e
  if not isinstance(row, dict) or set(row) != {'task', 'opening'} or not all(isinstance(v, str) and v.strip() for v in row.values()):
    raise StoreError(f'{where} must be an object with two texts, "task" and "opening".')
  return row


def rewritten(tasks: Sequence[Task], rows: Sequence[Row]) -> tuple[Task, ...]:
  """Copies of `tasks` with the openings of `rows`, twins with twins, in the order of the tasks.

  Twins that share their opening need one row, those that say different things one each. Values must be spelled as in the
  task's own opening. Raises StoreError for a row that names no task, or one again, and for a row whose twin lacks one.
  """
  by_id = {task.id: task for task in tasks}
  openings: dict[str, str] = {}
  for row in rows:
    if row['task'] not in by_id or row['task'] in openings:
      raise StoreError(f'The hand-written row for {row["task"]!r} names no generated task, or one that has a row already.')
    openings[row['task']] = row['opening']
  for name in tuple(openings):
    twin = by_id.get(by_id[name].twin)
    if twin is None or twin.id in openings:
      continue
    if twin.scenario.opening != by_id[name].scenario.opening:
      raise StoreError(f'The hand-written row for {name!r} needs one for its twin {twin.id!r} as well: they say different things.')
    openings[twin.id] = openings[name]
  return tuple(_copy(task, openings[task.id]) for task in tasks if task.id in openings)


def _copy(task: Task, opening: str) -> Task:
  scenario = dataclasses.replace(task.scenario, opening=opening, family='hand_written', register='', hand_written=True)
  gold = tuple(dataclasses.replace(g, provenance=_provenance(g, opening)) for g in task.gold)
  twin = task.twin + SUFFIX if task.twin else ''
  return dataclasses.replace(task, id=task.id + SUFFIX, twin=twin, scenario=scenario, gold=gold, parent=task.id)


def _provenance(gold: GoldCall, opening: str) -> dict[str, Provenance]:
  """The same words for every value, named or not as the new opening has it."""
  return {
    name: dataclasses.replace(p, named=_named(name, p.path, opening)) if p.source == 'utterance' and p.turn == 0 else p
    for name, p in gold.provenance.items()
  }


def _named(parameter: str, spoken: str, opening: str) -> bool:
  """Whether the words of the parameter's name stand near its value."""
  name = ' '.join(split_name(parameter))
  for found in re.finditer(re.escape(spoken), opening, re.IGNORECASE):
    around = f'{opening[max(0, found.start() - NEAR) : found.start()]} {opening[found.end() : found.end() + NEAR]}'
    if whole_words(around, name):
      return True
  return False
