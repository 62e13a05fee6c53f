"""The scripted assistant: plays a task's gold solution against the real results, for cold-start data and as a check."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.agents import paths
from inftool_jax.agents.user import asked_fact
from inftool_jax.types import JSON, Answer, Call, Fact, GoldCall, Message, Result, Task, View

_QUESTIONS = ('Which {}?', 'What is the {}?', 'Which {} should I use?', 'Could you tell me the {}?')
_REFUSALS = ('None of the tools can do this.', 'I have no tool for this.', 'Sorry, no tool here fits.')
_DONE = ('Done.', 'That is done.', 'All done.')
_ANSWERS = ('The {} is {}.', 'Its {} is {}.', 'Done, the {} is {}.')


class ScriptedAssistant:
  """Asks for what is withheld, makes the gold calls step by step, and closes with the values that were asked for.

  Values that depend on earlier calls, and those of the answer, are read from the results of this conversation.
  `seed` chooses among a few short wordings.
  """

  def __init__(self, task: Task, seed: int) -> None:
    self._task = task
    self._seed = seed
    self._steps = _steps(task.gold)

  async def speak(self, view: View, seed: int) -> Message:
    """The next message. Raises LookupError if a result lacks a value that the gold solution takes from it."""
    turns = [m for m in view.messages if m.role == 'assistant']
    called = sum(bool(m.calls) for m in turns)
    if not self._steps:
      return self._say(_REFUSALS, seed)
    if self._task.scenario.withheld and len(turns) == called:  # nothing was asked yet
      return self._ask(self._task.scenario.withheld[0], seed)
    results = self._results(view.messages)
    if called < len(self._steps):
      return Message('assistant', calls=tuple(_filled(self._task.gold[i], results) for i in self._steps[called]))
    return self._closing(results, seed)

  def _ask(self, fact: Fact, seed: int) -> Message:
    # A parameter called `to` or `use` is not heard in every wording; one that the user understands is chosen.
    name = words(fact.parameter)
    heard = [q for q in _QUESTIONS if asked_fact(q.format(name), self._task) == fact]
    return self._say(heard or _QUESTIONS, seed, name)

  def _results(self, messages: Sequence[Message]) -> dict[int, Result]:
    """Index of a gold call -> what came back for it."""
    replies = [m for m in messages if m.role == 'tool']
    return {i: r for step, reply in zip(self._steps, replies, strict=False) for i, r in zip(step, reply.results, strict=True)}

  def _closing(self, results: dict[int, Result], seed: int) -> Message:
    answers = self._task.answers
    if not answers:
      return self._say(_DONE, seed)
    first, *others = [(words(paths.last_name(a.path)) or 'result', _text(_answer_value(a, results))) for a in answers]
    sentences = [self._say(_ANSWERS, seed, *first).content, *(_ANSWERS[0].format(*other) for other in others)]
    return Message('assistant', ' '.join(sentences))

  def _say(self, variants: Sequence[str], seed: int, *values: str) -> Message:
    wording = seeds.rng(self._seed, 'wording', self._task.id, seed).choice(variants)
    return Message('assistant', wording.format(*values))


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
