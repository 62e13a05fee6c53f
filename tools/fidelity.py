"""Compares a simulated server with the real one: the calls of a real session are made again in the simulator.

  python -m tools.fidelity record 'npx -y @modelcontextprotocol/server-memory' --calls=calls.jsonl --out=DIR
  python -m tools.fidelity compare DIR... --bar=0.8

calls.jsonl has a call a line, {"tool": "get_item", "arguments": {"id": "${0:/id}"}}; ${0:/id} is what the first answer has at /id. `record`
makes them, with all that they do to the real server, and writes what it lists (tools.json) and answers (recording.jsonl) to DIR.
`compare` prints the conformance of each tool and ends with code 1 if any is below the bar. inftool_jax/servers/fidelity.py says what is
compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags
from rich.console import Console
from rich.table import Table

from inftool_jax import specs, types
from inftool_jax.data import manifest
from inftool_jax.errors import InftoolError, StoreError
from inftool_jax.report.tables import percent
from inftool_jax.servers import fidelity, recording
from inftool_jax.servers.fidelity import Conformance, Recorded
from inftool_jax.types import Call, Tool

CALLS = flags.DEFINE_string('calls', None, 'record: file of the calls to make')
OUT = flags.DEFINE_string('out', None, 'record: folder to write')
BAR = flags.DEFINE_float('bar', 0.8, 'compare: what each share of a tool should reach', lower_bound=0, upper_bound=1)
SEED = flags.DEFINE_integer('seed', 0, 'compare: of the simulator', lower_bound=0)

LISTED, RECORDED = 'tools.json', 'recording.jsonl'
WIDTH = 140  # columns of the table in a file or pipe


def main(argv: list[str]) -> None:
  try:
    if argv[1:2] == ['record'] and len(argv) == 3 and CALLS.value and OUT.value:
      record(argv[2], Path(CALLS.value), Path(OUT.value))
    elif argv[1:2] == ['compare'] and len(argv) > 2:
      sys.exit(compare([Path(folder) for folder in argv[2:]]))
    else:
      raise app.UsageError('expected record SERVER --calls=FILE --out=DIR, or compare DIR...')
  except InftoolError as e:
    sys.exit(str(e))


def record(server: str, calls: Path, out: Path) -> None:
  dump, recorded = recording.record(server, _calls(calls))
  manifest.write_bytes(out / RECORDED, b''.join(json.dumps(types.to_json(r), ensure_ascii=False).encode() + b'\n' for r in recorded))
  manifest.write_bytes(out / LISTED, manifest.readable(dump))
  refused = sum(r.result.is_error for r in recorded)
  print(f'{len(recorded)} calls, {refused} of them refused; {len(dump["tools"])} tools: {out}')


def _calls(path: Path) -> list[Call]:
  found = []
  try:
    for number, line in enumerate(path.read_text().splitlines(), 1):
      if line.strip():
        call = json.loads(line)
        if not isinstance(call, dict) or not isinstance(call.get('tool'), str) or not isinstance(call.get('arguments', {}), dict):
          raise StoreError(f'{path}:{number}: expected {{"tool": NAME, "arguments": {{...}}}}')
        found.append(Call(call['tool'], call.get('arguments', {})))
  except (OSError, ValueError) as e:
    raise StoreError(f'{path} cannot be read: {e}') from e
  return found


def compare(folders: Sequence[Path]) -> int:
  """Prints the table of all sessions; 1 if a tool is below the bar."""
  table = Table('server', 'tool', 'calls', 'agreement', 'schema', 'fields', 'state', '')
  low = 0
  for folder in folders:
    tools, recorded = _session(folder)
    server = tools[0].server if tools else folder.name
    called = fidelity.compare(tools, recorded, SEED.value)
    for c in called:
      low += c.least < BAR.value
      table.add_row(server, c.tool, str(c.calls), *_shares(c), 'below the bar' if c.least < BAR.value else '')
    untried = sorted({tool.name for tool in tools} - {c.tool for c in called})
    if untried:
      print(f'{server}: not called and not compared: {", ".join(untried)}')
  Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
  print(f'{low} of {table.row_count} tools are below {percent(BAR.value)} %')
  return int(low > 0)


def _shares(c: Conformance) -> list[str]:
  return ['' if share is None else percent(share) for share in (c.agreement, c.schema, c.fields, c.state)]


def _session(folder: Path) -> tuple[tuple[Tool, ...], list[Recorded]]:
  """The tools as we read them, and the calls under our names of them."""
  try:
    dump = json.loads((folder / LISTED).read_text())
    recorded = [_recorded(json.loads(line)) for line in (folder / RECORDED).read_text().splitlines()]
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise StoreError(f'{folder} holds no recorded session ({e}); make one with python -m tools.fidelity record') from e
  tools = specs.load(folder / LISTED).tools
  ours = {dump['tools'][int(tool.lineage[0].pointer.rsplit('/', 1)[1])]['name']: tool.name for tool in tools}
  return tools, [Recorded(Call(ours.get(r.call.tool, r.call.tool), r.call.arguments), r.result) for r in recorded]


def _recorded(raw: dict) -> Recorded:
  return Recorded(types.from_json(types.Call, raw['call']), types.from_json(types.Result, raw['result']))


if __name__ == '__main__':
  app.run(main)
