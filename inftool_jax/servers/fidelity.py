"""How like the real server is its simulator? The calls of a real session are made again, and the answers compared.

Ids that the real server gave out are unknown to the simulator: where both results have an id in the same place, later calls get the
simulator's. Compared, for each tool:

  agreement   share of the calls that both served or both refused
  schema      share of the answers, where the tool has an output schema, that are as valid as the real ones
  fields      shared field paths over all field paths of both answers (Jaccard), a mean over answers that are JSON
  state       share of the values that earlier calls wrote and the real answer shows which the simulated answer shows too
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax.servers import identifiers, schemas
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import JSON, Call, Result, Tool

SHORTEST = 3  # characters of a written value that is looked for in later answers; shorter ones occur by chance
MAX_DEPTH = 40

Exchange = dict[tuple[type, JSON], JSON]  # key of a real id -> the simulator's


@dataclasses.dataclass(frozen=True)
class Recorded:
  """A call of a real server and what it answered."""

  call: Call
  result: Result


@dataclasses.dataclass(frozen=True)
class Conformance:
  """The comparison of one tool's calls; None where nothing could be compared."""

  tool: str
  calls: int
  agreement: float
  schema: float | None
  fields: float | None
  state: float | None

  @property
  def least(self) -> float:
    return min(share for share in (self.agreement, self.schema, self.fields, self.state) if share is not None)


def compare(tools: Sequence[Tool], recording: Sequence[Recorded], seed: int = 0) -> list[Conformance]:
  """One `Conformance` for each tool that was called, in the order of the first calls. `tools` are the server's, complete."""
  session = Simulator(tools).open(seed)
  known = {tool.name: tool for tool in tools}
  meant: Exchange = {}
  written: dict[str, str] = {}  # text of a value that a real call wrote -> the simulator's
  shares: dict[str, dict[str, list[float]]] = {}
  for recorded in recording:
    real, tool = recorded.result, known.get(recorded.call.tool)
    call = dataclasses.replace(recorded.call, arguments=_exchanged(recorded.call.arguments, meant))
    simulated = session.execute(call)
    found = shares.setdefault(recorded.call.tool, {name: [] for name in ('agreement', 'schema', 'fields', 'state')})
    found['agreement'].append(float(real.is_error == simulated.is_error))
    if real.is_error or simulated.is_error:
      continue
    theirs, ours = _data(real), simulated.structured
    for name, share in _answers(theirs, ours, tool):
      found[name].append(share)
    if shown := [value for value in written if _shows(real, value)]:
      found['state'].append(sum(_shows(simulated, written[value]) for value in shown) / len(shown))
    meant.update(_ids(theirs, ours))
    if tool is not None and tool.writes:
      texts = zip(_leaves(recorded.call.arguments), _leaves(call.arguments), strict=True)
      written.update((str(a), str(b)) for a, b in texts if isinstance(a, str) and len(a) >= SHORTEST)
  return [_conformance(name, found) for name, found in shares.items()]


def _shows(result: Result, value: str) -> bool:
  """Whether an answer contains a text, also where it stands in JSON."""
  return value in result.content or json.dumps(value, ensure_ascii=False)[1:-1] in result.content


def _answers(real: JSON, simulated: JSON, tool: Tool | None) -> Iterator[tuple[str, float]]:
  """What can be said of two answers alone."""
  if tool is not None and tool.output_schema is not None:
    document = schemas.compiled(tool.output_schema)
    yield 'schema', float(document.accepts(simulated) or not document.accepts(real))
  if real is not None:
    a, b = set(paths(real)), set(paths(simulated))
    yield 'fields', len(a & b) / len(a | b) if a | b else 1.0


def _conformance(tool: str, found: Mapping[str, Sequence[float]]) -> Conformance:
  means = {name: sum(values) / len(values) if values else None for name, values in found.items()}
  agreement = means.pop('agreement')
  assert agreement is not None
  return Conformance(tool, len(found['agreement']), agreement, means['schema'], means['fields'], means['state'])


def _data(result: Result) -> JSON:
  """What a result says as data: many servers send JSON as text only."""
  if result.structured is not None:
    return result.structured
  try:
    data = json.loads(result.content)
  except (ValueError, RecursionError):
    return None
  return data if isinstance(data, (dict, list)) else None


def paths(value: JSON, prefix: str = '', depth: int = 0) -> Iterator[str]:
  """The paths of all fields, `items.name` for those of all members of a list alike."""
  if depth > MAX_DEPTH:
    return
  if isinstance(value, dict):
    for key, member in value.items():
      path = f'{prefix}.{key}' if prefix else key
      yield path
      yield from paths(member, path, depth + 1)
  elif isinstance(value, list):
    for member in value:
      yield from paths(member, prefix, depth + 1)


def _leaves(value: JSON, depth: int = 0) -> Iterator[JSON]:
  if depth > MAX_DEPTH:
    return
  if isinstance(value, Mapping):
    for member in value.values():
      yield from _leaves(member, depth + 1)
  elif isinstance(value, (list, tuple)):
    for member in value:
      yield from _leaves(member, depth + 1)
  else:
    yield value


def _key(value: JSON) -> tuple[type, JSON]:
  """1, 1.0 and True are one key of a dict, and three values."""
  return type(value), value


def _ids(real: JSON, simulated: JSON, depth: int = 0) -> Iterator[tuple[tuple[type, JSON], JSON]]:
  """(key of a real id, simulated id) where both results have one of a type in the same place."""
  if depth > MAX_DEPTH:
    return
  if isinstance(real, dict) and isinstance(simulated, dict):
    for name in real.keys() & simulated.keys():
      a, b = real[name], simulated[name]
      if identifiers.is_identifier(name) and type(a) is type(b) and isinstance(a, (str, int)):
        yield _key(a), b
      yield from _ids(a, b, depth + 1)
  elif isinstance(real, list) and isinstance(simulated, list):
    for a, b in zip(real, simulated):
      yield from _ids(a, b, depth + 1)


def _exchanged(value: JSON, meant: Exchange) -> JSON:
  if isinstance(value, Mapping):
    return {key: _exchanged(member, meant) for key, member in value.items()}
  if isinstance(value, (list, tuple)):
    return [_exchanged(member, meant) for member in value]
  return meant.get(_key(value), value)
