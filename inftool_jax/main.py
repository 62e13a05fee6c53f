"""The main job: raw API specifications in, a better tool caller out.

  python -m inftool_jax.main --config=configs/round.py
"""

from __future__ import annotations

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from inftool_jax.errors import InftoolError

_CONFIG = config_flags.DEFINE_config_file('config', None, 'Config file, with :PRESET after it if not the default.', lock_config=True)
_WORKDIR = flags.DEFINE_string(
  'workdir', 'runs/default', 'Run folder, on disk or gs://bucket/run. Started again with it, a run goes on where it stopped.'
)
flags.mark_flag_as_required('config')


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser; a mistyped config key becomes one message instead of a traceback."""
  try:
    return app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError, TypeError, ValueError, FileNotFoundError) as e:
    sys.exit(f'error in the command line: {e}')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    sys.exit(f'error in the command line: do not know what to do with {" ".join(argv[1:])}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # the checkpoint library tells every step of its own at INFO
  from inftool_jax import loop  # after the flags: --help and a wrong flag answer at once

  try:
    loop.run(_CONFIG.value, _WORKDIR.value)
  except InftoolError as e:
    sys.exit(f'error: {e}')


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
