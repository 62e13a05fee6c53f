"""The MCP tree of given tools: time, growth, and how many perturbed duplicates it finds.

Writes `tree.json` and the plot `tree_growth.png` to `--out`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags
from rich.console import Console
from rich.table import Table

from inftool_jax import seeds, types
from inftool_jax.data import manifest
from inftool_jax.errors import StoreError
from inftool_jax.toolbox import perturbing, tree
from inftool_jax.toolbox.consolidation import consolidate
from inftool_jax.types import JSON, Tool

SEEDS = flags.DEFINE_integer('seeds', 3, 'tree: draws of perturbed duplicates', lower_bound=1)
FIRST_DRAW = 100  # lower ones were looked at while the method was made
COPIES, TRAPS = 0.25, 0.125  # shares of the tools that get a perturbed duplicate, and a trap
STEPS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the growth curve


def run(data: Path, out: Path) -> None:
  """Time over all tools; growth up to twice as many, half of them perturbed; quality over several draws and for each change alone.

  Duplicates are made of the tools that are left when the given ones are merged: what two people wrote alike is then one tool, and any
  other merge counts as wrong.
  """
  tools = read_tools(data)
  started, processor = time.monotonic(), time.process_time()
  grown = tree.grow(tools)
  found: dict[str, JSON] = {
    'tools': len(tools), 'left': len(grown.tools), 'seconds': time.monotonic() - started,
    'processor_seconds': time.process_time() - processor, 'cores': os.cpu_count()}
  print(f'{len(tools):,} tools -> {len(grown.tools):,} in {found["seconds"]:.1f} s ({found["processor_seconds"]:.1f} s of processor time)')
  found['quality'] = _quality(grown.tools)
  found['growth'] = _growth(grown.tools)
  manifest.write_bytes(out / 'tree.json', manifest.readable(found))
  _plot(found['growth'], out / 'tree_growth.png')
  print(f'{out / "tree.json"}, {out / "tree_growth.png"}')


def read_tools(folder: Path) -> tuple[Tool, ...]:
  try:
    with open(folder / 'tools.jsonl') as f:
      return tuple(types.from_json(Tool, json.loads(line)) for line in f)
  except (OSError, ValueError) as e:
    raise StoreError(f'{folder / "tools.jsonl"} cannot be read ({e}); make it with python -m tools.ingest') from e


def _quality(tools: Sequence[Tool]) -> list[JSON]:
  table = Table('changes', 'seed', 'duplicates', 'recall', 'precision', 'wrong pairs', 'read with write')
  runs: list[tuple[Sequence[str], int]] = [(perturbing.CHANGES, seed) for seed in range(FIRST_DRAW, FIRST_DRAW + SEEDS.value)]
  runs += [((change,), FIRST_DRAW) for change in perturbing.CHANGES]
  out: list[JSON] = []
  for changes, seed in runs:
    perturbed = perturbing.perturb(tools, int(COPIES * len(tools)), int(TRAPS * len(tools)), seed, changes)
    q = perturbing.quality(perturbed, consolidate(perturbed.tools))
    out.append({'changes': list(changes), 'seed': seed, **vars(q), 'recall': q.recall, 'precision': q.precision})
    cells = ('+'.join(changes), seed, q.expected, f'{q.recall:.3f}', f'{q.precision:.3f}', q.wrong, q.contradictory)
    table.add_row(*map(str, cells))
  Console().print(table)
  return out


def _growth(tools: Sequence[Tool]) -> list[dict[str, float]]:
  """Processor time over parts of the servers, each with as many perturbed copies: a clock would measure who else computes here.

  Whole servers, and copies of each part anew: parts drawn from all tools and copies would have the fewer duplicates the smaller they are.
  """
  servers = sorted({tool.server for tool in tools})
  order = seeds.rng(0, 'growth').sample(servers, len(servers))
  out = []
  for share in STEPS:
    chosen = set(order[: round(share * len(servers))])
    kept = [tool for tool in tools if tool.server in chosen]
    part = perturbing.perturb(kept, len(kept), 0, 0).tools
    processor = time.process_time()
    left = len(tree.grow(part).tools)
    out.append({'tools': len(part), 'left': left, 'processor_seconds': time.process_time() - processor})
    print(f'{len(part):,} tools -> {left:,} in {out[-1]["processor_seconds"]:.1f} s of processor time')
  return out


def _plot(growth: Sequence[Mapping[str, float]], path: Path) -> None:
  import matplotlib

  matplotlib.use('agg')
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(6, 4), layout='constrained')
  n, seconds = [g['tools'] for g in growth], [g['processor_seconds'] for g in growth]
  axes.plot(n, seconds, marker='o', label='measured')
  axes.plot(n, [seconds[-1] / n[-1] * x for x in n], linestyle='--', color='gray', label='proportional')
  axes.set(xlabel='tools', ylabel='processor time, s', title='The MCP tree: time over number of tools', xlim=(0, None), ylim=(0, None))
  axes.legend()
  axes.grid(alpha=0.3)
  path.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(path, dpi=120)
