"""The laws of simulated servers, tried on every server of what `tools.ingest` wrote: what holds, what is kept, how long a call takes."""

from __future__ import annotations

import collections
import statistics
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from inftool_jax.servers import laws
from inftool_jax.servers.laws import LAWS, Found
from inftool_jax.types import Tool
from tools.bench_tree import read_tools

SEED = 0
SHOWN = 20  # broken laws on the console


def run(data: Path) -> None:
  """Raises StoreError for a folder that holds no tools."""
  by_server: dict[str, list[Tool]] = collections.defaultdict(list)
  for tool in read_tools(data):
    by_server[tool.server].append(tool)
  console = Console()
  found, started, keeping = Found(), time.monotonic(), 0
  for server in track(sorted(by_server), 'servers', console=Console(stderr=True)):
    one = laws.check(by_server[server], SEED)
    keeping += one.sorts['stateful'] > 0
    found.add(one)
  _tell(console, found, len(by_server), keeping, time.monotonic() - started)


def _tell(console: Console, found: Found, servers: int, keeping: int, seconds: float) -> None:
  table = Table(title=f'{servers:,} servers, {keeping:,} of them keep records; {len(found.seconds):,} calls in {seconds:.0f} s')
  for column in ('law', 'tried', 'broken'):
    table.add_column(column)
  broken = collections.Counter(law for law, _ in found.broken)
  for law in LAWS:
    table.add_row(law, f'{found.tried[law]:,}', f'{broken[law]:,}')
  console.print(table)
  operations = sum(found.sorts.values())
  shares = ', '.join(f'{sort} {count / operations:.1%} ({count:,})' for sort, count in found.sorts.most_common())
  ordered = sorted(found.seconds)
  console.print(f'{operations:,} operations: {shares}')
  print(f'a call takes {1000 * statistics.median(ordered):.3f} ms in the middle, {1000 * ordered[int(0.99 * len(ordered))]:.2f} ms at 99 %')
  for law, tool in found.broken[:SHOWN]:
    console.print(f'{law} does not hold of {tool}', highlight=False)
