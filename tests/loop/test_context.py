"""What a run needs before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from configs import round as presets
from inftool_jax import settings
from inftool_jax.errors import ConfigError
from inftool_jax.loop import context


def test_a_run_needs_weights_where_compiling_needs_only_a_shape(tmp_path: Path) -> None:
  with pytest.raises(ConfigError, match=r'--config\.model\.path: name the Hugging Face folder of the checkpoint'):
    context.prepare(settings.parse(presets.get_config('qwen2_5_32b')), tmp_path)
  assert not [*tmp_path.iterdir()]


def test_a_run_goes_on_from_the_base_that_it_began_with(tmp_path: Path) -> None:
  base = shutil.copytree(context.SHIPPED, tmp_path / 'base')
  config = presets.get_config('smoke')
  config.model.path = config.model.tokenizer = str(base)
  run = tmp_path / 'run'
  context.prepare(settings.parse(config), run)
  context.prepare(settings.parse(config), run)

  weights = bytearray((base / 'model.safetensors').read_bytes())
  weights[-1] ^= 1
  (base / 'model.safetensors').write_bytes(weights)
  with pytest.raises(ConfigError, match=r'is not the base that the run in .* began with: model\.safetensors changed'):
    context.prepare(settings.parse(config), run)
