"""Published shapes are those of the checkpoints: their numbers of parameters are on the model cards."""

from __future__ import annotations

import pytest

from inftool_jax.models.config import from_dict
from inftool_jax.models.published import PUBLISHED


@pytest.mark.parametrize(('name', 'parameters'), [('qwen2_5_7b', 7_615_616_512), ('qwen2_5_32b', 32_763_876_352)])
def test_published_decoders_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
  config = from_dict(PUBLISHED[name], remat='full')
  assert (config.parameters, config.head_dim, config.context, config.remat) == (parameters, 128, 32768, 'full')
