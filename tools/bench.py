"""Measures what the documentation's figures are made of.

  python -m tools.bench checkpoint --gb=2              # import and export of a random checkpoint of so many 10^9 bytes, in shards
  python -m tools.bench checkpoint --gb=2 --int8       # the same import as the frozen base of adapters
  python -m tools.bench tree DIR --out=FOLDER          # the MCP tree of what tools.ingest wrote to DIR: time, growth, recall, precision
  python -m tools.bench operations FILE...             # class, entity and key as inferred, against labels given by hand
  python -m tools.bench servers DIR                    # the laws of simulated servers, on every server of what tools.ingest wrote to DIR
  python -m tools.bench update --work=FILE --model=DIR # one GRPO update on ready-made rollouts: time, memory, loss, gradient norm
  python -m tools.bench gpu --shape=qwen2_5_32b        # one accelerator, random weights: forward, LoRA update, decoding, against its limits
  python -m tools.bench sampler --work=FILE --model=DIR --workload=group   # rollouts of ready-made requests: tokens a second, memory
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import app, flags

from inftool_jax.errors import InftoolError
from tools import bench_checkpoint, bench_gpu, bench_operations, bench_sampler, bench_servers, bench_tree, bench_update

OUT = flags.DEFINE_string('out', None, 'tree: folder to write figures and plots to')


def main(argv: list[str]) -> None:
  try:
    if argv[1:] == ['checkpoint']:
      bench_checkpoint.run()
    elif argv[1:] == ['gpu']:
      bench_gpu.run()
    elif argv[1:2] == ['tree'] and len(argv) == 3 and OUT.value:
      bench_tree.run(Path(argv[2]), Path(OUT.value))
    elif argv[1:2] == ['operations'] and len(argv) > 2:
      bench_operations.run([Path(a) for a in argv[2:]])
    elif argv[1:2] == ['servers'] and len(argv) == 3:
      bench_servers.run(Path(argv[2]))
    elif argv[1:] == ['update'] and bench_update.WORK.value and bench_update.MODEL.value:
      bench_update.run(Path(bench_update.WORK.value), Path(bench_update.MODEL.value))
    elif argv[1:] == ['sampler'] and bench_update.WORK.value and bench_update.MODEL.value:
      bench_sampler.run(Path(bench_update.WORK.value), Path(bench_update.MODEL.value))
    else:
      raise app.UsageError(
        'expected checkpoint, gpu, tree DIR --out=FOLDER, operations FILE..., servers DIR, or update or sampler --work=FILE --model=DIR'
      )
  except InftoolError as e:
    sys.exit(str(e))


if __name__ == '__main__':
  app.run(main)
