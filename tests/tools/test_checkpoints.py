"""The command that lists, checks and shows checkpoints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.data import manifest
from inftool_jax.training import checkpoint, stored
from tools import checkpoints

ROOT = Path(__file__).parents[2]


def _state(seed: int) -> dict[str, jnp.ndarray]:
  rng = np.random.default_rng(seed)
  return {'up': jnp.asarray(rng.normal(size=(64, 96)), jnp.float32), 'norm': jnp.full(5, 2.0, jnp.bfloat16), 'step': jnp.int32(seed)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
  """The folder of a run in its first round: SFT is finished, and saves of the round were interrupted and damaged."""
  workdir = tmp_path / 'run'
  manifest.write_bytes(workdir / 'config.json', json.dumps({'sft': {}, 'rounds': {'checkpoint_best': 'highest success'}}).encode())
  with checkpoint.Checkpointer(workdir / 'sft' / 'policy') as saver:
    saver.save(0, {'up': _state(0)['up']}, 1, None)
  with checkpoint.Checkpointer(workdir / 'round_1' / 'checkpoints', keep=9) as saver:
    for step, success in ((3, 0.25), (6, 0.5), (9, 0.125), (12, 0.375)):
      saver.save(step, _state(step), step, {'conversations': step}, {'success': success})
  (workdir / 'round_1' / 'checkpoints' / 'step_00000012' / manifest.NAME).unlink()
  path = workdir / 'round_1' / 'checkpoints' / 'step_00000003'
  largest = max((p for p in path.rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  data = bytearray(largest.read_bytes())
  data[len(data) // 2] ^= 1
  largest.write_bytes(data)
  return workdir


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  command = [sys.executable, '-m', 'tools.checkpoints', *map(str, arguments)]
  return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def _cells(told: str) -> list[list[str]]:
  return [re.split(' {2,}', line) for line in told.splitlines() if '  ' in line][1:]


def _rows(told: str) -> dict[tuple[str, str], str]:
  """(folder, step) -> state."""
  return {(row[0], row[1]): row[4] for row in _cells(told)}


def test_every_checkpoint_is_listed_with_its_state(run: Path) -> None:
  done = _run(run)
  assert done.returncode == 0, done.stderr
  assert _rows(done.stdout) == {
    ('round_1/checkpoints', '3'): 'whole', ('round_1/checkpoints', '6'): 'whole, best (highest success)',
    ('round_1/checkpoints', '9'): 'whole', ('round_1/checkpoints', '12'): 'interrupted', ('sft/policy', '0'): 'whole',
  }  # fmt: skip
  assert 'success 0.25' in done.stdout and 'tensors not read' in done.stdout


def test_verify_reads_every_tensor_and_names_the_one_that_differs(run: Path) -> None:
  done = _run(run, '--verify')
  assert done.returncode == 1 and 'Traceback' not in done.stderr
  states = _rows(done.stdout)
  assert {step for (_, step), state in states.items() if state.startswith('corrupt')} == {'3'}
  assert 'step_00000003: tensor ' in done.stdout
  stored.remove(stored.absolute(run / 'round_1' / 'checkpoints' / 'step_00000003'))
  whole = _run(run, '--verify')
  assert whole.returncode == 0 and 'the content of every tensor is what was saved' in whole.stdout


def test_a_checkpoint_is_shown_with_shapes_and_norms(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
  checkpoints.show(stored.absolute(run / 'round_1' / 'checkpoints' / 'step_00000006'))
  told = capsys.readouterr().out
  cells = {name: rest for name, *rest in _cells(told) if len(rest) == 3}
  assert cells['norm'] == ['5', 'bfloat16', f'{np.sqrt(20):.6g}'] and cells['step'] == ['-', 'int32', '6']
  assert cells['up'] == ['64 x 96', 'float32', f'{np.linalg.norm(np.asarray(_state(6)["up"], np.float64)):.6g}']
  assert 'step 6, policy version 6, 3 tensors' in told and '{"conversations": 6}' in told and 'success 0.5' in told


def test_a_run_in_an_object_store_is_listed_and_verified(bucket: Path, capsys: pytest.CaptureFixture[str]) -> None:
  with checkpoint.Checkpointer(bucket / 'sft' / 'checkpoints') as saver:
    saver.save(3, _state(3), 1, None)
  assert checkpoints.listed(bucket, verify=True)
  assert _rows(capsys.readouterr().out) == {('sft/checkpoints', '3'): 'whole'}


def test_what_cannot_be_listed_or_shown_is_one_clear_line(run: Path, tmp_path: Path) -> None:
  for arguments, message in (
    ((tmp_path / 'none',), 'none is no folder'),
    ((tmp_path,), 'has no checkpoints'),
    ((run / 'round_1' / 'checkpoints', '--show'), 'is no complete checkpoint; name one of step_00000003, step_00000006'),
    ((), 'expected the folder of a run'),
  ):
    done = _run(*arguments)
    assert done.returncode != 0 and message in done.stdout + done.stderr and 'Traceback' not in done.stderr


def test_help_tells_the_ways_to_call_it() -> None:
  told = _run('--help').stdout
  assert '--verify' in told and '--show' in told and 'gs://' in told
