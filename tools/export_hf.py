"""Exports the policy of any finished stage of a run as a Hugging Face folder.

  python -m tools.export_hf --workdir=runs/default --out=DIR                # the last policy, as the run's own model/ folder has it
  python -m tools.export_hf --workdir=runs/default --out=DIR --stage=sft    # or round_1, round_2, ...
  python -m tools.export_hf --workdir=runs/default --out=DIR --dtype=float32   # the masters, not rounded

`AutoModelForCausalLM.from_pretrained(DIR)` and --config.model.path=DIR load the result. The run may be going on meanwhile.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import app, flags, logging

from inftool_jax.errors import InftoolError
from inftool_jax.loop import exporting
from inftool_jax.models import huggingface

WORKDIR = flags.DEFINE_string('workdir', None, 'folder of the run', required=True)
OUT = flags.DEFINE_string('out', None, 'folder to write', required=True)
STAGE = flags.DEFINE_string('stage', '', 'sft, round_1, ...; empty for the last that is finished')
DTYPE = flags.DEFINE_enum('dtype', 'bfloat16', sorted(huggingface.STORED_AS), 'type of the stored tensors')
SHARD_GB = flags.DEFINE_float('shard_gb', huggingface.SHARD_BYTES / 1e9, 'largest file, in 10^9 bytes', lower_bound=1e-3)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # the checkpoint library tells every step of its own at INFO
  try:
    stage = exporting.write_stage(Path(WORKDIR.value), STAGE.value, Path(OUT.value), DTYPE.value, int(SHARD_GB.value * 1e9))
  except InftoolError as e:
    sys.exit(str(e))
  print(f'the policy of stage {stage} is in {OUT.value}')


if __name__ == '__main__':
  app.run(main)
