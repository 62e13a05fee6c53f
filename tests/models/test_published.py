"""Published shapes are those of the checkpoints: their numbers of parameters are on the model cards."""

from __future__ import annotations

import pytest

from inftool_jax.models.config import from_dict
from inftool_jax.models.published import PUBLISHED

PARAMETERS = {
  'qwen2_5_7b': 7_615_616_512, 'qwen2_5_32b': 32_763_876_352, 'qwen3_8b': 8_190_735_360, 'qwen3_32b': 32_762_123_264,
  'llama3_8b': 8_030_261_248, 'maxtext_32b': 31_663_333_376,
}  # fmt: skip


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_decoders_have_the_published_number_of_parameters(name: str) -> None:
  config = from_dict(PUBLISHED[name], remat='full')
  assert (config.parameters, config.head_dim, config.remat) == (PARAMETERS[name], 128, 'full')
