"""What must hold of every simulated server, tried with calls that its tools themselves suggest.

  served      a call with valid arguments about records that exist is served
  valid       what is answered is valid under the output schema
  read        what a create or update made is what a read of it shows
  listed      what a create made is in an unfiltered list
  gone        what was deleted cannot be read
  unchanged   a call that fails leaves the state as it was
  replayed    the same calls have the same answers and lead to the same state
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.servers import names, schemas, shapes, values
from inftool_jax.servers.catalog import Operation
from inftool_jax.servers.simulator import Simulator, SimulatorSession
from inftool_jax.servers.state import Record
from inftool_jax.types import JSON, Call, Result, Tool

LAWS = ('served', 'valid', 'read', 'listed', 'gone', 'unchanged', 'replayed')
_NOWHERE = 'nowhere-to-be-found'


@dataclasses.dataclass
class Found:
  """Of one server or many: times that a law was tried, what broke it, and how long calls took."""

  tried: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
  broken: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (law, tool)
  sorts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)  # stateful, pure, opaque operations
  seconds: list[float] = dataclasses.field(default_factory=list)

  def hold(self, law: str, tool: Tool, holds: bool) -> None:
    self.tried[law] += 1
    if not holds:
      self.broken.append((law, tool.name))

  def add(self, other: Found) -> None:
    self.tried += other.tried
    self.broken += other.broken
    self.sorts += other.sorts
    self.seconds += other.seconds


def sort(operation: Operation) -> str:
  """'stateful': about records that are kept; 'pure'; 'opaque': answered from the arguments, or logged."""
  return 'pure' if operation.role == 'pure' else 'stateful' if operation.entity else 'opaque'


def check(tools: Sequence[Tool], seed: int) -> Found:
  """Tries all laws on one complete server."""
  trial = _Trial(Simulator(tools), seed)
  for tool in sorted(tools, key=lambda t: t.effect == 'delete'):  # last, or little would be left to try
    trial.found.sorts[sort(trial.operation(tool))] += 1
    trial.about(tool)
  trial.again()
  return trial.found


class _Trial:
  """One session, what was called in it, and what was found."""

  def __init__(self, simulator: Simulator, seed: int) -> None:
    self.simulator, self.seed = simulator, seed
    self.session: SimulatorSession = simulator.open(seed)
    self.found = Found()
    self.made: list[tuple[Call, Result]] = []
    self.readers: dict[str, list[Operation]] = collections.defaultdict(list)
    for operation in simulator.catalog.operations.values():
      if operation.role in ('get', 'list'):
        self.readers[operation.entity].append(operation)

  def operation(self, tool: Tool) -> Operation:
    return self.simulator.catalog.operations[tool.name]

  def call(self, tool: Tool, arguments: Mapping[str, JSON]) -> Result:
    call = Call(tool.name, arguments)
    started = time.perf_counter()
    result = self.session.execute(call)
    self.found.seconds.append(time.perf_counter() - started)
    self.made.append((call, result))
    if not result.is_error and tool.output_schema is not None:
      document = schemas.compiled(tool.output_schema)
      self.found.hold('valid', tool, document.accepts(result.structured) or not self._possible(tool))
    return result

  def _possible(self, tool: Tool) -> bool:
    """Whether any value is known to be valid under an output schema; some contradict themselves."""
    assert tool.output_schema is not None
    document = schemas.compiled(tool.output_schema)
    return any(document.accepts(values.draw(document, document.root, tool.name, s, 'train')) for s in range(4))

  def about(self, tool: Tool) -> None:
    operation = self.operation(tool)
    arguments = self._arguments(operation)
    self._refused(tool, operation, arguments)
    if arguments is None or not schemas.compiled(tool.input_schema).accepts(arguments):
      return
    before = self._records(operation)
    result = self.call(tool, arguments)
    if operation.role in ('put', 'move', 'edit', 'open', 'below', 'extend', 'shorten'):
      return  # whether they are served depends on what is there
    self.found.hold('served', tool, not result.is_error or 'more than the' in result.content)
    if result.is_error:
      return
    if operation.role == 'create':
      for key in sorted(self._records(operation).keys() - before.keys()):
        self._shown(tool, operation, key)
    elif operation.role == 'update' and operation.id_parameter:
      self._shown(tool, operation, str(arguments[operation.id_parameter]), arguments)
    elif operation.role == 'delete':
      self._gone(tool, operation, before)

  def _records(self, operation: Operation) -> dict[str, Record]:
    return self.session.snapshot().get(operation.entity, {}) if operation.entity else {}

  def _arguments(self, operation: Operation) -> dict[str, JSON] | None:
    """Valid arguments about records that exist; None where there is no record to speak of."""
    tool = operation.tool
    document = schemas.compiled(tool.input_schema)
    drawn = values.draw(document, document.root, tool.name, self.seed, 'train')
    if not isinstance(drawn, dict):
      return None
    state = self.session.snapshot()
    drawn = {n: v for n, v in drawn.items() if n in tool.required or n not in operation.references}
    for parameter, key in operation.references.items():
      if parameter in drawn:
        records = state.get(key, {})
        if not records:
          return None
        drawn[parameter] = next(iter(records.values())).get(self.simulator.catalog.entities[key].id_field)
    if operation.lookup and operation.role != 'create':
      record = next((r for r in state.get(operation.entity, {}).values() if self._whole(operation, r, state)), None)
      if record is None:
        return None
      drawn.update({p: record[f] for p, f in operation.lookup if f in record and (p in drawn or p in tool.required)})
    return drawn

  def _whole(self, operation: Operation, record: Mapping[str, JSON], state: Mapping[str, Mapping[str, JSON]]) -> bool:
    """Whether what a record refers to, and its lookup names, is there still."""
    named = ((record[f], operation.references[p]) for p, f in operation.lookup if f in record and p in operation.references)
    return all(str(value) in state.get(key, {}) for value, key in named)

  def _readers(self, operation: Operation, role: str) -> Iterator[tuple[Tool, Operation]]:
    return ((o.tool, o) for o in self.readers[operation.entity] if o.role == role)

  def _shown(self, tool: Tool, operation: Operation, key: str, told: Mapping[str, JSON] | None = None) -> None:
    """Reads and lists show the record `key` as it is now."""
    entity = self.simulator.catalog.entities[operation.entity]
    record = self.session.snapshot()[entity.key].get(key)
    self.found.hold('read', tool, record is not None)
    if record is None:
      return
    if told is not None:
      kept = {a.field: told[a.parameter] for a in operation.assigns if a.how == 'set' and a.parameter in told and a.field in record}
      outcome = operation.outcome[0] if operation.outcome else ''
      self.found.hold('read', tool, all(canonical_text(record[f]) == canonical_text(v) for f, v in kept.items() if f != outcome))
    for reader, op in self._readers(operation, 'get'):
      asked = {p: record[f] for p, f in op.lookup if f in record}
      document = schemas.compiled(reader.input_schema)
      if set(reader.required) <= set(asked) and document.accepts(asked):
        answer = self.call(reader, asked)
        self.found.hold('read', reader, not answer.is_error and self._repeats(answer.structured, record, op))
    for reader, op in self._readers(operation, 'list'):
      if not reader.required:
        answer = self.call(reader, {})
        self.found.hold('listed', reader, not answer.is_error and self._lists(answer.structured, key, op))

  def _repeats(self, body: JSON, record: Mapping[str, JSON], operation: Operation) -> bool:
    """Whether the fields that an answer has in common with a record, in places for it, have its values."""
    node = body
    for step in operation.record_path:
      node = node.get(step, {}) if isinstance(node, dict) else {}
    if not isinstance(node, dict):
      return True
    spelled = {names.normal(n): v for n, v in record.items()}
    declared = shapes.shape(operation.tool).record.get('properties', {})
    document = schemas.compiled(operation.tool.output_schema if operation.tool.output_schema is not None else {})
    common = [(v, spelled[names.normal(n)], declared.get(n, {})) for n, v in node.items() if names.normal(n) in spelled]
    # What a create takes, a get may declare otherwise.
    return all(_same(a, b) or not document.accepts(b, schema) for a, b, schema in common)

  def _lists(self, body: JSON, key: str, operation: Operation) -> bool:
    """Whether a list names the id, as far as it shows ids and all of its records."""
    node = body
    for step in operation.list_path or ():
      node = node.get(step, []) if isinstance(node, dict) else []
    entity = self.simulator.catalog.entities[operation.entity]
    count = len(self.session.snapshot()[operation.entity])
    if not isinstance(node, list) or count > values.MAX_ITEMS or len(node) < count:
      return True
    ids = [str(v) for item in node if isinstance(item, dict) for n, v in item.items() if names.normal(n) in entity.aliases]
    return not ids or key in ids

  def _gone(self, tool: Tool, operation: Operation, before: Mapping[str, Record]) -> None:
    gone = sorted(before.keys() - self._records(operation).keys())
    self.found.hold('gone', tool, len(gone) == 1)
    entity = self.simulator.catalog.entities[operation.entity]
    for reader, op in self._readers(operation, 'get'):
      if op.id_parameter and gone and set(reader.required) <= {op.id_parameter}:
        key = before[gone[0]].get(entity.id_field)
        self.found.hold('gone', reader, self.call(reader, {op.id_parameter: key}).is_error)

  def _refused(self, tool: Tool, operation: Operation, arguments: Mapping[str, JSON] | None) -> None:
    """Calls that must fail: an unknown argument, a missing one, an id that nothing has."""
    wrong: list[Mapping[str, JSON]] = [{'surplus of the trial': 1}]
    if tool.required:
      wrong.append({})
    if operation.id_parameter and arguments is not None:
      wrong.append({**arguments, operation.id_parameter: _NOWHERE})
    for given in wrong:
      before = self.session.digest()
      result = self.call(tool, given)
      if result.is_error:
        self.found.hold('unchanged', tool, self.session.digest() == before)

  def again(self) -> None:
    """The same calls in another session that opens alike."""
    session = self.simulator.open(self.seed)
    for call, result in self.made:
      if session.execute(call) != result:
        self.found.hold('replayed', self.simulator.catalog.operations[call.tool].tool, False)
        return
    if self.made:
      tool = self.simulator.catalog.operations[self.made[-1][0].tool].tool
      self.found.hold('replayed', tool, session.digest() == self.session.digest())


def _same(shown: JSON, held: JSON) -> bool:
  """Equal, or shown in another type, or cut."""
  return canonical_text(shown) == canonical_text(held) or str(shown) == str(held) or (
    isinstance(shown, str) and isinstance(held, str) and held.startswith(shown))
