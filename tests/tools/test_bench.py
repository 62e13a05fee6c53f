"""Import and export hold little more than the arrays in host memory, and give the same files back."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from inftool_jax.models.lora import LoraConfig
from tools import bench

SMALL = dataclasses.replace(bench.QWEN2_5_3B, layers=2, dim=512, heads=4, ffn=2048)
pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='memory is read from /proc')


def test_an_import_holds_less_than_twice_the_largest_tensor_beside_the_arrays_and_an_export_is_bit_for_bit(tmp_path: Path) -> None:
  facts = bench.checkpoint(tmp_path, SMALL)
  assert facts['files'] > 1 and facts['arrays'] == facts['checkpoint'] == 2 * SMALL.parameters
  assert facts['largest tensor'] == 2 * SMALL.vocab * SMALL.dim
  assert facts['import memory above the arrays'] < 2 * facts['largest tensor']
  assert facts['export memory'] < 3 * facts['largest tensor']
  assert facts['bit for bit']


def test_a_base_in_int8_is_imported_without_being_held_whole(tmp_path: Path) -> None:
  config = dataclasses.replace(SMALL, vocab=1000, layers=24, lora=LoraConfig(4, 8.0, int8=True))
  facts = bench.checkpoint(tmp_path, config)
  assert 0.5 < facts['arrays'] / facts['checkpoint'] < 0.52
  assert facts['import memory above the arrays'] < facts['checkpoint'] / 2 and 'bit for bit' not in facts


def test_a_checkpoint_of_any_size_is_a_cut_of_a_published_model() -> None:
  assert bench.QWEN2_5_3B.parameters == 3_085_938_688
  assert bench.cut(2.0).layers == 9 and 1.9e9 < 2 * bench.cut(2.0).parameters < 2.1e9
