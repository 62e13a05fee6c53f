"""Policies that must fail. A kind on which one of them scores is a kind whose figures mean nothing.

Each looks at the offered tools and the conversation alone. They are given the floor's parser wherever the trick they stand
for needs a plausible call, so that they fail by the trick and not by clumsiness.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from inftool_jax.evaluation import floor
from inftool_jax.evaluation.statistics import Rate
from inftool_jax.rewards.questions import words
from inftool_jax.types import JSON, KINDS, Call, Message, Task, Tool, View

DEFAULT_BOUND = 0.02
ENUMERATED = 5  # ids that are tried
_UNDOING = ('delete', 'update', 'action')  # effects that may take a change back, the surest first
_FILLERS: Mapping[str, JSON] = {'integer': 1, 'number': 1, 'boolean': True, 'array': [], 'object': {}}

Reply = Callable[[Sequence[Tool], Sequence[Message]], Message]


def _say(text: str) -> Message:
  return Message('assistant', text)


def _call(*calls: Call) -> Message:
  return Message('assistant', calls=calls)


def _turns(messages: Sequence[Message], with_calls: bool) -> int:
  return sum(m.role == 'assistant' and bool(m.calls) == with_calls for m in messages)


def _answer(messages: Sequence[Message]) -> Message:
  """The floor's answer to the last results; 'Done.' without any."""
  results = floor.last_results(messages)
  return _say(floor.answer(results, floor.request(messages)) if results else 'Done.')


def _likeliest(tools: Sequence[Tool], messages: Sequence[Message]) -> Tool:
  """The floor's tool, however little it shares with the request."""
  return floor.best_tool(floor.request(messages), tools, threshold=0) or tools[0]


def filled(tool: Tool) -> dict[str, JSON]:
  """The required arguments from the schema alone: const, default, example, first enum member, else a filler of the type."""
  return {name: _filler(tool.parameters.get(name)) for name in tool.required}


def _filler(schema: JSON) -> JSON:
  schema = schema if isinstance(schema, Mapping) else {}
  for key in ('const', 'default', 'example'):
    if key in schema:
      return schema[key]
  for key in ('examples', 'enum'):
    if isinstance(schema.get(key), (list, tuple)) and schema[key]:
      return schema[key][0]
  return _FILLERS.get(str(schema.get('type')), 'x')


def _plausible(tool: Tool, messages: Sequence[Message]) -> Call:
  """A call with what the floor finds, the rest filled in."""
  return Call(tool.name, {**filled(tool), **floor.copied(floor.request(messages), tool)})


def _silent(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  return _say('')


def _echo(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  return _say(messages[-1].content)


def _refuse(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  return _say(floor.DECLINE)


def _first_tool(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  return _answer(messages) if _turns(messages, True) else _call(_plausible(tools[0], messages))


def _call_everything(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  return _answer(messages) if _turns(messages, True) else _call(*(_plausible(tool, messages) for tool in tools))


def _question(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  """Asks for the first required parameter that the floor does not find, or else for the first parameter."""
  tool = _likeliest(tools, messages)
  found = floor.copied(floor.request(messages), tool)
  asked = [name for name in tool.required if name not in found] or list(tool.parameters) or ['details']
  return _say(f'Which {" ".join(words(asked[0]))}?')


def _ask_then_anything(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  if not _turns(messages, False):
    return _question(tools, messages)
  return _answer(messages) if _turns(messages, True) else _call(_plausible(_likeliest(tools, messages), messages))


def _fill_in(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  tool = _likeliest(tools, messages)
  return _answer(messages) if _turns(messages, True) else _call(Call(tool.name, filled(tool)))


def _dump(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  if not _turns(messages, True):
    return _call(_plausible(_likeliest(tools, messages), messages))
  return _say('\n'.join(result.content for result in floor.last_results(messages)))


def _enumerate_ids(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  if _turns(messages, True):
    return _answer(messages)
  tool = _likeliest(tools, messages)
  call = _plausible(tool, messages)
  keys = [name for name in tool.parameters if 'id' in words(name)] or list(tool.required)
  if not keys:
    return _call(*[call] * ENUMERATED)
  text = _filler({'type': tool.parameters[keys[0]].get('type')}) == 'x'
  return _call(*(Call(tool.name, {**call.arguments, keys[0]: str(i) if text else i}) for i in range(1, ENUMERATED + 1)))


def _call_then_undo(tools: Sequence[Tool], messages: Sequence[Message]) -> Message:
  """Calls only what it can take back: without a tool to undo with, it refuses."""
  tool = _likeliest(tools, messages)
  undoing = [t for effect in _UNDOING for t in tools if t.effect == effect and t.name != tool.name]
  if not undoing:
    return _say(floor.DECLINE)
  if not _turns(messages, True):
    return _call(_plausible(tool, messages))
  if _turns(messages, True) > 1:
    return _say('Done.')
  results = floor.last_results(messages)
  known = results[-1].structured if results and isinstance(results[-1].structured, Mapping) else {}
  return _call(Call(undoing[0].name, {**filled(undoing[0]), **{k: known[k] for k in undoing[0].parameters if k in known}}))


CANARIES: Mapping[str, Reply] = {
  'silent': _silent,
  'echo': _echo,
  'refuse_always': _refuse,
  'first_tool_always': _first_tool,
  'call_everything': _call_everything,
  'always_ask': _question,
  'ask_then_anything': _ask_then_anything,
  'fill_from_schema': _fill_in,
  'dump_last_result': _dump,
  'enumerate_ids': _enumerate_ids,
  'call_then_undo': _call_then_undo,
}


class Canary:
  """The speaker called `name` (a key of `CANARIES`) for one task; of the task it looks at the offered tools alone."""

  def __init__(self, name: str, task: Task) -> None:
    self._reply = CANARIES[name]
    self._tools = task.tools

  async def speak(self, view: View, seed: int) -> Message:
    """The canary's next turn. Chance has no part in it."""
    return self._reply(self._tools, view.messages)


@dataclasses.dataclass(frozen=True)
class Bound:
  share: float  # of the units of a kind that the canary may solve
  reason: str = ''  # why it is not the default


# With one tool offered the first is the best, and without required parameters there is nothing to fill in: what is left
# is chance that the floor has as well.
_EXCEPTIONS: Mapping[tuple[str, str], Bound] = {
  ('first_tool_always', 'single'): Bound(0.05, 'the first of few tools is sometimes the right one; then this is the floor'),
  ('first_tool_always', 'multiple'): Bound(0.05, 'the first of few tools is sometimes the right one; then this is the floor'),
  ('fill_from_schema', 'single'): Bound(0.05, 'where nothing is required, only the tool has to be found'),
  ('fill_from_schema', 'multiple'): Bound(0.05, 'where nothing is required, only the tool has to be found'),
}

BOUNDS: Mapping[tuple[str, str], Bound] = {
  (name, kind): _EXCEPTIONS.get((name, kind), Bound(DEFAULT_BOUND)) for name in CANARIES for kind in KINDS
}


@dataclasses.dataclass(frozen=True)
class Cell:
  canary: str
  kind: str
  rate: Rate
  bound: Bound

  @property
  def within(self) -> bool:
    """At most the bound's share of successes, rounded up to a whole unit: of forty, 2 % is one."""
    return self.rate.successes <= math.ceil(self.bound.share * self.rate.n)


def table(rates: Mapping[str, Mapping[str, Rate]]) -> tuple[Cell, ...]:
  """One cell per canary and kind of `rates` (canary -> kind -> rate), in the order of `BOUNDS`."""
  return tuple(
    Cell(name, kind, rates[name][kind], bound)
    for (name, kind), bound in BOUNDS.items() if kind in rates.get(name, {})
  )
