"""A tool server that fails now and then, as real ones do: the same seed and calls fail in the same way.

    server = FaultyServer(Simulator(tools), tools, {'timeout': 0.1, 'stale': 0.05})
    session = server.open(seed=7)

Which call fails depends on the seed, the call's canonical text and how often it was asked before, not on other calls. What is asked
again after `timeout`, `unavailable` or `rate_limit` is served: their time has passed.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical
from inftool_jax.servers import arguments, responses
from inftool_jax.types import JSON, Call, Result, Session, Tool, ToolServer

# Before the call is served: nothing happens but the error.
REFUSALS = {
  'timeout': 'the server did not answer within 30 seconds',
  'unavailable': 'the service is temporarily unavailable; try again',
  'rate_limit': 'too many requests',
}
# Of a served call: what its answer becomes.
DAMAGES = {
  'partial': 'the second half of every list is missing',
  'stale': 'a read tells what was so before the last call that writes',
  'malformed': 'the text ends in the middle',
  'long': 'the answer is followed by a very long field',
}
KINDS = (*REFUSALS, *DAMAGES)
LONG = 40_000  # characters
RETRY_AFTER = (1, 60)  # seconds


def parse(text: str) -> dict[str, float]:
  """`timeout=0.1,stale=0.05` as rates. Raises ValueError that says what is wrong."""
  rates: dict[str, float] = {}
  for part in filter(None, (p.strip() for p in text.split(','))):
    kind, _, rate = part.partition('=')
    try:
      rates[kind] = float(rate)
    except ValueError:
      raise ValueError(f'{part!r}: expected KIND=RATE, such as timeout=0.1') from None
  check(rates)
  return rates


def check(rates: Mapping[str, float]) -> None:
  """Raises ValueError unless these are kinds of faults with shares of calls that add up to 1 at most."""
  for kind, rate in rates.items():
    if kind not in KINDS:
      raise ValueError(f'there is no fault {kind!r}; choose from {", ".join(KINDS)}')
    if not 0 <= rate <= 1:
      raise ValueError(f'{kind}={rate}: a rate is between 0 and 1')
  if sum(rates.values()) > 1 + 1e-9:
    raise ValueError(f'the rates add up to {sum(rates.values()):g}; a call has one fault at most')


class FaultyServer:
  """`server` with these shares of its calls failing. Raises ValueError for rates that are none."""

  def __init__(self, server: ToolServer, tools: Sequence[Tool], rates: Mapping[str, float]) -> None:
    check(rates)
    self._server, self._rates = server, dict(rates)
    self._tools = {tool.name: tool for tool in tools}

  def open(self, seed: int, state: JSON = None) -> FaultySession:
    return FaultySession(self._server, self._tools, self._rates, seed, state)


class FaultySession:
  """A session whose answers fail; its state is that of the session behind it."""

  def __init__(self, server: ToolServer, tools: Mapping[str, Tool], rates: Mapping[str, float], seed: int, state: JSON) -> None:
    self._server, self._tools, self._rates, self._seed = server, tools, rates, seed
    self._inner: Session = server.open(seed, state)
    self._asked: collections.Counter[str] = collections.Counter()
    self._before: JSON = None  # the state before the last call that writes

  async def call(self, call: Call) -> Result:
    tool = self._tools.get(call.tool) if isinstance(call.tool, str) else None
    if tool is None or arguments.absurd(call.arguments):
      return await self._inner.call(call)
    fault = self._fault(call, tool)
    if fault in REFUSALS:
      return self._refused(fault, call)
    if fault == 'stale' and not tool.writes and self._before is not None:
      return await self._server.open(self._seed, self._before).call(call)
    if tool.writes and 'stale' in self._rates:
      self._before = self._inner.snapshot()
    result = await self._inner.call(call)
    return result if result.is_error else _damaged(fault, result)

  def _fault(self, call: Call, tool: Tool) -> str:
    text = canonical(call, tool)
    asked = self._asked[text]
    self._asked[text] += 1
    drawn = seeds.rng(self._seed, 'fault', text, asked).random()
    for kind, rate in self._rates.items():
      if drawn < rate:
        return '' if asked and kind in REFUSALS else kind
      drawn -= rate
    return ''

  def _refused(self, fault: str, call: Call) -> Result:
    if fault != 'rate_limit':
      return responses.failure(REFUSALS[fault])
    wait = seeds.rng(self._seed, 'retry after', call.tool).randint(*RETRY_AFTER)
    return responses.failure(f'{REFUSALS[fault]}; retry after {wait} seconds', retry_after=wait)

  def snapshot(self) -> JSON:
    return self._inner.snapshot()

  def difference(self) -> JSON:
    return self._inner.difference()

  def digest(self) -> str:
    return self._inner.digest()


def _damaged(fault: str, result: Result) -> Result:
  if fault == 'partial':
    return responses.success(_halved(result.structured))
  if fault == 'malformed':
    return Result(result.content[: len(result.content) // 2])
  if fault == 'long' and isinstance(result.structured, dict):
    return responses.success({**result.structured, 'trace': 'at step ' * (LONG // len('at step '))})
  return result


def _halved(value: JSON) -> JSON:
  if isinstance(value, list):
    return [_halved(item) for item in value[: (len(value) + 1) // 2]]
  if isinstance(value, dict):
    return {key: _halved(item) for key, item in value.items()}
  return value
