"""The loop with adapters: the base stays, stages hold adapters only, and what a run leaves is one model however it is read."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from inftool_jax.loop import exporting
from inftool_jax.loop.context import SHIPPED
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface, lora, peft
from tests.loop.conftest import SHORT, finish, start

FLAGS = (
  *SHORT, '--config.lora.rank=4', '--config.lora.alpha=8', "--config.lora.targets=('q|v','down')", '--config.rounds.count=1',
  '--config.sft.steps=4', '--config.sft.checkpoint_every=2', "--config.stages=('synthesise','sft','rounds')",
)  # fmt: skip


def _hashes(workdir: Path) -> list[str]:
  return [json.loads((workdir / stage / 'policy.json').read_text())['params_hash'] for stage in ('sft', 'round_1')]


@pytest.mark.slow
def test_a_run_of_adapters_leaves_a_merged_model_and_the_adapters_and_goes_on_after_kill_9(tmp_path: Path) -> None:
  workdir = tmp_path / 'run'
  done = finish(workdir, *FLAGS)
  assert done.returncode == 0, done.stdout + done.stderr
  assert 'M in adapters' in done.stdout

  # The model is the base and the adapters.
  base = decoder_config.from_huggingface(SHIPPED, lora=peft.read_config(workdir / 'adapter'))
  assert (base.lora.rank, base.lora.alpha, base.lora.names) == (4, 8.0, ('q', 'v', 'down'))
  params = lora.join(huggingface.load(SHIPPED, base), peft.load(workdir / 'adapter', base))
  assert all(np.asarray(x).any() for x in jax.tree.leaves(lora.split(params)[1])), 'nothing was trained'
  merged = huggingface.load(workdir / 'model', dataclasses.replace(base, lora=None))
  for name, leaf in merged['blocks'].items():
    expected = np.asarray(lora.merged(lora.parts(params['blocks'], name), name, base.lora))
    np.testing.assert_allclose(leaf, expected, rtol=2**-8, err_msg=name)  # bfloat16
    assert name in base.lora.names or (np.asarray(leaf) == expected).all()

  # Every way to export it gives the same files.
  exporting.write_stage(workdir, '', tmp_path / 'stage', 'bfloat16', 10**9)
  exporting.write_merged(SHIPPED, workdir / 'adapter', tmp_path / 'merged', 'bfloat16', 10**9)
  exporting.write_adapter(workdir, 'round_1', tmp_path / 'adapter')
  for folder, same in (('stage', 'model'), ('merged', 'model'), ('adapter', 'adapter')):
    assert {f.name: f.read_bytes() for f in (tmp_path / folder).iterdir()} == {f.name: f.read_bytes() for f in (workdir / same).iterdir()}

  # Killed and started again it ends in the same adapters.
  other = tmp_path / 'killed'
  process = start(other, *FLAGS)
  deadline = time.monotonic() + 600
  while not (other / 'sft' / 'checkpoints' / 'step_00000002' / 'manifest.json').exists():
    assert process.poll() is None and time.monotonic() < deadline, other.with_suffix('.log').read_text()
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  done = finish(other, *FLAGS)
  assert done.returncode == 0, done.stdout + done.stderr
  assert _hashes(other) == _hashes(workdir)
