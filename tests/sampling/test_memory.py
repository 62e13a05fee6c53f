"""How many pages there are: what is asked for, what the devices have free, or all that the slots can hold."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.sampling import memory
from tests.sampling.driving import CONFIG, SIZES

PAGE = memory.page_bytes(CONFIG, SIZES.page)


def _places(*free: int | None) -> Any:
  """Devices of so many free bytes; None: one that does not tell."""
  stats = [None if n is None else {'bytes_limit': 1000 + n, 'bytes_in_use': 1000} for n in free]
  return SimpleNamespace(config=CONFIG, devices=[SimpleNamespace(memory_stats=lambda s=s: s) for s in stats])


def test_a_page_is_keys_and_values_of_all_layers() -> None:
  assert PAGE == 2 * CONFIG.layers * CONFIG.kv_heads * CONFIG.head_dim * SIZES.page * 4
  assert memory.page_bytes(dataclasses.replace(CONFIG, compute_dtype='bfloat16'), SIZES.page) == PAGE // 2


def test_free_memory_of_all_devices_is_filled_but_for_a_rest() -> None:
  assert memory.pages(SIZES, _places(100 * PAGE)) == 80
  assert memory.pages(SIZES, _places(100 * PAGE, 50 * PAGE)) == 120
  assert memory.pages(dataclasses.replace(SIZES, pages=33), _places(100 * PAGE)) == 33


def test_without_figures_every_slot_may_fill_its_context() -> None:
  assert memory.pages(SIZES, _places(None)) == SIZES.slots * SIZES.blocks + 1


def test_memory_for_less_than_one_conversation_is_an_error() -> None:
  with pytest.raises(ConfigError, match='the free memory of .* fewer than the 8 that one conversation'):
    memory.pages(SIZES, _places(9 * PAGE))
