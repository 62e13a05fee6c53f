"""The whole loop on the smoke preset: what a run leaves, resumption, and kill -9 at any moment (invariants 4 and 7)."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import signal
import time

import numpy as np
import pytest

from inftool_jax.data import manifest, store
from inftool_jax.data.packing import pack
from inftool_jax.errors import ConfigError
from inftool_jax.evaluation import suite
from inftool_jax.loop import exporting
from inftool_jax.loop.context import SHIPPED
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface
from inftool_jax.training import checkpoint, step
from inftool_jax.types import KINDS, Task, Trajectory
from tests.loop.conftest import SHORT, finish, start

STAGES = (
  'synthesise', 'evaluation_base', 'sft', 'evaluation_sft', 'round_1_probe', 'round_1', 'evaluation_round_1', 'round_2_probe',
  'round_2', 'evaluation_round_2',
)  # fmt: skip
POLICIES = ('sft', 'round_1', 'round_2')


def params_hashes(workdir: pathlib.Path, stages: tuple[str, ...] = POLICIES) -> dict[str, str]:
  return {s: json.loads((workdir / s / 'policy.json').read_text())['params_hash'] for s in stages}


def content(workdir: pathlib.Path, stages: tuple[str, ...] = STAGES) -> dict[str, str]:
  """Stage -> hash of everything the stage wrote but the time it took."""
  return {s: manifest.find(workdir / s).content_hash for s in stages}


def test_every_stage_is_done_and_tells_its_success_by_kind(finished_run):
  results = json.loads((finished_run / 'results.json').read_text())
  assert list(results['stages']) == ['synthesise', 'base', 'sft', 'round_1_probe', 'round_1', 'round_2_probe', 'round_2']
  assert results['evaluation_hash'] == suite.load().hash
  for stage in ('base', 'sft', 'round_1', 'round_2'):
    rates = results['stages'][stage]['success']
    assert set(rates) == {*KINDS, 'mean'}
    assert all(r['low'] <= r['success'] <= r['high'] for r in rates.values())
    apart = results['stages'][stage]['apart']
    assert sum(apart[part]['mean']['n'] for part in apart if part in ('generated', 'hand_written')) == rates['mean']['n']
    failed = sum(r['n'] * (1 - r['success']) for kind, r in rates.items() if kind != 'mean')
    assert sum(results['stages'][stage]['failed'].values()) == round(failed)


def test_the_first_verified_trajectory_the_table_and_the_report_are_shown(finished_run):
  printed = finished_run.with_suffix('.log').read_text()
  assert 'The first trajectory (verified)' in printed and '<tool_call>' in printed
  assert 'Success on the held-out tools' in printed
  assert 'report.html' in printed
  assert re.search(r'round 2 over sft: [+-][\d.]+ points', printed)
  page = (finished_run / 'report.html').read_text()
  assert 'Success on held-out tools' in page and 'floor' in page


def test_a_round_changes_the_policy_if_and_only_if_some_group_had_unequal_rewards(finished_run):
  hashes = params_hashes(finished_run)
  for before, after in itertools.pairwise(POLICIES):
    counts = manifest.find(finished_run / after).counts
    groups = counts['conversations'] // 4
    assert (hashes[before] != hashes[after]) == (counts['zero-variance groups'] + counts['dropped groups'] < groups)


def test_sft_lowers_the_loss_on_what_it_saw(finished_run):
  accepted = list(store.read(finished_run / 'synthesise', Trajectory, 'accepted'))[:6]
  packed = pack(accepted, 1024)
  config = decoder_config.from_huggingface(finished_run / 'model')
  trained = huggingface.load(finished_run / 'model', config)
  base = huggingface.load(SHIPPED, config)
  arrays = tuple(np.asarray(getattr(packed, f'{name}_BxT')) for name in ('tokens', 'segments', 'parents', 'positions'))
  mask = packed.loss_mask_BxT
  logp = {name: np.asarray(step.score(params, arrays, config))[mask].mean() for name, params in (('base', base), ('trained', trained))}
  assert logp['trained'] > logp['base'] + 0.5


def test_accepted_and_rejected_are_stored_and_every_rollout_is_token_aligned(finished_run):
  accepted = store.read(finished_run / 'synthesise', Trajectory, 'accepted')
  assert len(accepted) > 0 and all(t.gates['success'] == 1 for t in accepted)
  store.read(finished_run / 'synthesise', Trajectory, 'rejected')
  rollouts = finished_run / 'round_1' / 'rollouts'
  names = sorted(p.name.removesuffix('.index.json') for p in rollouts.glob('*.index.json'))
  played = [t for name in names for t in store.read(rollouts, Trajectory, name)]
  assert len(played) == 2 * 4 * 4  # steps x tasks x group
  assert all((v >= 0) == m for t in played for v, m in zip(t.policy_versions, t.loss_mask))


def test_no_training_task_offers_a_held_out_tool(finished_run):
  held_out = {t.name for t in suite.load().tools} | {t.server for t in suite.load().tools}
  for stage in ('synthesise', 'round_1_probe', 'round_1', 'round_2_probe', 'round_2'):
    for task in store.read(finished_run / stage, Task, 'tasks'):
      assert not held_out & {n for t in task.tools for n in (t.name, t.server)}


def test_the_last_policy_is_a_hugging_face_folder_that_another_run_starts_from(finished_run, tmp_path):
  again = finish(tmp_path / 'again', *SHORT, f'--config.model.path={finished_run / "model"}', "--config.stages=('synthesise',)")
  assert again.returncode == 0, again.stdout + again.stderr


def test_any_finished_stage_can_be_exported(finished_run, tmp_path):
  limit = 10**9
  assert exporting.write_stage(finished_run, '', tmp_path / 'last', 'bfloat16', limit) == 'round_2'
  for file in (finished_run / 'model').iterdir():
    assert (tmp_path / 'last' / file.name).read_bytes() == file.read_bytes(), file.name
  exporting.write_stage(finished_run, 'sft', tmp_path / 'sft', 'float32', limit)
  exported = huggingface.load(tmp_path / 'sft', decoder_config.from_huggingface(tmp_path / 'sft'))
  assert checkpoint.params_hash(exported) == params_hashes(finished_run)['sft']
  with pytest.raises(ConfigError, match="stage 'round_3' with a policy; finished: sft, round_1, round_2"):
    exporting.write_stage(finished_run, 'round_3', tmp_path / 'none', 'bfloat16', limit)
  with pytest.raises(ConfigError, match='not the folder of a run'):
    exporting.write_stage(tmp_path, '', tmp_path / 'none', 'bfloat16', limit)


def test_a_finished_run_says_so_and_changes_nothing(finished_run):
  before = content(finished_run)
  again = finish(finished_run, *SHORT)
  assert again.returncode == 0 and 'finished' in again.stdout
  assert content(finished_run) == before


def test_a_run_folder_of_another_config_is_refused_with_the_difference(finished_run):
  other = finish(finished_run, *SHORT, '--config.rounds.steps=3')
  assert other.returncode != 0
  assert 'rounds.steps (there 2, here 3)' in other.stderr and 'Traceback' not in other.stderr


@pytest.mark.slow
def test_stages_may_run_one_by_one_and_end_in_the_same_policy(finished_run, tmp_path):
  workdir = tmp_path / 'parts'
  for part in (('synthesise',), ('sft',), ('rounds',), ('evaluate',)):
    done = finish(workdir, *SHORT, f'--config.stages={part}')
    assert done.returncode == 0, done.stdout + done.stderr
  assert params_hashes(workdir) == params_hashes(finished_run)
  assert content(workdir) == content(finished_run)
  model = 'model/model.safetensors'  # the last call trained nothing, and must not export the base
  assert (workdir / model).read_bytes() == (finished_run / model).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize('arm', ['rft', 'sft_more'])
def test_an_arm_goes_on_from_the_policy_of_another_run_and_evaluates_what_it_is_told_to(arm, finished_run, tmp_path):
  borrowed = (f'--config.sft.checkpoint={finished_run}', f'--config.rounds.arm={arm}', '--config.evaluation.every=2')
  done = finish(tmp_path / arm, *SHORT, *borrowed, "--config.stages=('sft','rounds','evaluate')")
  assert done.returncode == 0, done.stdout + done.stderr
  assert params_hashes(tmp_path / arm)['sft'] == params_hashes(finished_run)['sft']
  stages = json.loads((tmp_path / arm / 'results.json').read_text())['stages']
  assert list(stages) == ['sft', 'round_1', 'round_2']
  assert [name for name, stage in stages.items() if stage['success']] == ['round_2']
  for name in ('round_1', 'round_2'):
    counts = stages[name]['counts']
    assert counts['steps'] == (2 if counts['trajectories'] else 0)  # rejection sampling may reject everything
    assert counts.get('conversations', 0) == (2 * 4 * 4 if arm == 'rft' else 0)  # steps, tasks, samples


@pytest.mark.slow
def test_a_round_may_replay_the_cold_start_of_the_run_that_its_policy_is_from(finished_run, tmp_path):
  options = (f'--config.sft.checkpoint={finished_run}', '--config.rounds.arm=fresh', '--config.rounds.count=1', '--config.rounds.steps=1')
  done = finish(tmp_path / 'run', *SHORT, *options, '--config.rounds.replay=0.25', "--config.stages=('sft','rounds')")
  assert done.returncode == 0, done.stdout + done.stderr
  hashes = params_hashes(tmp_path / 'run', ('sft', 'round_1'))
  assert hashes['sft'] == params_hashes(finished_run)['sft'] != hashes['round_1']  # whatever the rewards, there was something to learn


MOMENTS = {
  'synthesis': lambda w: (w / 'synthesise').exists() and not (w / 'synthesise' / 'manifest.json').exists(),
  'sft': lambda w: (w / 'sft' / 'checkpoints' / 'step_00000004' / 'manifest.json').exists(),
  'grpo': lambda w: (w / 'round_1' / 'checkpoints' / 'step_00000001' / 'manifest.json').exists(),
}


@pytest.mark.slow
@pytest.mark.parametrize('moment', MOMENTS)
def test_after_kill_9_the_same_command_ends_with_the_same_parameters(moment, finished_run, tmp_path):
  workdir = tmp_path / moment
  # To the final parameters each time; what evaluations write is compared by the other two.
  only = ("--config.stages=('synthesise','sft','rounds')",) if moment == 'synthesis' else ()
  process = start(workdir, *SHORT, *only)
  deadline = time.monotonic() + 600
  while not MOMENTS[moment](workdir):
    assert process.poll() is None and time.monotonic() < deadline, workdir.with_suffix('.log').read_text()
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  done = finish(workdir, *SHORT, *only)
  assert done.returncode == 0, done.stdout + done.stderr
  stages = tuple(s for s in STAGES if not (only and s.startswith('evaluation_')))
  assert params_hashes(workdir) == params_hashes(finished_run)
  assert content(workdir, stages) == content(finished_run, stages)
