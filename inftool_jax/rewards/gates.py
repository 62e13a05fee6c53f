"""Success of a conversation, term by term, and the three rewards made of the terms.

Each term is 0 or 1 and stands alone, `failed` names the first that is 0 in the order of `TERMS`:

- parse: every assistant turn could be read.
- schema: every call is to an offered tool, with arguments its schema accepts.
- execute: no result is an error.
- no_forbidden_effect: nothing was written that gold does not write, and no writing call was made that is not gold's
  (made twice, the second is not gold's).
- protocol: who has to speak when. A withheld value: exactly one question, before any call, for that slot and no other.
  No question in any other task. Where nothing fits: a closing turn that is not empty.
- calls: every gold call is present, at most one surplus call, which only reads; steps in their order, the calls of one
  parallel step in one turn, and a value that a result has to supply first occurs in a result. Where nothing fits: no call.
- state: what was written equals what gold writes.
- answer: a closing turn that states the values of the task and little else (`answers.answered`).

`protocol` is a factor of the gated reward, for `match` looks at calls alone: without it a guessed value would earn what an
asked one earns, asking would be free where nothing is missing, and silence would be a refusal.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import jsonschema

from inftool_jax.errors import ConfigError
from inftool_jax.rewards.answers import answered, says
from inftool_jax.rewards.canonical import canonical, canonical_text
from inftool_jax.rewards.matcher import match
from inftool_jax.rewards.questions import asked_slots, is_question
from inftool_jax.types import JSON, Call, Message, Result, Task, Tool

TERMS = ('parse', 'schema', 'execute', 'no_forbidden_effect', 'protocol', 'calls', 'state', 'answer')
# The additive reward: half for well-formed and harmless, half for right, as in ToolRL; sums to 1.
ADDITIVE: Mapping[str, float] = {
  'parse': 0.1, 'schema': 0.1, 'execute': 0.1, 'no_forbidden_effect': 0.1, 'protocol': 0.1, 'match': 0.5,
}
REWARDS = ('gated', 'binary', 'additive')


@dataclasses.dataclass(frozen=True)
class Verdict:
  parse: int
  schema: int
  execute: int
  no_forbidden_effect: int
  protocol: int
  calls: int
  state: int
  answer: int
  match: float  # [0, 1]

  @property
  def failed(self) -> str:
    """The first term that is 0; '' on success."""
    return next((term for term in TERMS if not getattr(self, term)), '')

  @property
  def success(self) -> bool:
    return not self.failed

  def gates(self) -> dict[str, float]:
    """Every term and `match`, as a trajectory stores them."""
    return {term: float(getattr(self, term)) for term in (*TERMS, 'match')}


@dataclasses.dataclass(frozen=True)
class _Play:
  """A conversation as the terms look at it."""

  turns: tuple[tuple[Call, ...], ...]  # the calls of each assistant turn that has some
  results: tuple[Result, ...]
  questions: tuple[int, ...]  # indices of messages: an assistant turn without calls that the user replied to
  first_call: int  # index of a message; the number of messages if there is none
  closing: str  # text of the last turn if that is the assistant's, without calls and no question left hanging, else ''

  @property
  def calls(self) -> tuple[Call, ...]:
    return tuple(call for turn in self.turns for call in turn)


def score(task: Task, messages: Sequence[Message], difference: JSON) -> Verdict:
  """The verdict on a whole conversation; `difference` is what the session wrote, to compare with `task.final_state`."""
  play = _play(messages)
  tools = {tool.name: tool for tool in task.tools}
  gold = [g.call for g in task.gold]
  return Verdict(
    parse=int(not any(m.error for m in messages if m.role == 'assistant')),
    schema=int(all(call.tool in tools and valid(call.arguments, tools[call.tool]) for call in play.calls)),
    execute=int(not any(result.is_error for result in play.results)),
    no_forbidden_effect=int(
      not _surplus([c for c in play.calls if c.tool in tools and tools[c.tool].writes], gold, tools)
      and _within(difference, task.final_state)),
    protocol=int(_protocol(task, messages, play, tools)),
    calls=int(_calls(task, messages, play, tools)),
    state=int(canonical_text(difference or {}) == canonical_text(task.final_state or {})),
    answer=int(answered(play.closing, task.answers, play.results)),
    match=match(play.calls, gold, task.tools),
  )


def reward(verdict: Verdict, name: str) -> float:
  """The reward called `name`, one of `REWARDS`, in [0, 1]. Raises ConfigError for any other."""
  if name == 'gated':
    passed = verdict.parse * verdict.schema * verdict.execute * verdict.no_forbidden_effect * verdict.protocol
    return passed * verdict.match
  if name == 'binary':
    return float(verdict.success)
  if name == 'additive':
    return sum(weight * getattr(verdict, term) for term, weight in ADDITIVE.items())
  raise ConfigError(f'no reward is called {name!r}; choose one of {", ".join(REWARDS)}')


def valid(arguments: JSON, tool: Tool) -> bool:
  """Whether a tool's schema accepts these arguments."""
  try:
    return jsonschema.Draft202012Validator(tool.input_schema).is_valid(arguments)
  except (RecursionError, ArithmeticError, ValueError):
    return False  # nested without end, or a number (NaN, 10**400) that no `multipleOf` can divide


def _play(messages: Sequence[Message]) -> _Play:
  assistant = [(i, m) for i, m in enumerate(messages) if m.role == 'assistant']
  followers = [*messages[1:], None]
  last = messages[-1] if messages else None
  closes = last is not None and last.role == 'assistant' and not (last.calls or last.error or is_question(last.content))
  return _Play(
    turns=tuple(m.calls for _, m in assistant if m.calls),
    results=tuple(r for m in messages if m.role == 'tool' for r in m.results),
    questions=tuple(i for i, m in assistant if not m.calls and (f := followers[i]) is not None and f.role == 'user'),
    first_call=next((i for i, m in assistant if m.calls), len(messages)),
    closing=last.content if last is not None and closes else '',
  )


def _texts(calls: Iterable[Call], tools: Mapping[str, Tool]) -> list[str]:
  return [canonical(call, tools.get(call.tool)) for call in calls]


def _surplus(calls: Sequence[Call], gold: Sequence[Call], tools: Mapping[str, Tool]) -> list[Call]:
  """The calls that are not gold's, each gold call covering one."""
  left = Counter(_texts(gold, tools))
  surplus = []
  for call, text in zip(calls, _texts(calls, tools), strict=True):
    if left[text]:
      left[text] -= 1
    else:
      surplus.append(call)
  return surplus


def _within(difference: JSON, allowed: JSON) -> bool:
  """Whether every change in `difference` is one of gold's: no other key at any level, no other value."""
  if isinstance(difference, Mapping) and isinstance(allowed, Mapping):
    return all(key in allowed and _within(value, allowed[key]) for key, value in difference.items())
  return not difference and not allowed or canonical_text(difference) == canonical_text(allowed)


def _protocol(task: Task, messages: Sequence[Message], play: _Play, tools: Mapping[str, Tool]) -> bool:
  if not task.scenario.withheld:
    return not play.questions and bool(task.gold or play.closing.strip())
  if len(play.questions) != 1 or play.questions[0] > play.first_call:
    return False
  text = messages[play.questions[0]].content
  for fact in task.scenario.withheld:
    if asked_slots(text, tools[fact.tool]) != {fact.parameter}:
      return False
  return True


def _calls(task: Task, messages: Sequence[Message], play: _Play, tools: Mapping[str, Tool]) -> bool:
  if not task.gold:
    return not play.calls
  gold = [g.call for g in task.gold]
  surplus = _surplus(play.calls, gold, tools)
  if len(surplus) > 1 or len(play.calls) - len(surplus) != len(gold):
    return False
  if any(call.tool not in tools or tools[call.tool].writes for call in surplus):
    return False
  return _in_steps(task, play, tools) and _supplied_by_results(task, messages, tools)


def _in_steps(task: Task, play: _Play, tools: Mapping[str, Tool]) -> bool:
  """Whether each gold step stands in turns after those of the step before; in one turn if the kind is parallel."""
  turns = [Counter(_texts(turn, tools)) for turn in play.turns]
  start = 0
  for step in sorted({g.step for g in task.gold}):
    wanted = Counter(_texts((g.call for g in task.gold if g.step == step), tools))
    if task.kind == 'parallel':
      end = next((i for i in range(start, len(turns)) if wanted <= turns[i]), None)
    else:
      end = next((i for i in range(start, len(turns)) if wanted <= _total(turns[start:i + 1])), None)
    if end is None:
      return False
    start = end + 1
  return True


def _total(counters: Iterable[Counter[str]]) -> Counter[str]:
  total: Counter[str] = Counter()
  for counter in counters:
    total.update(counter)
  return total


def _supplied_by_results(task: Task, messages: Sequence[Message], tools: Mapping[str, Tool]) -> bool:
  """Whether the policy read each value that a result has to supply: it did not say or try the value before it was there."""
  texts = set(_texts((g.call for g in task.gold), tools))
  for gold in task.gold:
    for name, provenance in gold.provenance.items():
      value = gold.call.arguments.get(name)
      if provenance.source == 'result' and not _read_first(value, messages, texts, tools):
        return False
  return True


def _read_first(value: JSON, messages: Sequence[Message], gold: set[str], tools: Mapping[str, Tool]) -> bool:
  """Whether `value` occurs in a tool's result before it occurs in a surplus call or in the assistant's words.

  Gold's own calls before that may hold it by chance (a small number); their order is checked elsewhere.
  """
  for message in messages:
    if message.role == 'tool' and any(_holds(result.structured, value) or says(result.content, value) for result in message.results):
      return True
    if message.role != 'assistant':
      continue
    if says(message.content, value):
      return False
    surplus = [c for c, text in zip(message.calls, _texts(message.calls, tools), strict=True) if text not in gold]
    if any(_holds(call.arguments, value) for call in surplus):
      return False
  return False


def _holds(data: JSON, value: JSON) -> bool:
  """Whether `value` is `data` or stands anywhere in it."""
  wanted, of_kind = canonical_text(value), isinstance(value, (Mapping, list, tuple))
  stack = [data]
  while stack:
    item = stack.pop()
    holds_others = isinstance(item, (Mapping, list, tuple))
    if holds_others == of_kind and canonical_text(item) == wanted:
      return True
    if holds_others:
      stack += item.values() if isinstance(item, Mapping) else item
  return False
