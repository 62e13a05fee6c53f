"""Hugging Face folders: bit-exact both ways, one file or many, and damage that is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inftool_jax.errors import CheckpointError
from inftool_jax.models import huggingface
from inftool_jax.models.config import DecoderConfig, from_huggingface
from tests.models.small import CONFIG, TIED, same_bits, weights

INDEX = 'model.safetensors.index.json'
BF16 = dataclasses.replace(CONFIG, param_dtype='bfloat16')


def _saved(folder: Path, config: DecoderConfig = BF16) -> Path:
  huggingface.save(folder, weights(config), config, eos=2, pad=0)
  return folder


def _sharded(folder: Path) -> Path:
  """The checkpoint in two files, cut in the middle of a layer, with an index."""
  tensors = load_file(_saved(folder) / 'model.safetensors')
  (folder / 'model.safetensors').unlink()
  names = sorted(tensors)
  weight_map = {name: f'model-{1 + (i >= len(names) // 2):05d}-of-00002.safetensors' for i, name in enumerate(names)}
  for file in set(weight_map.values()):
    save_file({name: tensors[name] for name in names if weight_map[name] == file}, folder / file)
  (folder / INDEX).write_text(json.dumps({'metadata': {}, 'weight_map': weight_map}))
  return folder


@pytest.mark.parametrize('config', [BF16, dataclasses.replace(TIED, param_dtype='bfloat16')], ids=['untied', 'tied'])
def test_bfloat16_comes_back_bit_for_bit(tmp_path: Path, config: DecoderConfig) -> None:
  params = weights(config)
  huggingface.save(tmp_path, params, config, eos=2, pad=0)
  read = from_huggingface(tmp_path, param_dtype='bfloat16')
  assert read == config
  loaded = huggingface.load(tmp_path, read)
  assert same_bits(loaded, params) and jax.tree.leaves(loaded)[0].dtype == jnp.bfloat16


def test_float32_masters_are_rounded_once(tmp_path: Path) -> None:
  params = weights(CONFIG)
  huggingface.save(tmp_path, params, CONFIG, eos=2, pad=0)
  rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), params)
  assert same_bits(huggingface.load(tmp_path, CONFIG), rounded)


def test_names_and_layout_are_qwens(tmp_path: Path) -> None:
  tensors, params = load_file(_saved(tmp_path) / 'model.safetensors'), weights(BF16)
  assert len(tensors) == 3 + 12 * BF16.layers
  assert {t.dtype for t in tensors.values()} == {np.dtype(ml_dtypes.bfloat16)}
  assert tensors['model.layers.1.self_attn.k_proj.weight'].shape == (16, 32)  # [out, in], as torch has it
  np.testing.assert_array_equal(tensors['model.layers.1.mlp.down_proj.weight'], params['blocks']['down'][1].T)
  np.testing.assert_array_equal(tensors['model.layers.0.self_attn.v_proj.bias'], params['blocks']['v_bias'][0])
  np.testing.assert_array_equal(tensors['lm_head.weight'], params['head'])


def test_a_sharded_checkpoint_is_the_same_checkpoint(tmp_path: Path) -> None:
  assert same_bits(huggingface.load(_sharded(tmp_path), BF16), weights(BF16))


def _cut(path: Path) -> None:
  path.write_bytes(path.read_bytes()[:-100])


def _without(name: str) -> Callable[[Path], None]:
  def change(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    del tensors[name]
    save_file(tensors, folder / 'model.safetensors')

  return change


def _reshaped(name: str, shape: tuple[int, ...]) -> Callable[[Path], None]:
  def change(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    save_file(tensors | {name: np.zeros(shape, ml_dtypes.bfloat16)}, folder / 'model.safetensors')

  return change


@pytest.mark.parametrize(
  ('damage', 'named'),
  [
    (_without('model.layers.1.mlp.up_proj.weight'), ['model.layers.1.mlp.up_proj.weight']),
    (_without('lm_head.weight'), ['lm_head.weight']),
    (_reshaped('model.norm.weight', (31,)), ['model.safetensors', 'model.norm.weight', '(31,)', '(32,)']),
    (_reshaped('model.layers.0.self_attn.q_proj.bias', (32, 1)), ['model.safetensors', 'layers.0.self_attn.q_proj.bias', '(32, 1)']),
    (lambda folder: _cut(folder / 'model.safetensors'), ['model.safetensors', 'complete?']),
    (lambda folder: (folder / 'model.safetensors').write_bytes(b''), ['model.safetensors', 'complete?']),
    (lambda folder: (folder / 'model.safetensors').unlink(), ['neither model.safetensors nor model.safetensors.index.json']),
  ],
)
def test_damage_to_a_single_file_is_named(tmp_path: Path, damage: Callable[[Path], None], named: list[str]) -> None:
  damage(_saved(tmp_path))
  with pytest.raises(CheckpointError) as error:
    huggingface.load(tmp_path, BF16)
  for words in [str(tmp_path), *named]:
    assert words in str(error.value)


SECOND = 'model-00002-of-00002.safetensors'


@pytest.mark.parametrize(
  ('damage', 'named'),
  [
    (lambda folder: _cut(folder / SECOND), [SECOND, 'model.layers.']),
    (lambda folder: (folder / SECOND).unlink(), [SECOND, 'model.layers.']),
    (lambda folder: (folder / INDEX).write_text('{"weight_map": {'), [INDEX]),
    (lambda folder: (folder / INDEX).write_text('{"metadata": {}}'), [INDEX]),
    (lambda folder: (folder / INDEX).write_text('[]'), [INDEX]),
    (lambda folder: (folder / INDEX).write_text('{"weight_map": []}'), [INDEX]),
    (lambda folder: (folder / INDEX).write_text('{"weight_map": {"lm_head.weight": 3}}'), [INDEX]),
    (lambda folder: (folder / INDEX).write_bytes(b'\xff\xfe'), [INDEX]),
    (lambda folder: (folder / INDEX).write_text('{"weight_map": {}}'), ['no file holds the tensor']),
  ],
)
def test_damage_to_one_of_many_files_is_named(tmp_path: Path, damage: Callable[[Path], None], named: list[str]) -> None:
  damage(_sharded(tmp_path))
  with pytest.raises(CheckpointError) as error:
    huggingface.load(tmp_path, BF16)
  for words in [str(tmp_path), *named]:
    assert words in str(error.value)


def test_an_index_that_points_into_the_wrong_file_is_named(tmp_path: Path) -> None:
  index = json.loads((_sharded(tmp_path) / INDEX).read_text())
  name, file = next((n, f) for n, f in index['weight_map'].items() if f != SECOND)
  (tmp_path / INDEX).write_text(json.dumps({'weight_map': index['weight_map'] | {name: SECOND}}))
  assert file != SECOND
  with pytest.raises(CheckpointError, match=rf'{SECOND}.*{name}'):
    huggingface.load(tmp_path, BF16)
