"""The types and interfaces that every room speaks.

All data types are frozen dataclasses with an exact JSON round trip (`to_json`, `from_json`). Values that came
out of JSON (schemas, arguments, states) stay plain JSON values and are never mutated after construction.
"""

from __future__ import annotations

import dataclasses
import functools
import types as _types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

JSON = Any  # None | bool | int | float | str | list[JSON] | dict[str, JSON]

Effect = Literal['read', 'create', 'update', 'delete', 'action', 'pure']
WRITES: frozenset[str] = frozenset({'create', 'update', 'delete', 'action'})

KINDS = ('single', 'multiple', 'parallel', 'multi_step', 'missing_parameter', 'irrelevance')
TWINNED = frozenset({'missing_parameter', 'irrelevance'})

Finish = Literal['stop', 'length', 'cancelled', 'deadline', 'scripted']
Outcome = Literal['completed', 'policy_error', 'user_error', 'server_error', 'verifier_error', 'truncated', 'timeout']


@dataclasses.dataclass(frozen=True)
class Origin:
  """The raw operation a tool came from; enough to find it and to send a request to it again."""

  source: str  # file name, relative to the ingested folder
  pointer: str  # JSON pointer (RFC 6901) of the operation in that file; '/LINE' for a JSONL row
  server: str
  domain: str
  method: str = ''  # upper-case HTTP method, '' for MCP
  path: str = ''  # URL template, '' for MCP
  locations: Mapping[str, str] = dataclasses.field(default_factory=dict)  # argument -> path|query|header|cookie|body|form


@dataclasses.dataclass(frozen=True)
class Tool:
  """One callable tool. `input_schema` is a JSON Schema 2020-12 object without `$ref`s to the outside."""

  name: str  # [A-Za-z0-9_-]{1,64}, unique among all tools of a run
  description: str
  input_schema: Mapping[str, JSON]
  output_schema: Mapping[str, JSON] | None
  server: str
  effect: Effect
  lineage: tuple[Origin, ...]

  @property
  def domain(self) -> str:
    return self.lineage[0].domain if self.lineage else ''

  @property
  def parameters(self) -> Mapping[str, JSON]:
    """Parameter name -> schema, in declared order."""
    return self.input_schema.get('properties', {})

  @property
  def required(self) -> tuple[str, ...]:
    return tuple(self.input_schema.get('required', ()))

  @property
  def writes(self) -> bool:
    return self.effect in WRITES


@dataclasses.dataclass(frozen=True)
class Call:
  tool: str
  arguments: Mapping[str, JSON]
  id: str = ''


@dataclasses.dataclass(frozen=True)
class Result:
  """An MCP tool result. `content` is what the model reads; `structured` the same as data."""

  content: str
  structured: JSON = None
  is_error: bool = False


@dataclasses.dataclass(frozen=True)
class SampleParams:
  """What one request asks of the sampler. `seed` and the token's position give the key of every token."""

  seed: int
  max_new_tokens: int
  temperature: float = 1.0  # 0: greedy
  top_p: float = 1.0
  stop: tuple[int, ...] = ()  # token ids; the stopping token is part of the sample
  top_k: int = 0  # 0: every token
  min_p: float = 0.0  # of the best token's probability
  banned: tuple[int, ...] = ()  # token ids that are never drawn
  deadline: float | None = None  # seconds after which the sample ends with what it has; not reproducible


@dataclasses.dataclass(frozen=True)
class Sample:
  """Token ids as sampled and the log-probabilities of the distribution they were sampled from."""

  tokens: tuple[int, ...]
  logprobs: tuple[float, ...]
  finish: Finish
  version: int  # policy version that sampled every token


@dataclasses.dataclass(frozen=True)
class Message:
  """One turn.

  role 'assistant': `content` is the text beside the calls (all of the text when `error` is set), `calls` what was
  parsed, `sample` the tokens if a policy wrote it. role 'tool': `results`, one per call of the turn before.
  """

  role: Literal['system', 'user', 'assistant', 'tool']
  content: str = ''
  calls: tuple[Call, ...] = ()
  results: tuple[Result, ...] = ()
  sample: Sample | None = None
  error: str = ''  # a parse error's code, '' when the text parsed


@dataclasses.dataclass(frozen=True)
class Provenance:
  """Where a gold argument's value comes from (method: every argument has one)."""

  source: Literal['utterance', 'result', 'schema', 'derived']
  turn: int = 0  # utterance: index among the user's turns; result: index of the gold call
  path: str = ''  # utterance: the exact words that voice the value; result: JSON path such as $.order.id
  named: bool = False  # utterance: the parameter's name is voiced beside the value


@dataclasses.dataclass(frozen=True)
class GoldCall:
  call: Call
  provenance: Mapping[str, Provenance]
  step: int = 0  # assistant turn with calls in which it stands; calls of one step stand in one turn


@dataclasses.dataclass(frozen=True)
class Answer:
  """A value that the closing answer must contain: `path` in the result of gold call number `call`."""

  call: int
  path: str
  value: JSON


@dataclasses.dataclass(frozen=True)
class Fact:
  """A value the user knows for a parameter, and how they say it when they are asked for it."""

  tool: str
  parameter: str
  value: JSON
  text: str


@dataclasses.dataclass(frozen=True)
class Scenario:
  opening: str  # the user's first message
  known: tuple[Fact, ...] = ()  # voiced in the opening
  withheld: tuple[Fact, ...] = ()  # known to the user, said only when asked for
  family: str = ''  # family of phrasing
  register: str = ''
  hand_written: bool = False


@dataclasses.dataclass(frozen=True)
class Task:
  """A scenario with one solution.

  `gold` empty: nothing fits, the assistant must decline. `scenario.withheld` not empty: it must ask first.
  Twins share `kind`, name each other in `twin`, and differ in what is offered or told.
  """

  id: str
  kind: str
  tools: tuple[Tool, ...]  # as offered, in order
  scenario: Scenario
  gold: tuple[GoldCall, ...]
  answers: tuple[Answer, ...]
  initial_state: JSON  # simulator snapshot at the start
  final_state: JSON  # difference to the initial state after the gold calls; {} when nothing was written
  seed: int
  twin: str = ''
  parent: str = ''  # the task it was expanded from


@dataclasses.dataclass(frozen=True)
class Trajectory:
  """One conversation. The token-aligned fields have one length; `logprobs` is NaN where the policy did not sample."""

  task_id: str
  sample: int
  messages: tuple[Message, ...]
  tokens: tuple[int, ...]
  loss_mask: tuple[bool, ...]
  logprobs: tuple[float, ...]
  policy_versions: tuple[int, ...]  # -1 where the policy did not sample
  turns: int  # assistant turns
  gates: Mapping[str, float]
  reward: float
  outcome: Outcome
  note: str = ''  # why the conversation was not completed: the parse error, the limit, the exception

  def __post_init__(self) -> None:
    lengths = {len(self.tokens), len(self.loss_mask), len(self.logprobs), len(self.policy_versions)}
    if len(lengths) != 1:
      raise ValueError(f'token-aligned fields of {self.task_id} differ in length: {sorted(lengths)}')


@dataclasses.dataclass(frozen=True)
class View:
  """What a speaker sees: the conversation so far and, for a policy, its exact token ids."""

  messages: tuple[Message, ...]
  tokens: tuple[int, ...] = ()


class Session(Protocol):
  """One conversation's private state of a tool server."""

  async def call(self, call: Call) -> Result: ...

  def snapshot(self) -> JSON: ...

  def difference(self) -> JSON:
    """What was written since the session was opened; {} if nothing was."""

  def digest(self) -> str: ...


class ToolServer(Protocol):
  def open(self, seed: int, state: JSON = None) -> Session: ...


class Speaker(Protocol):
  async def speak(self, view: View, seed: int) -> Message: ...


class Constraint(Protocol):
  """What one request may say, token by token; made anew for each request."""

  def allowed(self, bits_W: Any) -> None:
    """Writes which tokens may come next: int32 [ceil(V / 32)], bit i of word w is token 32 w + i."""

  def accept(self, tokens: Sequence[int]) -> None:
    """The request goes on with these."""

  def forced(self) -> Sequence[int]:
    """Tokens that come next because nothing else may."""


class Sampler(Protocol):
  async def sample(
    self, tokens: Sequence[int], params: SampleParams, session: str, *, constraint: Constraint | None = None
  ) -> Sample:
    """Continues `tokens`; what `constraint` forbids is not sampled."""

  def release(self, session: str) -> None:
    """The conversation is over; whatever was kept for it may go."""


_PLAIN = frozenset({str, int, float, bool})


def to_json(value: Any) -> JSON:
  """Dataclasses, tuples and mappings as plain JSON values."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {k: to_json(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return list(value) if _PLAIN.issuperset(map(type, value)) else [to_json(v) for v in value]  # tokens: a thousand plain items
  return value


T = TypeVar('T')


def from_json(cls: type[T], data: JSON) -> T:
  """The inverse of `to_json` for a dataclass of this module. Raises ValueError on unknown or missing fields."""
  hints = _hints(cls)  # type: ignore[arg-type]
  unknown = set(data) - set(hints)
  if unknown:
    raise ValueError(f'{cls.__name__} has no field {sorted(unknown)}')
  try:
    return cls(**{k: _decode(hints[k], v) for k, v in data.items()})
  except TypeError as e:
    raise ValueError(f'{cls.__name__}: {e}') from e


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls)


def _decode(hint: Any, value: JSON) -> Any:
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, _types.UnionType):
    if value is None and type(None) in args:
      return None
    inner = [a for a in args if a is not type(None)]
    return _decode(inner[0], value) if len(inner) == 1 else value
  if dataclasses.is_dataclass(hint):
    return from_json(hint, value)  # type: ignore[arg-type]
  if origin is tuple:
    return tuple(value) if args[0] in _PLAIN else tuple(_decode(args[0], v) for v in value)
  if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
    return {k: _decode(args[1], v) for k, v in value.items()}
  return value
