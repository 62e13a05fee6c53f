"""Eight devices must be asked for before a process has any: the objectives' tests on a mesh run in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).with_name('objectives_on_a_mesh.py')


def test_every_objective_has_one_devices_gradient_on_eight() -> None:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '8'}
  command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', str(CASES)]
  done = subprocess.run(command, cwd=CASES.parents[2], env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stdout + done.stderr
  assert ' passed' in done.stdout
