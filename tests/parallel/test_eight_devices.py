"""The mesh's tests need more devices than one, which a process must ask for before it has any: they run in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name('eight_devices.py')


def test_all_that_must_hold_on_a_mesh() -> None:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '8'}
  command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', str(CASES)]
  done = subprocess.run(command, cwd=CASES.parents[2], env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stdout + done.stderr
  assert ' passed' in done.stdout
