"""Saves a state in a process of its own, which kills itself by SIGKILL at a chosen moment.

  python -m tests.training.dying FOLDER STATE.npz EVENT PART

The moment is the first audit event EVENT (`open` for writing, `os.mkdir`, `os.remove`, `os.rename`, `shutil.rmtree`) with PART in its path.
A rename is the copy that it is on some file systems, and the moment is in the middle of it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from inftool_jax.training import checkpoint


def _watch(event: str, part: str) -> None:
  def hook(name: str, arguments: tuple) -> None:
    if name != event or (name == 'open' and not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
      return
    if any(part in os.fsdecode(a) for a in arguments if isinstance(a, (str, bytes, os.PathLike))):
      if name == 'os.rename':
        source, target = map(Path, arguments[:2])
        target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
      os.kill(os.getpid(), signal.SIGKILL)

  sys.addaudithook(hook)


if __name__ == '__main__':
  folder, state, event, part = sys.argv[1:]
  arrays = dict(np.load(state))
  with checkpoint.Checkpointer(folder, keep=1) as saver:
    _watch(event, part)
    saver.save(2, arrays, 2, {'at': 2})
