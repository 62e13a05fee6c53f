"""The figures that tools.aot recorded, as the Markdown tables of launch/README.md.

  python -m tools.aot_table launch/aot.json
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import app

from inftool_jax.parallel.topology import GIB, chip
from tools.aot_cases import LEARNER

Entry = Mapping[str, Any]
Column = tuple[str, Callable[[Entry], str]]


def main(argv: list[str]) -> None:
  if len(argv) != 2:
    raise app.UsageError('expected the file that --results of tools.aot named')
  try:
    entries = json.loads(pathlib.Path(argv[1]).read_text())
  except (OSError, ValueError) as e:
    sys.exit(f'error: {argv[1]} cannot be read as results of tools.aot: {e}')
  print(tables(entries))


def tables(entries: Sequence[Entry]) -> str:
  """One table of updates and one of the sampler's programs."""
  updates = sorted((e for e in entries if e['program'] in LEARNER), key=_order)
  dispatches = [e for e in entries if e['program'] not in LEARNER]
  return '\n'.join([_table(UPDATES, updates), _table(DISPATCHES, dispatches)])


def _order(e: Entry) -> tuple[Any, ...]:
  length = re.search(r'rows of ([\d,]+) tokens', e['case'])
  tokens = int(length[1].replace(',', '')) if length else 0
  return e['preset'], e['program'], 'adapters' in e['case'], e['topology'], tokens, e['case']


def _table(columns: Sequence[Column], entries: Sequence[Entry]) -> str:
  rows = [[name for name, _ in columns], ['---'] * len(columns), *([cell(e) for _, cell in columns] for e in entries)]
  return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def _memory(e: Entry) -> str:
  capacity = chip(e['topology']).memory / GIB
  if 'total' not in e:
    return f'**does not fit** in {capacity:.0f}'
  text = f'{e["arguments"] / GIB:.1f} + {e["temporaries"] / GIB:.1f} = {e["total"] / GIB:.1f} of {capacity:.0f}'
  return text if e['fits'] else f'**does not fit**: {text}'


def _seconds(e: Entry) -> str:
  names = ('compute_seconds', 'memory_seconds', 'link_seconds')
  return ', '.join(f'{e[name]:.3g}' if name in e else '' for name in names)


def _times_least(axis: str) -> Callable[[Entry], str]:
  def cell(e: Entry) -> str:
    sent, least = e.get('collective_bytes', {}).get(axis), e.get('least_collective_bytes', {}).get(axis)
    return f'{sent / least:.2f}' if sent and least else ''

  return cell


UPDATES: Sequence[Column] = (
  ('update of', lambda e: f'`{e["preset"]}` {e["program"]}'),
  ('topology', lambda e: e['topology']),
  ('case', lambda e: e['case']),
  ('arguments + temporaries, GiB', _memory),
  ('FLOPs / model\'s', lambda e: f'{e["recompute"]:.2f}'),
  ('seconds at least: compute, memory, links', _seconds),
  ('MFU at most', lambda e: f'{100 * e["mfu_upper_bound"]:.1f} %'),
  ('fsdp bytes / least', _times_least('fsdp')),
  ('tensor bytes / least', _times_least('tensor')),
  ('compiled in', lambda e: f'{e["compile_seconds"]:.0f} s'),
)
DISPATCHES: Sequence[Column] = (
  ('program of', lambda e: f'`{e["preset"]}` {e["program"]}'),
  ('topology', lambda e: e['topology']),
  ('case', lambda e: e['case']),
  ('arguments + temporaries, GiB', _memory),
  ('seconds at least: compute, memory, links', _seconds),
  ('compiled in', lambda e: f'{e["compile_seconds"]:.0f} s'),
)

if __name__ == '__main__':
  app.run(main)
