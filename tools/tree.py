"""The MCP tree as files beside `tools.jsonl`, and on the console. `tools.ingest --tree` makes it, `--show` prints it.

DIR gets `tree.json` (counts; domain -> server -> tools), `tree_tools.jsonl` (the tools that are left, as in `tools.jsonl`) and
`merges.jsonl` (every merge: what became what, how close they were, why, and what became of their parameters).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree as Drawing

from inftool_jax import types
from inftool_jax.data import manifest
from inftool_jax.errors import InftoolError
from inftool_jax.toolbox import tree
from inftool_jax.toolbox.consolidation import Merge, Method
from inftool_jax.toolbox.embedding import SentenceEmbedder, TfidfEmbedder
from inftool_jax.types import JSON, Tool

TREE, TOOLS, MERGES = 'tree.json', 'tree_tools.jsonl', 'merges.jsonl'
TOLD = 10  # merges on the console; merges.jsonl has them all


@dataclasses.dataclass(frozen=True)
class Options:
  delta: float
  target: int
  domains: int
  embedder: str  # '': TF-IDF; else what sentence-transformers loads


def write(out: Path, options: Options, splits: Mapping[str, str]) -> dict[str, JSON]:
  """Makes the tree of `out`/tools.jsonl, or finds it made already from these tools with these options. Servers of different stated `splits`
  are not merged. Returns what tree.json says."""
  inputs = manifest.sha256_json([manifest.sha256_file(out / 'tools.jsonl'), vars(options), dict(splits)])
  found = _unchanged(out, inputs)
  if found is not None:
    return found
  with open(out / 'tools.jsonl') as f:
    tools = [types.from_json(Tool, json.loads(text)) for text in f]
  embedder = SentenceEmbedder(options.embedder) if options.embedder else TfidfEmbedder()
  console = Console(stderr=True)
  with console.status('merging') as status:
    grown = tree.grow(
      tools, Method(embedder=embedder, delta=options.delta), options.target, options.domains, splits,
      lambda number, left: status.update(f'merging: {left:,} tools after round {number}'))
  merges = b''.join(_dump(types.to_json(merge)) for merge in grown.consolidation.merges)
  files = {TOOLS: b''.join(map(line, grown.tools)), MERGES: merges}
  hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
  found = {'inputs': inputs, **vars(options), **grown.to_json(), 'files': hashes}
  for name, data in files.items():
    manifest.write_bytes(out / name, data)
  manifest.write_bytes(out / TREE, manifest.readable(found))
  return found


def _unchanged(out: Path, inputs: str) -> dict[str, JSON] | None:
  try:
    found = json.loads((out / TREE).read_text())
    same = found['inputs'] == inputs and all(manifest.sha256_file(out / name) == sha for name, sha in found['files'].items())
  except (OSError, ValueError, KeyError, TypeError, InftoolError):
    return None
  return found if same else None


def line(tool: Tool) -> bytes:
  """As `types.to_json` has it, without its walk through schemas, which are JSON already."""
  return _dump({**vars(tool), 'lineage': [vars(origin) for origin in tool.lineage]})


def _dump(value: JSON) -> bytes:
  return json.dumps(value, ensure_ascii=False).encode() + b'\n'


def tell(out: Path, found: Mapping[str, JSON], show: bool) -> None:
  """One line of counts, the first merges, and with `show` the whole tree with the number of raw operations behind each tool."""
  sizes = found['sizes']
  grown = f'{len(sizes) - 1} rounds with {found["merges"]:,} merges, {len(found["domains"])} domains'
  print(f'tree: {" -> ".join(f"{n:,}" for n in sizes)} tools in {grown}')
  with open(out / MERGES) as f:
    for _, told in zip(range(TOLD), f):
      print(f'  {_merge(json.loads(told))}')
  if found['merges'] > TOLD:
    print(f'  ... and {found["merges"] - TOLD:,} more in {MERGES}')
  if show:
    Console().print(_drawing(out, found))


def _merge(told: dict[str, JSON]) -> str:
  return str(types.from_json(Merge, told))


def _drawing(out: Path, found: Mapping[str, JSON]) -> Drawing:
  effects: dict[str, tuple[str, int]] = {}
  with open(out / TOOLS) as f:
    for tool in map(json.loads, f):
      effects[tool['name']] = tool['effect'], len(tool['lineage'])
  root = Drawing(Text(f'{found["sizes"][-1]:,} tools'))
  for domain in found['domains']:
    servers = domain['servers']
    label = f'{domain["label"]}  {len(servers)} servers, {sum(map(len, servers.values())):,} tools'
    branch = root.add(Text(f'{label}  ({", ".join(domain["terms"])})' if domain['terms'] else label, style='bold'))
    for server, names in servers.items():
      counts = collections.Counter(effects[name][0] for name in names)
      leaf = branch.add(Text(f'{server}  {len(names)} tools: {", ".join(f"{n} {effect}" for effect, n in counts.items())}'))
      for name in names:
        effect, origins = effects[name]
        leaf.add(Text(f'{name}  {effect}' + (f', of {origins} operations' if origins > 1 else '')))
  return root
