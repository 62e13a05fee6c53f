"""Arms of an ablation have one budget and one SFT policy, and one command compares them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from inftool_jax.settings import ARMS, REWARDS, Settings, parse
from tests.loop.conftest import ROOT, SHORT, environment


def settings(name: str, preset: str) -> Settings:
  spec = importlib.util.spec_from_file_location(name, ROOT / 'configs' / 'ablations' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return parse(module.get_config(preset))


@pytest.mark.parametrize('preset', ['tiny', 'smoke'])
def test_arms_differ_in_what_they_are_called_after_and_in_the_probes_share_alone(preset: str) -> None:
  for name in ARMS:
    assert settings(name, preset).rounds.arm == name
  rewards = {name: settings(name, preset) for name in REWARDS}
  assert {name: s.rounds.reward for name, s in rewards.items()} == {name: name for name in REWARDS}
  fresh = settings('fresh', preset)
  assert {s.rounds.arm for s in rewards.values()} == {'fresh'} and {s.rounds.tasks for s in rewards.values()} == {fresh.rounds.tasks}
  assert fresh.rounds.tasks > settings('loop', preset).rounds.tasks


def ablate(*flags: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run([sys.executable, '-m', 'tools.ablate', *flags], cwd=ROOT, env=environment(), capture_output=True, text=True)


def test_an_arm_that_has_no_config_is_refused_before_anything_runs(tmp_path: Path) -> None:
  for flags, message in ((('--arms=gated,gatde',), 'unknown arms: gatde; have additive, binary, '), (('--arms=gated',), '--baseline')):
    refused = ablate(f'--out={tmp_path}', *flags)
    assert refused.returncode != 0 and message in refused.stdout + refused.stderr and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_rewards_are_compared_from_one_sft_policy_at_one_budget(tmp_path: Path) -> None:
  sets = [f'--set={flag.removeprefix("--config.")}' for flag in (*SHORT, '--config.rounds.count=1', '--config.rounds.steps=1')]
  done = ablate(f'--out={tmp_path}', '--preset=smoke', '--seeds=1', f'--arms={",".join(REWARDS)}', '--baseline=gated', *sets)
  assert done.returncode == 0, done.stdout + done.stderr + ''.join(p.read_text() for p in tmp_path.glob('*/*.log'))
  figures = json.loads((tmp_path / 'ablations.json').read_text())
  assert set(figures) == {'sft', *REWARDS}
  steps, conversations = ({figures[name]['budget'][of] for name in REWARDS} for of in ('steps', 'conversations'))
  assert steps == {1} and len(conversations) == 1
  assert figures['binary']['over gated'] and figures['gated']['over gated'] is None
  policies = {(tmp_path / 'seed_0' / name / 'sft' / 'policy.json').read_text() for name in ('sft', *REWARDS)}
  assert len(policies) == 1
  assert (tmp_path / 'ablations.md').read_text() in done.stdout
