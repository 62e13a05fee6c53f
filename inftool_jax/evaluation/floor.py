"""The floor: a small parser that learns nothing. What it solves is no proof of learning.

It takes the tool whose words the request shares most, copies the value that follows a parameter's name, declines if hardly
a word is shared, and answers with the fields of the result that the request names, or else with the first. It makes one
call and never asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from inftool_jax.rewards.questions import FUNCTION_WORDS, words
from inftool_jax.types import JSON, Call, Message, Result, Task, Tool, View

THRESHOLD = 0.5  # of the tool's score in `best_tool`; below it the request is declined
DECLINE = 'Sorry, none of the tools can do that.'
ANSWERED = 2  # fields that are stated at most

# What may stand between a parameter's name and its value, and the value: quoted, a name of several words, or one word.
_LINK = r'(?:\s*[:=]\s*|\s+(?:is|are|of|as|to|at|called|named|should be)\s+|\s+)'
_VALUE = r'(?:"(?P<double>[^"]+)"|\'(?P<single>[^\']+)\'|`(?P<tick>[^`]+)`|(?P<title>[A-Z][\w-]*(?: [A-Z][\w-]*)+)|(?P<word>\S+))'
_NEGATION = re.compile(r'\b(?:no|not|without|un|false|off)\W*$', re.IGNORECASE)


class Floor:
  """A speaker for one task; of the task it looks at the offered tools alone."""

  def __init__(self, task: Task) -> None:
    self._tools = task.tools

  async def speak(self, view: View, seed: int) -> Message:
    """A call, then an answer; or a refusal. Chance has no part in it."""
    if results := last_results(view.messages):
      return Message('assistant', answer(results, request(view.messages)))
    tool = best_tool(request(view.messages), self._tools)
    if tool is None:
      return Message('assistant', DECLINE)
    return Message('assistant', calls=(Call(tool.name, copied(request(view.messages), tool)),))


def request(messages: Sequence[Message]) -> str:
  """All that the user said."""
  return ' '.join(m.content for m in messages if m.role == 'user')


def last_results(messages: Sequence[Message]) -> tuple[Result, ...]:
  return next((m.results for m in reversed(messages) if m.role == 'tool'), ())


def best_tool(text: str, tools: Sequence[Tool], threshold: float = THRESHOLD) -> Tool | None:
  """The tool that scores best: the share of its name's words in `text` plus half that of its description's.

  None if no tool reaches `threshold`; the first of equals.
  """
  said = set(words(text))
  best = max(tools, key=lambda tool: _score(said, tool), default=None)
  return best if best is not None and _score(said, best) >= threshold else None


def _score(said: set[str], tool: Tool) -> float:
  return _share(said, words(tool.name)) + _share(said, words(tool.description)) / 2


def _share(said: set[str], of: Iterable[str]) -> float:
  content = {word for word in of if word not in FUNCTION_WORDS}
  return len(content & said) / max(1, len(content))


def copied(text: str, tool: Tool) -> dict[str, JSON]:
  """The arguments whose values stand in `text` after the parameter's name, or are a member of its enum."""
  found = {name: _copied_value(text, name, schema) for name, schema in tool.parameters.items() if isinstance(schema, Mapping)}
  return {name: value for name, value in found.items() if value is not None}


def _copied_value(text: str, name: str, schema: Mapping[str, JSON]) -> JSON:
  members = [m for m in schema.get('enum', ()) if isinstance(m, str)]
  for member in members:
    if re.search(rf'\b{re.escape(member)}\b', text, re.IGNORECASE):
      return member
  spoken = re.search(r'\b' + r'[\s_]+'.join(map(re.escape, re.split(r'[\W_]+', name))) + r'\b', text, re.IGNORECASE)
  if spoken is None or members:
    return None
  if schema.get('type') == 'boolean':
    return _NEGATION.search(text[:spoken.start()]) is None
  value = re.match(_LINK + _VALUE, text[spoken.end():])
  return _typed(next(v for v in value.groups() if v is not None), schema) if value else None


def _typed(text: str, schema: Mapping[str, JSON]) -> JSON:
  text = text.strip().rstrip('.,;:!?')
  kind = schema.get('type')
  if kind in ('integer', 'number'):
    number = re.search(r'-?\d+(?:\.\d+)?', text)
    return None if number is None else float(number.group()) if '.' in number.group() else int(number.group())
  if kind == 'array':
    return [text]
  return text or None


def answer(results: Sequence[Result], text: str) -> str:
  """Sentences with the scalar fields of the last result that `text` names, or with the first one."""
  if any(result.is_error for result in results):
    return DECLINE
  fields = _scalars(results[-1])
  said = set(words(text))
  named = [(name, value) for name, value in fields if set(words(name)) <= said]
  chosen = (named or fields[:1])[:ANSWERED]
  return ' '.join(f'The {" ".join(words(name))} is {value}.' for name, value in chosen) or 'Done.'


def _scalars(result: Result) -> list[tuple[str, str]]:
  """(name, text) of the scalar fields of a result's object, or of the first object in its first list."""
  data = result.structured
  if data is None:
    try:
      data = json.loads(result.content)
    except ValueError:
      return [('result', result.content)]
  for _ in range(2):  # an object in a list, a list in an object
    if isinstance(data, Mapping) and not any(_is_scalar(v) for v in data.values()):
      data = next(iter(data.values()), None)
    if isinstance(data, (list, tuple)):
      data = data[0] if data else None
  if not isinstance(data, Mapping):
    return [] if data is None else [('result', _text(data))]
  return [(name, _text(value)) for name, value in data.items() if _is_scalar(value)]


def _is_scalar(value: JSON) -> bool:
  return isinstance(value, (str, int, float, bool))


def _text(value: JSON) -> str:
  return value if isinstance(value, str) else json.dumps(value)
