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
from inftool_jax.models import huggingface, tensorfiles
from inftool_jax.models.config import DecoderConfig, from_huggingface
from tests.models.small import CONFIG, SMALL, TIED, same_bits, weights

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


@pytest.mark.parametrize('name', SMALL)
@pytest.mark.parametrize('shard_bytes', [10**9, 5000])
def test_bfloat16_comes_back_bit_for_bit(tmp_path: Path, name: str, shard_bytes: int) -> None:
  config = dataclasses.replace(SMALL[name], param_dtype='bfloat16')
  params = weights(config)
  huggingface.save(tmp_path / 'a', params, config, eos=2, pad=0, shard_bytes=shard_bytes)
  read = from_huggingface(tmp_path / 'a', param_dtype='bfloat16')
  assert read == config
  loaded = huggingface.load(tmp_path / 'a', read)
  assert same_bits(loaded, params) and jax.tree.leaves(loaded)[0].dtype == jnp.bfloat16
  huggingface.save(tmp_path / 'b', loaded, read, eos=2, pad=0, shard_bytes=shard_bytes)
  assert _files(tmp_path / 'a') == _files(tmp_path / 'b')
  assert (INDEX in _files(tmp_path / 'a')) == (shard_bytes < 10**9)


def _files(folder: Path) -> dict[str, bytes]:
  return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
def test_a_checkpoint_of_any_dtype_is_written_as_it_was_read(tmp_path: Path, dtype: str) -> None:
  huggingface.save(tmp_path / 'a', weights(CONFIG), CONFIG, eos=2, pad=0, dtype=dtype)
  loaded = huggingface.load(tmp_path / 'a', CONFIG)  # float32 masters
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
  huggingface.save(tmp_path / 'b', loaded, CONFIG, eos=2, pad=0, dtype=dtype)
  assert _files(tmp_path / 'a') == _files(tmp_path / 'b')
  assert json.loads((tmp_path / 'b' / 'config.json').read_text())['torch_dtype'] == dtype


def test_what_cannot_be_written_is_refused_and_leaves_no_model(tmp_path: Path) -> None:
  with pytest.raises(CheckpointError, match='int8; have bfloat16'):
    huggingface.save(tmp_path, weights(CONFIG), CONFIG, eos=2, pad=0, dtype='int8')
  params = weights(CONFIG)
  params['norm'] = params['norm'].at[3].set(1e6)
  with pytest.raises(CheckpointError, match=r'model\.norm\.weight .*float16'):
    huggingface.save(tmp_path, params, CONFIG, eos=2, pad=0, dtype='float16')
  assert list(tmp_path.iterdir()) == []
  odd = dataclasses.replace(CONFIG, qk_norm=True)
  with pytest.raises(CheckpointError, match='no family has qkv_bias=True and qk_norm=True'):
    huggingface.save(tmp_path, weights(odd), odd, eos=2, pad=0)


def test_a_new_export_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
  for shard_bytes, count in ((5000, None), (10**9, 1), (20_000, None), (5000, None), (10**9, 1)):
    huggingface.save(tmp_path, weights(BF16), BF16, eos=2, pad=0, shard_bytes=shard_bytes)
    files = [p.name for p in tmp_path.glob('*.safetensors')]
    assert count is None or (files == ['model.safetensors'] and not (tmp_path / INDEX).exists())
    assert count == 1 or (set(files) == set(json.loads((tmp_path / INDEX).read_text())['weight_map'].values()) and len(files) > 2)
    assert same_bits(huggingface.load(tmp_path, BF16), weights(BF16))


def test_shards_keep_under_the_limit_unless_a_tensor_alone_is_larger(tmp_path: Path) -> None:
  huggingface.save(tmp_path, weights(BF16), BF16, eos=2, pad=0, shard_bytes=5000)
  for file in tmp_path.glob('*.safetensors'):
    tensors = load_file(file)
    assert sum(t.nbytes for t in tensors.values()) <= 5000 or len(tensors) == 1


def test_tensors_larger_than_a_block_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
  _saved(tmp_path)
  monkeypatch.setattr(tensorfiles, 'BLOCK_BYTES', 700)  # several rows of most tensors
  assert same_bits(huggingface.load(tmp_path, BF16), weights(BF16))


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


def _without(*names: str) -> Callable[[Path], None]:
  def change(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    save_file({name: t for name, t in tensors.items() if name not in names}, folder / 'model.safetensors')

  return change


def _reshaped(name: str, shape: tuple[int, ...], dtype=ml_dtypes.bfloat16) -> Callable[[Path], None]:
  def change(folder: Path) -> None:
    tensors = load_file(folder / 'model.safetensors')
    save_file(tensors | {name: np.zeros(shape, dtype)}, folder / 'model.safetensors')

  return change


@pytest.mark.parametrize(
  ('damage', 'named'),
  [
    (_without('model.layers.1.mlp.up_proj.weight'), ['model.layers.1.mlp.up_proj.weight']),
    (_without('lm_head.weight'), ['lm_head.weight']),
    (_without('model.embed_tokens.weight', 'model.norm.weight'), ['model.embed_tokens.weight (and 1 more)', '(97, 32)']),
    (_reshaped('model.layers.2.mlp.up_proj.weight', (48, 32)), ['model.safetensors', 'model.layers.2.mlp.up_proj.weight', 'no place']),
    (_reshaped('score.weight', (2, 32)), ['model.safetensors', 'score.weight', '(2, 32)', 'no place']),
    (_reshaped('model.norm.weight', (32,), np.int8), ['model.safetensors', 'model.norm.weight', 'I8', 'BF16, F16, F32']),
    (_reshaped('model.layers.0.mlp.up_proj.weight', (32, 48)), ['up_proj.weight', '(32, 48)', '(48, 32)']),
    (_reshaped('model.norm.weight', (31,)), ['model.safetensors', 'model.norm.weight', '(31,)', '(32,)']),
    (_reshaped('model.layers.0.self_attn.q_proj.bias', (32, 1)), ['model.safetensors', 'layers.0.self_attn.q_proj.bias', '(32, 1)']),
    (lambda folder: _cut(folder / 'model.safetensors'), ['model.safetensors', 'complete?']),
    (lambda folder: (folder / 'model.safetensors').write_bytes(b''), ['model.safetensors', 'complete?']),
    (lambda folder: (folder / 'model.safetensors').unlink(), ['neither model.safetensors nor model.safetensors.index.json']),
  ],
)
def test_damage_to_a_single_file_is_named_before_anything_is_allocated(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], named: list[str]
) -> None:
  damage(_saved(tmp_path))
  monkeypatch.delattr(huggingface, '_put')
  with pytest.raises(CheckpointError) as error:
    huggingface.load(tmp_path, BF16)
  for words in [str(tmp_path), *named]:
    assert words in str(error.value)


SECOND = 'model-00002-of-00002.safetensors'


def _renamed(folder: Path, name: str, other: str) -> None:
  file = folder / json.loads((folder / INDEX).read_text())['weight_map'][name]
  save_file({other if n == name else n: t for n, t in load_file(file).items()}, file)


def _forgotten(folder: Path, name: str) -> None:
  index = json.loads((folder / INDEX).read_text())
  del index['weight_map'][name]
  (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
  ('damage', 'named'),
  [
    (lambda folder: _cut(folder / SECOND), [SECOND, 'model.layers.']),
    (lambda folder: (folder / SECOND).unlink(), [SECOND, 'is missing', 'model.layers.', 'more']),
    (lambda folder: _renamed(folder, 'lm_head.weight', 'lm_head.bias'), ['lm_head.weight', 'promises']),
    (lambda folder: _forgotten(folder, 'lm_head.weight'), ['lm_head.weight', 'says nothing']),
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


def test_what_a_config_says_already_may_be_stored_again(tmp_path: Path) -> None:
  config = dataclasses.replace(TIED, param_dtype='bfloat16')
  tensors = load_file(_saved(tmp_path, config) / 'model.safetensors')
  frequencies = {f'model.layers.{i}.self_attn.rotary_emb.inv_freq': np.ones(4, np.float32) for i in range(2)}
  save_file(tensors | frequencies | {'lm_head.weight': tensors['model.embed_tokens.weight']}, tmp_path / 'model.safetensors')
  assert same_bits(huggingface.load(tmp_path, config), weights(config))
  save_file(tensors | {'lm_head.weight': -tensors['model.embed_tokens.weight']}, tmp_path / 'model.safetensors')
  with pytest.raises(CheckpointError, match='lm_head.weight.*tie_word_embeddings'):
    huggingface.load(tmp_path, config)
