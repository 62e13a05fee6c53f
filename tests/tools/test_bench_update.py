"""The update that is measured is GRPO's on the given rollouts, whatever rows they stand in."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.training import objectives, optimizer, step
from tests.models.small import CONFIG, weights
from tools import bench_update as bench


@pytest.fixture(scope='module')
def work(tmp_path_factory) -> Path:
  """Two groups of two samples."""
  rng = np.random.default_rng(0)
  prompts = [rng.integers(0, CONFIG.vocab, 12).tolist() for _ in range(2)]
  train = {
    'prompt': [p for p in prompts for _ in range(2)], 'completion': rng.integers(0, CONFIG.vocab, (4, 6)).tolist(),
    'advantages': [0.7, -0.7, 1.0, -1.0],
  }  # fmt: skip
  path = tmp_path_factory.mktemp('work') / 'work.json'
  path.write_text(json.dumps({'train': train}))
  return path


def test_samples_stand_behind_one_copy_of_their_prompt_and_all_of_a_completion_is_trained(work: Path) -> None:
  groups, advantages = bench.read(work, 4)
  assert [len(g) for g in groups] == [2, 2] and advantages.dtype == np.float32
  batch = bench.batch(groups, advantages, 12 + 2 * 7, 1)
  assert batch.tokens.shape == (2, 1, 26) and batch.tokens_total == 4 * 6 and (batch.segments > 0).sum() == 2 * (11 + 2 * 7)
  np.testing.assert_allclose(batch.weight[batch.mask], 1)


def test_rows_change_neither_loss_nor_gradient_norm(work: Path) -> None:
  groups, advantages = bench.read(work, 4)
  transform = optimizer.make(bench.OPTIMIZER, 2)
  found = []
  for row_length, rows in ((18, 4), (26, 1)):
    program = step.make(CONFIG, transform, objectives.make(bench.OBJECTIVE))
    _, metrics, _ = program(step.init(weights(CONFIG), transform), bench.batch(groups, advantages, row_length, rows), {})
    found.append((float(metrics['loss']), float(metrics['grad_norm'])))
    assert metrics['ratio'] == 1
  assert found[0] == pytest.approx(found[1], rel=1e-5, abs=1e-6) and jax.device_count() == 1


def test_what_cannot_be_used_is_told(work: Path, tmp_path: Path) -> None:
  with pytest.raises(ConfigError, match='cannot be read as work'):
    bench.read(tmp_path / 'none.json', 4)
  groups, advantages = bench.read(work, 4)
  with pytest.raises(ConfigError, match='--row_length=17: sequence 0 has 18 tokens'):
    bench.batch(groups, advantages, 17, 1)
