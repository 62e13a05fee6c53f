"""The loop with adapters: what a run leaves is one model however it is read. How it resumes: tests/training/test_adapters.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from inftool_jax.loop import exporting
from inftool_jax.loop.context import SHIPPED
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface, lora, peft
from tests.loop.conftest import SHORT, finish

FLAGS = (
  *SHORT, '--config.lora.rank=4', '--config.lora.alpha=8', "--config.lora.targets=('q|v','down')", '--config.rounds.count=1',
  '--config.sft.steps=4', '--config.sft.checkpoint_every=2', "--config.stages=('synthesise','sft','rounds')",
)  # fmt: skip


@pytest.mark.slow
def test_a_run_of_adapters_leaves_a_merged_model_and_the_adapters_however_they_are_exported(tmp_path: Path) -> None:
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
