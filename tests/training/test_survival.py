"""Whatever happens to a checkpoint, training goes on to the very state that it would have reached undisturbed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.training import batching, checkpoint, leaves, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG, same_bits, weights
from tests.training.rows import ADVANTAGE, LAYOUTS

ROOT = Path(__file__).parents[2]
TRANSFORM = optimizer.make(OptimizerConfig('adamw', learning_rate=1e-3), 10)
PROGRAM = step.make(CONFIG, TRANSFORM, objectives.make(ObjectiveConfig()))
BATCH = batching.batch(LAYOUTS['packed'], 4, 2, ADVANTAGE)

pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning', 'ignore::RuntimeWarning')


def _updated(state: step.State, count: int) -> step.State:
  state = jax.tree.map(jnp.copy, state)  # an update donates its state
  for _ in range(count):
    state, *_ = PROGRAM(state, BATCH, {})
  return state


@pytest.fixture(scope='module')
def undisturbed() -> list[step.State]:
  """The states after 0, 1, 2, 3 updates."""
  states = [jax.device_put(step.init(weights(CONFIG), TRANSFORM), jax.devices()[0])]  # where a restored one lies, too
  for _ in range(3):
    states.append(_updated(states[-1], 1))
  return states


def _goes_on(folder: Path, undisturbed: list[step.State]) -> int:
  """Trains from what is restored up to 3 updates, which must give the undisturbed state bit for bit. Returns where it went on."""
  restored = checkpoint.restore(folder, undisturbed[0])
  assert restored is not None and restored.position == {'at': restored.step}
  assert same_bits(_updated(restored.state, 3 - restored.step), undisturbed[3])
  return restored.step


def _save(folder: Path, undisturbed: list[step.State], *numbers: int, keep: int = 2) -> None:
  with checkpoint.Checkpointer(folder, keep) as saver:
    for n in numbers:
      saver.save(n, undisturbed[n], n, {'at': n})


MOMENTS = {  # event, part of its path -> the step that training goes on from
  'before anything is written': ('os.mkdir', 'step_00000002', 1),
  'among the arrays': ('open', 'arrays', 1),
  'when the arrays are there': ('open', 'manifest.json.tmp', 1),
  'in the rename of the manifest, which is a copy': ('os.rename', 'manifest.json', 1),
  'before the old one goes': ('os.remove', 'step_00000001', 2),
  'when the old one is no checkpoint any more': ('shutil.rmtree', 'step_00000001', 2),
}


@pytest.mark.parametrize('moment', MOMENTS)
def test_after_kill_9_in_a_save_the_next_step_is_the_same(moment: str, undisturbed: list[step.State], tmp_path: Path) -> None:
  event, part, goes_on_from = MOMENTS[moment]
  _save(tmp_path / 'run', undisturbed, 1)
  np.savez(tmp_path / 'state.npz', **{name: np.asarray(x) for name, x in leaves.flatten(undisturbed[2]).items()})
  command = [sys.executable, '-m', 'tests.training.dying', str(tmp_path / 'run'), str(tmp_path / 'state.npz'), event, part]
  done = subprocess.run(command, cwd=ROOT, env={**os.environ, 'JAX_PLATFORMS': 'cpu'}, capture_output=True, text=True, check=False)
  assert done.returncode == -signal.SIGKILL, done.stderr
  assert _goes_on(tmp_path / 'run', undisturbed) == goes_on_from
  _save(tmp_path / 'run', undisturbed, 2, 3)  # over whatever was left
  assert _goes_on(tmp_path / 'run', undisturbed) == 3


def test_after_a_flipped_byte_the_next_step_is_the_same(
  undisturbed: list[step.State], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
  _save(tmp_path, undisturbed, 1, 2)
  largest = max((p for p in (tmp_path / 'step_00000002').rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  data = bytearray(largest.read_bytes())
  data[len(data) // 2] ^= 1
  largest.write_bytes(data)
  with caplog.at_level(logging.WARNING):
    assert _goes_on(tmp_path, undisturbed) == 1
  assert 'step_00000002' in caplog.text and 'Trying the checkpoint before it' in caplog.text
