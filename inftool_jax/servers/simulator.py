"""An executable simulator of MCP servers: stateful, deterministic, told by nothing but the tools.

    simulator = Simulator(tools)                     # complete servers; classifies and compiles once
    session = simulator.open(seed=7)                 # private state, seeded
    result = session.execute(Call('create_order', {'customer_id': 'cus_k3v7qa'}))
    session.difference()                             # {'shop/order': {'ord_...': {...}}}

The same seed, state and calls give the same results in every process. Ids and drawn values depend on what is asked,
not on when: calls that do not touch the same record may come in any order. Pure functions depend on their canonical
arguments alone. No content of a call raises: what cannot be served is an error result that names the argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from inftool_jax.rewards.canonical import canonical, canonical_value
from inftool_jax.servers import arguments as argument_checks
from inftool_jax.servers import batches, documents, handlers, operations, responses, schemas, seeding
from inftool_jax.servers.catalog import Operation, Role
from inftool_jax.servers.handlers import Context, Refusal
from inftool_jax.servers.state import Store
from inftool_jax.servers.words import Pool
from inftool_jax.types import JSON, Call, Result, Tool

_HANDLERS: Mapping[Role, handlers.Handler] = {**handlers.HANDLERS, **documents.HANDLERS, **batches.HANDLERS}
_NOTHING = Store({})  # what pure functions may see of a session


class Simulator:
  """Serves `tools`.

  Give complete servers, also where a task offers only some of their tools: what a record holds is told by all tools
  that speak of it. `pool` selects the generators of drawn values; sessions that should agree must share it.
  Raises ValueError if two tools have one name.
  """

  def __init__(self, tools: Sequence[Tool], pool: Pool = 'train') -> None:
    if len({t.name for t in tools}) != len(tools):
      raise ValueError('two tools of one simulator have the same name')
    self.catalog = operations.classify(tools)
    self.pool = pool
    self._defaults: dict[str, dict[str, JSON]] = {}

  def open(self, seed: int, state: JSON = None) -> SimulatorSession:
    """A session of its own over `state` (as `snapshot` gives it; it is not changed), or over a seeded one."""
    return SimulatorSession(self, seed, state)

  def opening_state(self, seed: int, servers: Collection[str] | None = None) -> seeding.State:
    """The state that a session with this seed opens with, for some servers only if they are named."""
    return seeding.opening(self.catalog, seed, self.pool, servers)

  def defaults(self, tool: Tool) -> Mapping[str, JSON]:
    """Parameter -> its default, for the defaults that are valid themselves."""
    found = self._defaults.get(tool.name)
    if found is None:
      document = schemas.compiled(tool.input_schema)
      nodes = {n: document.resolve(s) for n, s in document.resolve(document.root).get('properties', {}).items()}
      found = {n: s['default'] for n, s in nodes.items() if s.get('default') is not None and document.accepts(s['default'], s)}
      self._defaults[tool.name] = found
    return found


class SimulatorSession:
  """One conversation's private state. The opening state is made when it is first needed."""

  def __init__(self, simulator: Simulator, seed: int, state: JSON) -> None:
    self._simulator, self._seed, self._state = simulator, seed, state
    self._opened: Store | None = None

  @property
  def _store(self) -> Store:
    if self._opened is None:
      self._opened = Store(self._state if self._state is not None else self._simulator.opening_state(self._seed))
    return self._opened

  async def call(self, call: Call) -> Result:
    return self.execute(call)

  def execute(self, call: Call) -> Result:
    """Serves a call. Content that cannot be served gives an error result and leaves the state as it was."""
    operation = self._simulator.catalog.operations.get(call.tool) if isinstance(call.tool, str) else None
    if operation is None:
      return responses.failure(f'unknown tool "{argument_checks.shown(call.tool)}"')
    problem = argument_checks.absurd(call.arguments)
    if problem:
      return responses.failure(problem)
    given = canonical_value(call.arguments, operation.tool.input_schema)
    problem = argument_checks.invalid(given, operation.tool)
    if problem:
      return responses.failure(problem)
    arguments = {**self._simulator.defaults(operation.tool), **given}
    try:
      return self._served(operation, arguments, given, canonical(call, operation.tool))
    except Refusal as refusal:
      return responses.failure(str(refusal))

  def _served(self, operation: Operation, arguments: Mapping[str, JSON], given: Mapping[str, JSON], text: str) -> Result:
    store = _NOTHING if operation.role == 'pure' else self._store
    context = Context(self._simulator.catalog, store, self._seed, self._simulator.pool)
    handlers.check_references(context, operation, given)  # an id that is a default is what the specification says there is
    facts = _HANDLERS[operation.role](context, operation, arguments, text)
    schema = operation.tool.output_schema
    pool: Pool = 'train' if operation.role == 'pure' else self._simulator.pool
    return responses.success(responses.written(operation, None if schema is None else schemas.compiled(schema), facts, pool))

  def snapshot(self) -> JSON:
    return self._store.snapshot()

  def difference(self) -> JSON:
    return self._store.difference() if self._opened is not None else {}

  def digest(self) -> str:
    return self._store.digest()


def seed_state(tools: Sequence[Tool], seed: int, pool: Pool) -> JSON:
  """An opening state for complete servers: entity key -> id -> record (plain, to be picked from or added to)."""
  return seeding.opening(operations.classify(tools), seed, pool)
