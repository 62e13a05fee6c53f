"""Updates that fail: counted and kept, and too many in a row end the run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inftool_jax.errors import TrainingError
from inftool_jax.loop import guard
from inftool_jax.settings import Guard
from inftool_jax.training import batching
from inftool_jax.training.optimizer import OptimizerConfig
from tests.training.rows import ADVANTAGE, LAYOUTS

BATCH = batching.batch(LAYOUTS['packed'], 2, 8, ADVANTAGE)


def seen(watch: guard.Watch, *failed: bool) -> list[bool]:
  """What the watch says after each update."""
  out = []
  for number, skipped in enumerate(failed, start=1):
    watch.saw(number, BATCH, {'skipped': np.float32(skipped), 'grad_norm': np.float32(math.nan if skipped else 1.0)})
    out.append(watch.settle())
  return out


def test_the_batch_of_a_skipped_update_is_kept_and_its_place_told(tmp_path, capsys):
  watch = guard.Watch(tmp_path, Guard(0.0, 3), None)
  assert seen(watch, False, True, False) == [False] * 3
  path = tmp_path / guard.FOLDER / 'update_000002.npz'
  assert str(path) in capsys.readouterr().out and [*path.parent.iterdir()] == [path]
  kept = np.load(path)
  assert math.isnan(kept['grad_norm']) and kept['tokens_total'] == BATCH.tokens_total
  for name in ('tokens', 'mask', 'advantage', 'behavior', 'weight'):
    np.testing.assert_array_equal(kept[name], getattr(BATCH, name)[: BATCH.used])
  assert watch.counts() == {'skipped updates': 1}


def test_a_disk_is_not_filled_with_them(tmp_path):
  watch = guard.Watch(tmp_path, Guard(0.0, 100), None)
  seen(watch, *[True] * (guard.KEPT + 3))
  assert len([*(tmp_path / guard.FOLDER).iterdir()]) == guard.KEPT and watch.skipped == guard.KEPT + 3


def test_an_update_is_judged_when_the_next_one_is_under_way(tmp_path):
  watch = guard.Watch(tmp_path, Guard(0.0, 1), None)
  assert not watch.saw(1, BATCH, {'skipped': np.float32(1), 'grad_norm': np.float32(9)})
  assert watch.saw(2, BATCH, {'skipped': np.float32(0), 'grad_norm': np.float32(1)})


def test_too_many_in_a_row_end_the_run_with_a_named_error(tmp_path):
  watch = guard.Watch(tmp_path, Guard(0.0, 3), None)
  assert seen(watch, True, True, False, True, True, True) == [False] * 5 + [True]
  error = watch.error('round_1', 6)
  assert isinstance(error, TrainingError) and 'round_1: the last 3 updates all failed' in str(error) and str(tmp_path) in str(error)


def test_the_count_goes_on_where_a_run_was_interrupted_and_begins_anew_where_it_ended(tmp_path):
  watch = guard.Watch(tmp_path, Guard(0.0, 3), None)
  seen(watch, True, True)
  resumed = guard.Watch(tmp_path, Guard(0.0, 3), watch.position())
  assert seen(resumed, True) == [True]
  again = guard.Watch(tmp_path, Guard(0.0, 3), resumed.position())
  assert again.skipped == 3 and seen(again, True, True) == [False, False]


@pytest.mark.parametrize(('multiple', 'limit'), [(0.0, math.inf), (50.0, 100.0)])
def test_the_limit_is_a_multiple_of_the_clip_norm(multiple, limit):
  assert guard.limit(Guard(multiple, 3), OptimizerConfig(clip_norm=2.0)) == limit
