"""Makes the frozen evaluation file from the test servers of the bundled specifications.

  python -m tools.freeze_evaluation
  python -m tools.freeze_evaluation --baselines   # only measures floor and canaries on the bundled file again

Every figure is measured on this file: making it anew is a new version, after which all figures have to be measured again.
So an existing file is left alone unless --overwrite says otherwise.

Hand-written utterances are JSONL rows {"task": "<id of a generated task>", "opening": "<what a person would say>"}. Each adds
a copy of that task (id + "-h") with its opening replaced; values must be spelled as in the task's own opening. Twins that
share their opening need one row, those that say different things one each. With the same seed the ids stay the same: freeze
without rows first, write rows for ids of that file, then freeze with --overwrite.
"""

from __future__ import annotations

import asyncio
import collections
import sys
from pathlib import Path

from absl import app, flags

from inftool_jax import specs
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.errors import InftoolError
from inftool_jax.evaluation import baselines, freezing, suite
from inftool_jax.loop.context import SHIPPED
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import KINDS

OUT = flags.DEFINE_string('out', str(suite.bundled_path()), 'file to write, .jsonl.gz')
HAND_WRITTEN = flags.DEFINE_string(
  'hand_written', str(suite.bundled_path().with_name('hand_written.jsonl')), 'rows of hand-written openings; empty for none')
UNITS = flags.DEFINE_integer('units', 110, 'units of each kind: tasks, or pairs of twins', lower_bound=1)
SEED = flags.DEFINE_integer('seed', 2026, 'seed of the plan')
BASELINES = flags.DEFINE_bool('baselines', False, 'leave the file, measure the parser floor and the canaries on it')
OVERWRITE = flags.DEFINE_bool('overwrite', False, 'replace an existing file: a new version of every figure')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  if BASELINES.value:
    measure_baselines()
    return
  out = Path(OUT.value)
  if out.exists() and not OVERWRITE.value:
    sys.exit(f'{out} exists. --overwrite makes a new version of it, and of every figure measured on it.')
  ingest = specs.load(specs.bundled_path())
  tools = specs.split(ingest.tools, 0, ingest.splits).test  # the bundled splits are stated, whatever the seed
  try:
    rows = freezing.read_rows(Path(HAND_WRITTEN.value)) if HAND_WRITTEN.value else ()
    frozen = suite.save(out, freezing.freeze(tools, UNITS.value, SEED.value, rows), tools)
  except InftoolError as e:
    sys.exit(str(e))
  found = suite.units(frozen.tasks)
  counts = collections.Counter((unit.kind, unit.hand_written) for unit in found)
  for kind in KINDS:
    print(f'{kind}: {counts[kind, False]} generated, {counts[kind, True]} hand-written')
  print(f'{out}: {len(frozen.tasks)} tasks in {len(found)} units, {len({unit.server for unit in found})} servers, hash {frozen.hash}')
  if out == suite.bundled_path():
    measure_baselines()


def measure_baselines() -> None:
  file = suite.load()
  rows = asyncio.run(baselines.run_all(file.tasks, Simulator(file.tools, 'test'), ChatTokenizer.load(SHIPPED)))
  baselines.keep(rows, file.hash)
  for row in rows:
    over = [kind for kind in row.kinds if row.over(kind)]
    print(f'{row.name}: {100 * row.kinds["mean"]:.1f} % in the mean{", over its bound: " + ", ".join(over) if over else ""}')


if __name__ == '__main__':
  app.run(main)
