"""What a run needs before it begins."""

from __future__ import annotations

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
