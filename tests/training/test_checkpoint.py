"""Checkpoints: round trip, damage, interruption, and what is kept."""

from __future__ import annotations

import gc
import logging
import resource
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from inftool_jax.data import manifest
from inftool_jax.errors import CheckpointError, ConfigError
from inftool_jax.training import checkpoint, leaves, stored

# After one read or write of Orbax failed, those under way find their event loop closed; nobody waits for them.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning', 'ignore::RuntimeWarning')

POSITION = {'round': 1, 'batch': 17, 'done': ['a', 'b']}


def _state(seed: int, width: int = 64) -> dict[str, Any]:
  keys = jax.random.split(jax.random.key(seed), 2)
  params = {'query': jax.random.normal(keys[0], (width, 128)), 'norm': jnp.ones(width, jnp.bfloat16) * seed}
  return {'params': params, 'optimizer': optax.adamw(1e-3).init(params), 'step': seed}


def _save(folder: Path, *steps: int, keep: int = 5) -> None:
  with checkpoint.Checkpointer(folder, keep) as saver:
    for step in steps:
      saver.save(step, _state(step), policy_version=step + 1, position=POSITION)


def _assert_equal(a: Any, b: Any) -> None:
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)
  assert checkpoint.params_hash(a) == checkpoint.params_hash(b)


def _flip(path: Path) -> None:
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def _largest(step_folder: Path) -> Path:
  return max((p for p in step_folder.rglob('*') if p.is_file()), key=lambda p: (p.stat().st_size, str(p)))


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
  assert checkpoint.restore(tmp_path, _state(0)) is None and checkpoint.latest(tmp_path / 'none') is None
  _save(tmp_path, 3)
  restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None
  _assert_equal(restored.state, _state(3))
  assert type(restored.state['step']) is int and restored.state['params']['norm'].dtype == jnp.bfloat16
  assert (restored.step, restored.policy_version, restored.position) == (3, 4, POSITION)
  assert restored.path == checkpoint.latest(tmp_path) == tmp_path / 'step_00000003'


def test_shapes_are_enough_to_restore(tmp_path: Path) -> None:
  _save(tmp_path, 3)
  restored = checkpoint.restore(tmp_path, jax.eval_shape(lambda: _state(0)) | {'step': 0})
  assert restored is not None
  _assert_equal(restored.state, _state(3))


def test_donating_the_state_after_save_does_not_change_what_is_saved(tmp_path: Path) -> None:
  overwrite = jax.jit(lambda s: jax.tree.map(jnp.zeros_like, s), donate_argnums=0)
  with checkpoint.Checkpointer(tmp_path) as saver:
    state = jax.tree.map(jnp.asarray, _state(3))
    saver.save(3, state, 0, None)
    jax.block_until_ready(overwrite(state))
  restored = checkpoint.restore(tmp_path, jax.tree.map(jnp.asarray, _state(0)))
  assert restored is not None
  _assert_equal(restored.state, jax.tree.map(jnp.asarray, _state(3)))


def test_orbax_restores_a_flipped_bit_and_we_go_back_to_the_checkpoint_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
  _save(tmp_path, 1, 2)
  _flip(_largest(tmp_path / 'step_00000002'))
  with pytest.raises(CheckpointError, match='step_00000002: tensor .* does not have the content'):  # not Orbax's own error
    checkpoint.load(tmp_path / 'step_00000002', _state(0))
  with caplog.at_level(logging.WARNING):
    restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None and restored.step == 1
  _assert_equal(restored.state, _state(1))
  assert 'step_00000002' in caplog.text and 'before' in caplog.text


def test_a_leaf_that_orbax_reads_without_complaint_is_rejected_by_its_hash(tmp_path: Path) -> None:
  _save(tmp_path, 1)
  path = tmp_path / 'step_00000001'
  changed = {k: np.asarray(v) for k, v in leaves.flatten(_state(1)).items()}
  changed['params.query'] = changed['params.query'].copy()
  changed['params.query'].view(np.uint32)[3, 5] ^= 1
  with ocp.StandardCheckpointer() as orbax:
    orbax.save(path / 'arrays', changed, force=True)
  with pytest.raises(CheckpointError, match=r'params\.query'):
    checkpoint.load(path, _state(0))


def test_any_damaged_file_is_noticed_or_harmless(tmp_path: Path) -> None:
  _save(tmp_path, 1)
  path = tmp_path / 'step_00000001'
  rejected = 0
  for file in sorted(p for p in path.rglob('*') if p.is_file()):
    original = file.read_bytes()
    _flip(file)
    try:
      _assert_equal(checkpoint.load(path, _state(0)).state, _state(1))
    except CheckpointError:
      rejected += 1
    file.write_bytes(original)
  gc.collect()
  assert rejected >= 3


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
  _save(tmp_path, 1)
  _flip(_largest(tmp_path / 'step_00000001'))
  with pytest.raises(CheckpointError, match='No checkpoint is left'):
    checkpoint.restore(tmp_path, _state(0))


def test_an_interrupted_checkpoint_is_skipped_and_can_be_saved_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
  _save(tmp_path, 1, 2)
  (tmp_path / 'step_00000002' / manifest.NAME).unlink()
  with caplog.at_level(logging.WARNING):
    assert checkpoint.latest(tmp_path) == tmp_path / 'step_00000001'
  assert 'step_00000002 was interrupted' in caplog.text
  _save(tmp_path, 2)
  assert checkpoint.latest(tmp_path) == tmp_path / 'step_00000002'


def test_the_newest_are_kept_and_older_leftovers_go(tmp_path: Path) -> None:
  _save(tmp_path, 1)
  (tmp_path / 'step_00000001' / manifest.NAME).unlink()
  _save(tmp_path, 2, 3, 10, keep=2)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['step_00000003', 'step_00000010']


def test_a_damaged_checkpoint_does_not_push_out_those_that_a_run_saves_on_its_way_back_to_it(tmp_path: Path) -> None:
  _save(tmp_path, 1, 6)
  _flip(_largest(tmp_path / 'step_00000006'))
  _save(tmp_path, 2, keep=1)
  restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None and restored.step == 2


def _save_with(folder: Path, best: str, scores: dict[int, float], keep: int = 2) -> list[int]:
  """Saves a checkpoint with each score and returns the steps that are left."""
  with checkpoint.Checkpointer(folder, keep, best) as saver:
    for step, success in scores.items():
      saver.save(step, {'x': jnp.ones(3)}, 0, None, {'success': success, 'loss': -success})
  return [stored.number(path) for path in stored.steps(stored.absolute(folder))]


def test_the_best_is_kept_beside_the_newest_until_a_better_one_comes(tmp_path: Path) -> None:
  scores = {1: 0.2, 2: 0.9, 3: 0.4, 4: float('nan'), 5: 0.5}
  assert _save_with(tmp_path / 'a', 'highest success', scores) == [2, 4, 5]
  assert _save_with(tmp_path / 'a', 'highest success', {6: 0.9, 7: 0.1, 8: 0.2}) == [6, 7, 8]  # of equals the newest
  assert _save_with(tmp_path / 'b', 'lowest loss', scores) == [2, 4, 5]
  assert _save_with(tmp_path / 'c', '', scores, keep=1) == [5]


def test_a_damaged_checkpoint_is_not_the_best(tmp_path: Path) -> None:
  _save_with(tmp_path, 'highest success', {1: 0.5, 2: 0.9})
  path = tmp_path / 'step_00000002' / manifest.NAME
  path.write_text(path.read_text().replace('0.9', '0.7'))
  assert _save_with(tmp_path, 'highest success', {3: 0.1, 4: 0.2}) == [1, 3, 4]


def test_a_metric_that_no_update_has_is_told_with_those_that_there_are(tmp_path: Path) -> None:
  with checkpoint.Checkpointer(tmp_path, best='highest sucess') as saver:
    with pytest.raises(ConfigError, match="'highest sucess', but the metrics of an update are loss, success"):
      saver.check({'success': 0.1, 'loss': 3.0})
  with checkpoint.Checkpointer(tmp_path) as saver:
    saver.check({})


def test_a_run_that_fell_back_saves_the_damaged_step_again(tmp_path: Path) -> None:
  _save(tmp_path, 1, 2)
  _flip(_largest(tmp_path / 'step_00000002'))
  _save(tmp_path, 2)
  restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None and restored.step == 2


def test_a_changed_manifest_is_a_damaged_checkpoint(tmp_path: Path) -> None:
  _save(tmp_path, 1, 2)
  path = tmp_path / 'step_00000002' / manifest.NAME
  path.write_text(path.read_text().replace('"batch": 17', '"batch": 18'))
  restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None and restored.step == 1
  assert checkpoint.latest(tmp_path) == tmp_path / 'step_00000001'


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda s: s | {'extra': jnp.zeros(1)}, r'another model or optimizer: tensor extra is missing there and float32\[1\] here\.'),
    (lambda s: {k: v for k, v in s.items() if k != 'params'}, r'norm is bfloat16\[64\] there and not expected here; 1 more differ'),
    (lambda s: _state(0, width=32), r'norm is bfloat16\[64\] there and bfloat16\[32\] here'),
    (lambda s: s | {'step': 0.5}, r'step is int64\[\] there and float64\[\] here\.'),
  ],
)
def test_a_state_that_does_not_fit_is_an_error_not_a_fallback(tmp_path: Path, change: Any, message: str) -> None:
  _save(tmp_path, 1, 2)
  with pytest.raises(CheckpointError, match=message):
    checkpoint.restore(tmp_path, change(_state(0)))


def test_a_full_disk_is_one_error_and_the_checkpoint_before_stays(tmp_path: Path) -> None:
  _save(tmp_path, 1)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
  try:
    with pytest.raises(CheckpointError, match='step_00000002 cannot be saved'):
      _save(tmp_path, 2)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  gc.collect()
  restored = checkpoint.restore(tmp_path, _state(0))
  assert restored is not None and restored.step == 1


def test_params_hash_depends_on_names_types_shapes_and_bytes_only() -> None:
  a = {'x': jnp.arange(4.0), 'y': jnp.zeros(2)}
  assert checkpoint.params_hash(a) == checkpoint.params_hash({'y': np.zeros(2, np.float32), 'x': np.arange(4, dtype=np.float32)})
  others = [
    {'x': jnp.arange(4.0), 'z': jnp.zeros(2)},
    {'x': jnp.arange(4), 'y': jnp.zeros(2)},
    {'x': jnp.arange(4.0).reshape(2, 2), 'y': jnp.zeros(2)},
    {'x': jnp.arange(4.0).at[3].set(3.0000002), 'y': jnp.zeros(2)},
    {'x': jnp.arange(4.0), 'y': -jnp.zeros(2)},
  ]
  assert len({checkpoint.params_hash(t) for t in [a, *others]}) == 6
