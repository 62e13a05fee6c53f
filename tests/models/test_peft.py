"""Adapters in PEFT's format: its names and shapes, bit for bit both ways, and what we do not have is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from inftool_jax.errors import CheckpointError
from inftool_jax.models import lora, peft
from inftool_jax.models.lora import LoraConfig
from tests.models.small import CONFIG, SMALL, same_bits, weights

LORA = LoraConfig(rank=3, alpha=1.5, targets=('q', 'v', 'down'))
ADAPTED = dataclasses.replace(CONFIG, lora=LORA)
ATTENTION = 'base_model.model.model.layers.1.self_attn.'


def _saved(folder: Path) -> Path:
  peft.save(folder, weights(ADAPTED), ADAPTED, 'some/base')
  return folder


@pytest.mark.parametrize('name', SMALL)
def test_adapters_come_back_bit_for_bit(tmp_path: Path, name: str) -> None:
  config = dataclasses.replace(SMALL[name], lora=dataclasses.replace(LORA, targets=('.*',), int8=name == 'qwen2.5'))
  params = weights(dataclasses.replace(config, lora=dataclasses.replace(config.lora, int8=False)))
  params = lora.quantized(params) if config.lora.int8 else params
  peft.save(tmp_path, params, config, 'some/base')
  assert peft.read_config(tmp_path) == LoraConfig(3, 1.5)
  read = dataclasses.replace(SMALL[name], lora=peft.read_config(tmp_path))
  assert same_bits(peft.load(tmp_path, read), lora.split(params)[1])


def test_names_shapes_and_layout_are_pefts(tmp_path: Path) -> None:
  tensors, params = load_file(_saved(tmp_path) / 'adapter_model.safetensors'), weights(ADAPTED)
  assert len(tensors) == 2 * 3 * CONFIG.layers and {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
  assert tensors[ATTENTION + 'q_proj.lora_A.weight'].shape == (3, 32)  # [rank, in], [out, rank], as torch has it
  np.testing.assert_array_equal(tensors[ATTENTION + 'v_proj.lora_B.weight'], params['blocks']['v_lora_b'][1].T)
  down = tensors['base_model.model.model.layers.0.mlp.down_proj.lora_A.weight']
  np.testing.assert_array_equal(down, params['blocks']['down_lora_a'][0].T)
  raw = json.loads((tmp_path / 'adapter_config.json').read_text())
  told = {key: raw[key] for key in ('peft_type', 'task_type', 'r', 'lora_alpha', 'bias', 'base_model_name_or_path')}
  expected = {'peft_type': 'LORA', 'task_type': 'CAUSAL_LM', 'r': 3, 'lora_alpha': 1.5, 'bias': 'none'}
  assert told == expected | {'base_model_name_or_path': 'some/base'}
  assert raw['target_modules'] == ['down_proj', 'q_proj', 'v_proj']


def test_without_adapters_there_is_nothing_to_save(tmp_path: Path) -> None:
  with pytest.raises(ValueError, match='no adapters'):
    peft.save(tmp_path, weights(CONFIG), CONFIG, '')


@pytest.mark.parametrize(
  ('change', 'named'),
  [
    ({'peft_type': 'LOHA'}, ["peft_type 'LOHA' is not supported; have 'LORA'"]),
    ({'use_dora': True}, ['use_dora True']),
    ({'use_rslora': True}, ['use_rslora True']),
    ({'bias': 'all'}, ["bias 'all' is not supported; have 'none'"]),
    ({'rank_pattern': {'q_proj': 8}}, ['rank_pattern', 'q_proj']),
    ({'modules_to_save': ['lm_head']}, ['modules_to_save', 'lm_head']),
    ({'r': 0}, ['r must be a positive integer', '0']),
    ({'lora_alpha': 'two'}, ['lora_alpha', 'two']),
    ({'target_modules': ['q_proj', 'lm_head']}, ['target_modules', 'lm_head', 'have a list of q_proj, k_proj']),
    ({'target_modules': 'all-linear'}, ['target_modules', 'all-linear']),
  ],
)
def test_an_adapter_that_would_be_another_model_here_is_refused(tmp_path: Path, change: dict, named: list[str]) -> None:
  path = _saved(tmp_path) / 'adapter_config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | change))
  with pytest.raises(CheckpointError) as error:
    peft.read_config(tmp_path)
  assert all(words in str(error.value) for words in [str(path), *named])


@pytest.mark.parametrize('text', ['{', '[]', '{"r": 3}', None])
def test_a_folder_that_holds_no_adapter_is_named(tmp_path: Path, text: str | None) -> None:
  path = tmp_path / 'adapter_config.json'
  if text is not None:
    path.write_text(text)
  with pytest.raises(CheckpointError, match=str(path)):
    peft.read_config(tmp_path)


def test_tensors_that_do_not_fit_the_base_are_named(tmp_path: Path) -> None:
  file = _saved(tmp_path) / 'adapter_model.safetensors'
  tensors = load_file(file)
  wide = dataclasses.replace(ADAPTED, dim=64)
  with pytest.raises(CheckpointError, match=r'adapter_model.safetensors.*layers\.0\.self_attn\.q_proj\.lora_A.*\(3, 32\).*\(3, 64\)'):
    peft.load(tmp_path, wide)
  save_file({name: t for name, t in tensors.items() if name != ATTENTION + 'q_proj.lora_B.weight'}, file)
  with pytest.raises(CheckpointError, match=r'no file holds the tensor .*layers\.1\.self_attn\.q_proj\.lora_B'):
    peft.load(tmp_path, ADAPTED)
  save_file(tensors | {ATTENTION + 'o_proj.lora_A.weight': np.zeros((3, 32), np.float32)}, file)
  with pytest.raises(CheckpointError, match=r'o_proj\.lora_A.*no place'):
    peft.load(tmp_path, ADAPTED)
  file.write_bytes(b'')
  with pytest.raises(CheckpointError, match='adapter_model.safetensors'):
    peft.load(tmp_path, ADAPTED)
