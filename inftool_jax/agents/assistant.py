"""The scripted assistant: plays a task's gold solution against the real results, for cold-start data and as a check."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from inftool_jax.agents import paths
from inftool_jax.agents.user import asked_fact
from inftool_jax.types import JSON, Answer, Call, Fact, GoldCall, Message, Result, Task, View

# One wording for each act. Which of several a script chose cannot be foreseen: to a policy that learns from it, such tokens are noise.
_QUESTIONS = ('Which {}?', 'What is the {}?', 'Which {} should I use?')  # the first that the user understands
_REFUSAL = 'I have no tool for this.'
_DONE = 'Done.'
_ANSWER = 'The {} is {}.'


class ScriptedAssistant:
  """Asks for what is withheld, makes the gold calls step by step, and closes with the values that were asked for.

  Values that depend on earlier calls, and those of the answer, are read from the results of this conversation.
  """

  def __init__(self, task: Task) -> None:
    self._task = task
    self._steps = _steps(task.gold)

  async def speak(self, view: View, seed: int) -> Message:
    """The next message. Raises LookupError if a result lacks a value that the gold solution takes from it."""
    del seed  # nothing is left to chance
    turns = [m for m in view.messages if m.role == 'assistant']
    called = sum(bool(m.calls) for m in turns)
    if not self._steps:
      return Message('assistant', _REFUSAL)
    if self._task.scenario.withheld and len(turns) == called:  # nothing was asked yet
      return self._ask(self._task.scenario.withheld[0])
    results = self._results(view.messages)
    if called < len(self._steps):
      return Message('assistant', calls=tuple(_filled(self._task.gold[i], results) for i in self._steps[called]))
    return Message('assistant', self._closing(results))

  def _ask(self, fact: Fact) -> Message:
    # A parameter called `to` or `use` is not heard in every wording; one that the user understands is chosen.
    name = words(fact.parameter)
    questions = [q.format(name) for q in _QUESTIONS]
    return Message('assistant', next((q for q in questions if asked_fact(q, self._task) == fact), questions[0]))

  def _results(self, messages: Sequence[Message]) -> dict[int, Result]:
    """Index of a gold call -> what came back for it."""
    replies = [m for m in messages if m.role == 'tool']
    return {i: r for step, reply in zip(self._steps, replies, strict=False) for i, r in zip(step, reply.results, strict=True)}

  def _closing(self, results: dict[int, Result]) -> str:
    said = (_ANSWER.format(words(paths.last_name(a.path)) or 'result', _text(_answer_value(a, results))) for a in self._task.answers)
    return ' '.join(said) or _DONE


def words(name: str) -> str:
  """A parameter or field name as words: `dueDate` and `due_date` are `due date`."""
  spaced = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', name)
  return ' '.join(re.split(r'[\W_]+', spaced)).strip().lower()


def _steps(gold: Sequence[GoldCall]) -> list[list[int]]:
  """Indices of the gold calls, turn by turn."""
  return [[i for i, g in enumerate(gold) if g.step == step] for step in sorted({g.step for g in gold})]


def _filled(gold: GoldCall, results: dict[int, Result]) -> Call:
  """The gold call with its dependent arguments taken from `results`."""
  arguments = dict(gold.call.arguments)
  for name, provenance in gold.provenance.items():
    if provenance.source == 'result':
      arguments[name] = paths.value_at(results[provenance.turn], provenance.path)
  return Call(gold.call.tool, arguments)


def _answer_value(answer: Answer, results: dict[int, Result]) -> JSON:
  return paths.value_at(results[answer.call], answer.path)


def _text(value: JSON) -> str:
  if isinstance(value, list):
    return ', '.join(map(_text, value)) or 'none'
  return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
