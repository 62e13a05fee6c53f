"""What devices have to send in an update, from sums made by hand."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.lora import LoraConfig
from inftool_jax.training import exchange

SHAPE = DecoderConfig(
  vocab=256, layers=3, dim=64, heads=4, kv_heads=2, head_dim=16, ffn=96, rope_theta=1e6, norm_eps=1e-6, tied=False, context=128,
  compute_dtype='bfloat16', remat='projections',
)  # fmt: skip
M, R, T = 5, 8, 128


def _least(shape: DecoderConfig, **sizes: int) -> dict[str, float]:
  axes = {'data': 1, 'fsdp': 1, 'tensor': 1, 'sequence': 1} | sizes
  mesh = Mesh(np.array(jax.devices()[:1] * int(np.prod(list(axes.values())))).reshape(*axes.values()), tuple(axes))
  return exchange.least(shape, mesh, M, R, T)


def test_fsdp_gathers_all_parameters_twice_and_scatters_a_gradient() -> None:
  found = _least(SHAPE, fsdp=4, tensor=2)
  gathered, rows = SHAPE.parameters - 256 * 64, R / 4 * T * 64  # all but the embedding; its rows for the tokens of a device
  assert found['fsdp'] == pytest.approx(M * 3 / 4 * (3 * 2 * gathered / 2 + 2 * 2 * rows / 2))
  tied = dataclasses.replace(SHAPE, tied=True)
  assert _least(tied, fsdp=4)['fsdp'] == pytest.approx(M * 3 / 4 * 3 * 2 * tied.parameters)  # as a head it is gathered
  adapters = _least(dataclasses.replace(SHAPE, lora=LoraConfig(4, 32.0)), fsdp=4)
  assert adapters['fsdp'] == pytest.approx(M * 3 / 4 * 2 * (2 * gathered + rows), rel=0.2)  # a frozen base has no gradient

  in_8_bits = _least(dataclasses.replace(SHAPE, lora=LoraConfig(4, 32.0, int8=True)), fsdp=4)
  layers = 3 * (64 * 16 * (2 * 4 + 2 * 2) + 3 * 64 * 96)  # their matrices, which are sent as they are kept
  scales = 3 * (16 * (4 + 2 * 2) + 64 + 2 * 96 + 64)
  assert adapters['fsdp'] - in_8_bits['fsdp'] == pytest.approx(M * 3 / 4 * 2 * (layers - 2 * scales))


@pytest.mark.parametrize(('remat', 'times'), [('none', 8), ('projections', 10), ('attention', 10), ('full', 11)])
def test_tensor_sends_the_residual_stream_around_each_layers_two_halves(remat: str, times: int) -> None:
  found = _least(dataclasses.replace(SHAPE, remat=remat), data=2, fsdp=2, tensor=2)
  assert found['tensor'] == pytest.approx(M * 3 * times * (R / 4) * T * 64 * 2 / 2)
  assert found['data'] == pytest.approx(SHAPE.parameters / 4 * 4)


def test_nothing_goes_over_an_axis_of_one_device() -> None:
  assert _least(SHAPE, tensor=4) == {'fsdp': 0, 'tensor': pytest.approx(M * 3 * 10 * R * T * 64 * 2 * 3 / 4), 'data': 0}
