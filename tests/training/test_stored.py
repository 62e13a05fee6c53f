"""Checkpoints in an object store: what is there is what is on disk, whatever happens on the way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inftool_jax.training import checkpoint, stored
from tests.support.object_store import ObjectStore

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning', 'ignore::RuntimeWarning')


def _state(seed: int) -> dict[str, np.ndarray]:
  return {'up': np.random.default_rng(seed).normal(size=(64, 96)).astype(np.float32), 'step': np.array(seed)}


def _save(folder: Path, *steps: int, keep: int = 2) -> None:
  with checkpoint.Checkpointer(folder, keep) as saver:
    for n in steps:
      saver.save(n, _state(n), n, {'at': n})


def _goes_on_from(folder: Path) -> int:
  restored = checkpoint.restore(folder, _state(0))
  assert restored is not None and restored.position == {'at': restored.step}
  for name, array in _state(restored.step).items():
    np.testing.assert_array_equal(restored.state[name], array)
  return restored.step


def test_states_come_back_the_oldest_go_and_nothing_is_renamed(objects: ObjectStore, bucket: Path) -> None:
  assert checkpoint.restore(bucket, _state(0)) is None and checkpoint.latest(bucket) is None
  _save(bucket, 1, 2, 3)
  assert _goes_on_from(bucket) == 3 and [stored.number(path) for path in stored.steps(bucket)] == [2, 3]
  assert dict(stored.tensors(path := checkpoint.latest(bucket), stored.read_manifest(path)))['up'].shape == (64, 96)
  name = str(bucket).removeprefix('gs://').partition('/')[0]
  assert not any('step_00000001' in key for where, key in objects.objects if where == name)
  assert not any('rewriteTo' in line or 'copyTo' in line or 'moveTo' in line for line in objects.log)


def test_an_object_that_changed_sends_us_to_the_checkpoint_before(
  objects: ObjectStore, bucket: Path, caplog: pytest.LogCaptureFixture
) -> None:
  _save(bucket, 1, 2)
  name = str(bucket).removeprefix('gs://').partition('/')[0]
  key = max((k for k in objects.objects if k[0] == name and 'step_00000002' in k[1]), key=lambda k: len(objects.objects[k][0]))
  data = bytearray(objects.objects[key][0])
  data[len(data) // 2] ^= 1
  objects.put(*key, bytes(data))
  with caplog.at_level(logging.WARNING):
    assert _goes_on_from(bucket) == 1
  assert 'step_00000002' in caplog.text and 'Trying the checkpoint before it' in caplog.text


@pytest.mark.parametrize('cut', ['step_00000002/arrays/ocdbt', 'step_00000002/arrays/manifest.ocdbt', 'step_00000002/manifest.json'])
def test_after_kill_9_in_an_upload_the_checkpoint_before_is_used(objects: ObjectStore, bucket: Path, tmp_path: Path, cut: str) -> None:
  _save(bucket, 1)
  np.savez(tmp_path / 'state.npz', **_state(2))
  command = [sys.executable, '-m', 'tests.training.dying', str(bucket), str(tmp_path / 'state.npz'), 'never', 'never']
  process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, stderr=subprocess.PIPE, text=True)

  def before_put(name: str) -> bool:
    if cut not in name:
      return True
    process.kill()
    return False

  objects.before_put = before_put
  try:
    _, told = process.communicate(timeout=120)
  finally:
    objects.before_put = lambda name: True
  assert process.returncode == -signal.SIGKILL, told
  assert _goes_on_from(bucket) == 1
  _save(bucket, 2)
  assert _goes_on_from(bucket) == 2
