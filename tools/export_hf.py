"""Exports a policy as a Hugging Face folder: that of any finished stage of a run, or a model merged with adapters.

  python -m tools.export_hf --workdir=runs/default --out=DIR                # the last policy, as the run's own model/ folder has it
  python -m tools.export_hf --workdir=runs/default --out=DIR --stage=sft    # or round_1, round_2, ...
  python -m tools.export_hf --workdir=runs/default --out=DIR --dtype=float32   # the masters, not rounded
  python -m tools.export_hf --workdir=runs/default --out=DIR --only_adapter    # of a run with --config.lora.rank: for PEFT
  python -m tools.export_hf --model=BASE --adapter=ADAPTER --out=DIR        # adapters of PEFT's format, merged with their base

`AutoModelForCausalLM.from_pretrained(DIR)` and --config.model.path=DIR load the result. The run may be going on meanwhile.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import app, flags, logging

from inftool_jax.data import places
from inftool_jax.errors import InftoolError
from inftool_jax.loop import exporting
from inftool_jax.models import huggingface

WORKDIR = flags.DEFINE_string('workdir', None, 'folder of the run')
STAGE = flags.DEFINE_string('stage', '', 'sft, round_1, ...; empty for the last that is finished')
ONLY_ADAPTER = flags.DEFINE_bool('only_adapter', False, "the run's adapters in the format of PEFT, instead of the merged model")
MODEL = flags.DEFINE_string('model', None, 'Hugging Face folder to merge with --adapter, in the place of --workdir')
ADAPTER = flags.DEFINE_string('adapter', None, 'folder of adapters in the format of PEFT')
OUT = flags.DEFINE_string('out', None, 'folder to write', required=True)
DTYPE = flags.DEFINE_enum('dtype', 'bfloat16', sorted(huggingface.STORED_AS), 'type of the stored tensors')
SHARD_GB = flags.DEFINE_float('shard_gb', huggingface.SHARD_BYTES / 1e9, 'largest file, in 10^9 bytes', lower_bound=1e-3)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  if bool(WORKDIR.value) == bool(MODEL.value) or bool(MODEL.value) != bool(ADAPTER.value):
    raise app.UsageError('give --workdir, or --model with --adapter')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # the checkpoint library tells every step of its own at INFO
  try:
    print(f'{_write(places.place(OUT.value))} in {OUT.value}')
  except InftoolError as e:
    sys.exit(str(e))


def _write(out: Path) -> str:
  """Writes what the flags ask for; says what that is."""
  limit = int(SHARD_GB.value * 1e9)
  if not WORKDIR.value:
    exporting.write_merged(Path(MODEL.value), Path(ADAPTER.value), out, DTYPE.value, limit)
    return f'{MODEL.value} with the adapters of {ADAPTER.value} is'
  if ONLY_ADAPTER.value:
    return f'the adapters of stage {exporting.write_adapter(places.place(WORKDIR.value), STAGE.value, out)} are'
  return f'the policy of stage {exporting.write_stage(places.place(WORKDIR.value), STAGE.value, out, DTYPE.value, limit)} is'


if __name__ == '__main__':
  app.run(main)
