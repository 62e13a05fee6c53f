"""Serves a simulated server of any API specification over the Model Context Protocol: an executable mock of the API.

  python -m tools.mcp_server SPEC...                                # over stdio, for a client that starts this command
  python -m tools.mcp_server SPEC... --http=127.0.0.1:8000          # streamable HTTP at http://127.0.0.1:8000/mcp
  python -m tools.mcp_server SPEC... --list                         # the servers that the specifications hold
  python -m tools.mcp_server SPEC... --server=NAME --seed=7
  python -m tools.mcp_server SPEC... --faults=timeout=0.1,stale=0.05   # shares of the calls that fail, the same ones each time

SPEC is whatever --config.specs.paths takes. State is kept per connection and gone with it; the same seed opens with the same records.
Over stdio, stdout belongs to the protocol; everything else is on stderr. Ends with code 0 when stdin closes or on SIGTERM.
"""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import sys
from types import FrameType

from absl import app, flags

from inftool_jax import specs
from inftool_jax.errors import SpecError
from inftool_jax.servers import faults, serving
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import ToolServer

SERVER = flags.DEFINE_string('server', '', 'which server, where the specifications hold several')
LIST = flags.DEFINE_bool('list', False, 'print the servers and how many tools each has')
HTTP = flags.DEFINE_string('http', '', 'HOST:PORT to serve streamable HTTP at, instead of stdio')
FAULTS = flags.DEFINE_string('faults', '', f'KIND=RATE,...: shares of the calls that fail; kinds are {", ".join(faults.KINDS)}')
SEED = flags.DEFINE_integer('seed', 0, 'of the records that a connection opens with', lower_bound=0)


def main(argv: list[str]) -> None:
  if len(argv) < 2:
    raise app.UsageError('name at least one specification')
  address = _address(HTTP.value) if HTTP.value else None
  rates = _rates(FAULTS.value)
  try:
    ingest = specs.load(argv[1:])
  except SpecError as e:
    sys.exit(str(e))
  for problem in ingest.problems:
    print(problem, file=sys.stderr)
  if LIST.value:
    counts = collections.Counter(tool.server for tool in ingest.tools)
    print('\n'.join(f'{name}  {count} tools' for name, count in counts.items()))
    return
  try:
    name, tools = specs.one_server(ingest.tools, SERVER.value)
  except SpecError as e:
    sys.exit(str(e))
  server: ToolServer = Simulator(tools)
  server = faults.FaultyServer(server, tools, rates) if rates else server
  signal.signal(signal.SIGTERM, _end)
  signal.signal(signal.SIGINT, _end)
  if address is not None:
    print(f'{name}: {len(tools)} tools at http://{HTTP.value}{serving.PATH}', file=sys.stderr, flush=True)
    serving.serve_http(server, tools, name, SEED.value, *address)
  else:
    print(f'{name}: {len(tools)} tools over stdio', file=sys.stderr, flush=True)
    asyncio.run(serving.serve_stdio(server, tools, name, SEED.value))


def _address(text: str) -> tuple[str, int]:
  host, _, port = text.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 65536:
    raise app.UsageError(f'--http={text}: expected HOST:PORT, such as 127.0.0.1:8000')
  return host.strip('[]'), int(port)


def _rates(text: str) -> dict[str, float]:
  try:
    return faults.parse(text)
  except ValueError as e:
    raise app.UsageError(f'--faults: {e}') from None


def _end(number: int, frame: FrameType | None) -> None:
  """Nothing is to be saved, and the thread that waits for stdin cannot be woken to end in order."""
  os._exit(0)


if __name__ == '__main__':
  app.run(main)
