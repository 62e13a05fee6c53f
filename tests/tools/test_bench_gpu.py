"""What the device benchmark divides by its times: FLOPs and bytes, from sums made by hand; and that every part of it runs."""

from __future__ import annotations

import dataclasses

import jax
import pytest

from inftool_jax.models import decoder
from inftool_jax.models.lora import LoraConfig
from tools import bench_gpu as bench

CONFIG = dataclasses.replace(bench.LITTLE, lora=LoraConfig(4, 8.0))
ROWS, LENGTH = 2, 64
PRODUCTS = 2 * (2 * (128 * 32 * (2 * 4 + 2 * 2) + 3 * 128 * 256) + 2048 * 128)  # of a token: twice the weights of layers and head
ATTENTION = 2 * 2 * 128 * LENGTH  # on average, two products in each of two layers over half of the row


def test_every_part_is_measured_with_the_work_that_it_did() -> None:
  limits, forward, decoding, update = bench.measure(CONFIG, ROWS, LENGTH, [2], 256)
  assert forward['tokens'] == ROWS * LENGTH and forward['model_flops'] == ROWS * LENGTH * (PRODUCTS + ATTENTION)
  assert update['model_flops'] == ROWS * LENGTH * (2 * PRODUCTS + 3 * ATTENTION)  # a frozen base has no gradient
  for line in (forward, update):
    assert line['mfu'] == pytest.approx(line['model_flops'] / line['seconds'] / limits['flops'])
  assert decoding['tokens_a_second'] == pytest.approx(2 / decoding['seconds_a_step'])
  assert decoding['bandwidth_share'] == pytest.approx(decoding['bytes_a_step'] / decoding['seconds_a_step'] / limits['bandwidth'])


def test_a_step_reads_the_weights_once_and_each_conversations_cache() -> None:
  params = jax.eval_shape(lambda: decoder.init(bench.LITTLE, 0))
  weights = 4 * (bench.LITTLE.parameters - 2048 * 128)  # the embedding is only looked up
  cache = 4 * 2 * 2 * 2 * 32  # of a token: keys and values of two heads in two layers
  assert bench.step_bytes(params, bench.LITTLE, 3, 100) == weights + 3 * 100 * cache
