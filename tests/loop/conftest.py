"""The smoke preset, started the way a user starts it."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from inftool_jax.loop import context as contexts
from inftool_jax.settings import parse

ROOT = pathlib.Path(__file__).parents[2]
# Smaller still than the preset: every stage runs, none is long.
SHORT = (
  '--config.synthesis.per_kind={"single": 6, "multiple": 6, "parallel": 6, "multi_step": 6, "missing_parameter": 4, "irrelevance": 4}',
  '--config.sampling.max_new_tokens=64', '--config.sampling.context=1024', '--config.evaluation.n=1', '--config.probe.units=6',
  '--config.sft.rows=2',
)  # fmt: skip


def preset(name: str):
  """The config that `configs/round.py` has for it."""
  spec = importlib.util.spec_from_file_location('round_config', ROOT / 'configs' / 'round.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(name)


@pytest.fixture(scope='session')
def context(tmp_path_factory):
  """Of a run of the smoke preset that has not begun."""
  return contexts.prepare(parse(preset('smoke')), tmp_path_factory.mktemp('run'))


def command(workdir: pathlib.Path, *flags: str) -> list[str]:
  return [sys.executable, '-m', 'inftool_jax.main', '--config=configs/round.py:smoke', f'--workdir={workdir}', *flags]


def environment() -> dict[str, str]:
  return {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONUNBUFFERED': '1'}


def start(workdir: pathlib.Path, *flags: str) -> subprocess.Popen[str]:
  """The main job in the background; its output goes to a file beside the run folder."""
  log = open(workdir.with_suffix('.log'), 'a')
  return subprocess.Popen(command(workdir, *flags), cwd=ROOT, env=environment(), stdout=log, stderr=subprocess.STDOUT, text=True)


def finish(workdir: pathlib.Path, *flags: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(command(workdir, *flags), cwd=ROOT, env=environment(), capture_output=True, text=True)


@pytest.fixture(scope='session')
def finished_run(tmp_path_factory) -> pathlib.Path:
  """A run of all stages that nobody disturbed."""
  workdir = tmp_path_factory.mktemp('runs') / 'undisturbed'
  done = finish(workdir, *SHORT)
  assert done.returncode == 0, done.stdout + done.stderr
  workdir.with_suffix('.log').write_text(done.stdout)
  return workdir
