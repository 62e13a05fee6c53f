"""Reads API specifications and shows what becomes of them: tools, definitions told twice, and what is skipped and why.

  python -m tools.ingest PATH... --out=DIR             # PATH is whatever --config.specs.paths takes
  python -m tools.ingest PATH... --out=DIR --check     # also validates every schema against the JSON Schema 2020-12 meta-schema
  python -m tools.ingest PATH... --out=DIR --tree      # also merges redundant tools into the MCP tree (tools/tree.py says what is written)
  python -m tools.ingest PATH... --out=DIR --show      # also prints it: domain, server, tool

DIR gets `tools.jsonl`, one Tool a line, `ingest.json`, the counts of each source and every problem with file and pointer, and `cache`,
what each file gave. Files are read in as many processes as there are cores; a file that is what it was is not read again. A call that
finds nothing changed tells the table from `ingest.json`.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jsonschema
from absl import app, flags
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from inftool_jax import specs
from inftool_jax.data import manifest
from inftool_jax.errors import InftoolError
from inftool_jax.specs import reading
from inftool_jax.specs.ingest import files
from inftool_jax.toolbox import consolidation, domains
from inftool_jax.types import JSON
from tools import tree

OUT = flags.DEFINE_string('out', None, 'folder to write', required=True)
JOBS = flags.DEFINE_integer('jobs', os.cpu_count() or 1, 'processes', lower_bound=1)
CHECK = flags.DEFINE_bool('check', False, 'validate every schema against the meta-schema')
TREE = flags.DEFINE_bool('tree', False, 'merge redundant tools into the MCP tree')
SHOW = flags.DEFINE_bool('show', False, 'print the tree (and make it)')
TARGET = flags.DEFINE_integer('target', 0, 'of the tree: merge no further than to this many tools', lower_bound=0)
DELTA = flags.DEFINE_float('delta', consolidation.DELTA, 'of the tree: cosine above which tools are neighbours', 0.01, 0.99)
DOMAINS = flags.DEFINE_integer('domains', domains.COUNT, 'of the tree: domains at most', lower_bound=2)
EMBEDDER = flags.DEFINE_string('embedder', '', 'of the tree: sentence-transformers model (folder or name) in the place of TF-IDF')
EXPLAINED = 3  # problems of one file on the console; ingest.json has them all


def main(argv: list[str]) -> None:
  if len(argv) < 2:
    raise app.UsageError('name at least one specification')
  started, out = time.monotonic(), Path(OUT.value)
  try:
    inputs = _inputs(argv[1:])
    found = _unchanged(out, inputs)
    if found is None:
      found = _ingest(argv[1:], out, inputs)
    grown = tree.write(out, _options(), found['splits']) if TREE.value or SHOW.value else None
  except InftoolError as e:
    sys.exit(str(e))
  _tell(found)
  if grown is not None:
    tree.tell(out, grown, SHOW.value)
  seconds = time.monotonic() - started
  print(f'{found["tools"]:,} tools of {found["servers"]:,} servers from {len(found["sources"])} files in {seconds:.1f} s')
  if CHECK.value:
    _check(out)


def _options() -> tree.Options:
  return tree.Options(delta=DELTA.value, target=TARGET.value, domains=DOMAINS.value, embedder=EMBEDDER.value)


def _inputs(paths: Sequence[str]) -> str:
  """Hash of everything that the result depends on. Raises SpecError as `specs.load` does."""
  found, splits = files(paths)
  return manifest.sha256_json({'files': [[name, reading.key(path)] for path, name in found], 'splits': dict(splits)})


def _unchanged(out: Path, inputs: str) -> dict[str, JSON] | None:
  """What `ingest.json` says, if it was made from these inputs and the tools beside it are those it tells of."""
  try:
    found = json.loads((out / 'ingest.json').read_text())
    same = found['inputs'] == inputs and found['tools_sha256'] == manifest.sha256_file(out / 'tools.jsonl')
  except (OSError, ValueError, KeyError, TypeError, InftoolError):
    return None
  return found if same else None


def _ingest(paths: Sequence[str], out: Path, inputs: str) -> dict[str, JSON]:
  with Progress(console=Console(stderr=True), transient=True) as progress:
    task = progress.add_task('reading', total=len(files(paths)[0]))
    ingest = specs.load(paths, mapping=reading.Reader(out / 'cache', JOBS.value, lambda: progress.advance(task)))
  lines = b''.join(map(tree.line, ingest.tools))
  found = {
    'inputs': inputs, 'tools': len(ingest.tools), 'tools_sha256': hashlib.sha256(lines).hexdigest(),
    'servers': len({t.server for t in ingest.tools}), 'effects': dict(collections.Counter(t.effect for t in ingest.tools)),
    'sources': [vars(c) for c in ingest.read], 'problems': [vars(p) for p in ingest.problems], 'splits': dict(ingest.splits)}
  manifest.write_bytes(out / 'tools.jsonl', lines)
  manifest.write_bytes(out / 'ingest.json', manifest.readable(found))
  return found


def _tell(found: dict[str, JSON]) -> None:
  table = Table('source', 'format', 'servers', 'tools', 'merged', 'skipped', 'simplified')
  for source in found['sources']:
    simplified = source['problems'] - source['skipped'] if source['format'] else 0
    skipped = source['skipped'] if source['format'] else 'all'
    row = (source['file'], source['format'] or '-', source['servers'], source['tools'], source['merged'], skipped, simplified)
    table.add_row(*(str(cell) for cell in row))
  Console().print(table)
  reasons: dict[str, list[str]] = {}
  for problem in found['problems']:
    reasons.setdefault(problem['file'], []).append(str(specs.Problem(**problem)))
  for told in reasons.values():
    print('\n'.join(told[:EXPLAINED]))
    if len(told) > EXPLAINED:
      print(f'  ... and {len(told) - EXPLAINED} more in ingest.json')


def _check(out: Path) -> None:
  """Tells the share of operations that became tools whose schemas are valid. Operations are tools, repeats and what was skipped."""
  with open(out / 'tools.jsonl', 'rb') as f, multiprocessing.get_context('spawn').Pool(JOBS.value) as pool:
    invalid = [name for name in pool.imap(_invalid, f, chunksize=64) if name]
  sources = json.loads((out / 'ingest.json').read_text())['sources']
  tools, skipped = sum(s['tools'] for s in sources), sum(s['skipped'] for s in sources)
  share = (tools - len(invalid)) / max(tools + skipped, 1)
  print(f'{100 * share:.2f} % of {tools + skipped:,} operations are tools with valid schemas; {skipped} skipped, {len(invalid)} invalid')
  print('\n'.join(invalid))


def _invalid(line: bytes) -> str:
  """The tool's name if a schema of its breaks the meta-schema, else ''."""
  tool = json.loads(line)
  schemas = [s for s in (tool['input_schema'], tool['output_schema']) if s is not None]
  return '' if all(map(_meta_schema().is_valid, schemas)) else tool['name']


@functools.cache
def _meta_schema() -> jsonschema.Draft202012Validator:
  """Made once in a process: `check_schema` makes it anew for every schema, which takes longer than the check."""
  return jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)


if __name__ == '__main__':
  app.run(main)
