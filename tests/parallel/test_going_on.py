"""A checkpoint of a mesh goes on elsewhere: on fewer devices, on one, on two processes, with the update that it would have made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from inftool_jax.training import checkpoint, step
from tests.models.small import same_bits
from tests.parallel import going_on

ROOT = Path(__file__).parents[2]


def _start(devices: int, *arguments: object) -> subprocess.Popen[str]:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(devices)}
  command = [sys.executable, '-m', 'tests.parallel.going_on', *map(str, arguments)]
  return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(*processes: subprocess.Popen[str]) -> None:
  told = [process.communicate()[0] for process in processes]
  assert all(process.returncode == 0 for process in processes), '\n'.join(told)


def _free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def _read(folder: Path) -> step.State:
  restored = checkpoint.restore(folder, jax.eval_shape(lambda: going_on.state(None)))
  assert restored is not None and restored.step == 2
  return restored.state


@pytest.mark.slow
def test_the_next_update_is_the_same_on_8_devices_on_2_on_1_and_on_2_processes(tmp_path: Path) -> None:
  _finish(_start(8, tmp_path, tmp_path / 'undisturbed', 4, 2))
  meet = f'127.0.0.1:{_free_port()}'
  _finish(_start(8, tmp_path, tmp_path / '8', 4, 2), _start(2, tmp_path, tmp_path / '2', 1, 2))
  _finish(_start(1, tmp_path, tmp_path / '1', 1, 1))
  _finish(*(_start(4, tmp_path, tmp_path / 'hosts', 4, 2, process, meet) for process in (0, 1)))
  undisturbed = _read(tmp_path / 'undisturbed')
  assert same_bits(_read(tmp_path / '8'), undisturbed)
  for other in ('2', '1', 'hosts'):
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(_read(tmp_path / other)), jax.tree.leaves(undisturbed), strict=True):
      assert np.linalg.norm(np.asarray(x) - y) <= 1e-6 * np.linalg.norm(y), (other, jax.tree_util.keystr(path))
