"""A round with every option: it runs, it resumes to the same bits, and what fails ends it with a checkpoint."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from inftool_jax.data import manifest, store
from inftool_jax.loop import grpo, guard, policy
from inftool_jax.training import stored
from inftool_jax.types import Trajectory
from tests.loop.conftest import SHORT, finish, start

BASE = (
  *SHORT, "--config.stages=('synthesise','sft','rounds')", '--config.rounds.count=1', '--config.rounds.arm=fresh', '--config.sft.steps=2',
  '--config.sft.checkpoint_every=2', '--config.rounds.tasks=2',
)  # fmt: skip
OPTIONS = (
  '--config.rounds.objective.name=cispo', '--config.rounds.objective.kl=loss', '--config.rounds.objective.kl_coefficient=0.01',
  '--config.rounds.objective.correction=sequence', '--config.rounds.updates_per_batch=2', '--config.rounds.refills=1',
  '--config.rounds.replay=0.25', '--config.rounds.overlong_limit=64', '--config.rounds.overlong_buffer=32',
  '--config.rounds.credit=turn', '--config.rounds.optimizer.name=adamw', '--config.rounds.optimizer.moment=bfloat16',
  '--config.rounds.optimizer.learning_rate=1e-4', '--config.rounds.steps=3', '--config.rounds.voiced=True',
)  # fmt: skip


def rollouts(stage: Path) -> list[list[tuple[int, ...]]]:
  return [[t.tokens for t in store.read(stage / grpo.ROLLOUTS, Trajectory, f'rollouts_{n:05d}')] for n in (1, 2, 3)]


@pytest.mark.slow
def test_a_round_with_every_option_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
  workdir, killed = tmp_path / 'run', tmp_path / 'killed'
  process = start(workdir, *BASE, *OPTIONS)
  while not [*(workdir / 'round_1' / policy.CHECKPOINTS).glob('step_0000000[12]/manifest.json')]:
    assert process.poll() is None, workdir.with_suffix('.log').read_text()
    time.sleep(0.05)
  process.send_signal(signal.SIGSTOP)
  shutil.copytree(workdir, killed)  # what kill -9 at this moment would leave
  process.send_signal(signal.SIGCONT)
  assert process.wait() == 0, workdir.with_suffix('.log').read_text()
  resumed = finish(killed, *BASE, *OPTIONS)
  assert resumed.returncode == 0, resumed.stdout + resumed.stderr

  first, second = (manifest.find(folder / 'round_1') for folder in (workdir, killed))
  assert first.content_hash == second.content_hash and rollouts(workdir / 'round_1') == rollouts(killed / 'round_1')
  assert first.counts['steps'] == 6 and first.counts['conversations'] >= 3 * 2 * 4 and 'skipped updates' not in first.counts
  states = {n: stored.read_manifest(workdir / 'round_1' / policy.CHECKPOINTS / f'step_{n:08d}') for n in (2, 3)}
  assert {n: state.policy_version for n, state in states.items()} == {2: 3, 3: 4}  # SFT's is 1
  before, after = (json.loads((workdir / stage / 'policy.json').read_text())['params_hash'] for stage in ('sft', 'round_1'))
  assert before != after


@pytest.mark.slow
def test_updates_that_all_fail_end_the_run_with_a_checkpoint_and_their_batches(tmp_path: Path) -> None:
  workdir = tmp_path / 'run'
  limits = ('--config.sft.optimizer.clip_norm=1e-9', '--config.guard.multiple=1.0', '--config.guard.in_a_row=3')
  failed = finish(workdir, *BASE, '--config.sft.steps=9', *limits)
  assert failed.returncode != 0 and 'Traceback' not in failed.stderr
  assert 'error: sft: the last 4 updates all failed and changed nothing' in failed.stderr
  kept = sorted((workdir / 'sft' / guard.FOLDER).iterdir())
  assert [p.name for p in kept] == [f'update_{n:06d}.npz' for n in (1, 2, 3, 4)] and all(str(p) in failed.stdout for p in kept)
  assert np.load(kept[0])['mask'].any() and np.load(kept[0])['grad_norm'] > 1e-9
  assert max(p.name for p in (workdir / 'sft' / policy.CHECKPOINTS).iterdir()) == 'step_00000004'
