"""A model folder's config.json: what is read, and that each way to be wrong names the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inftool_jax.errors import CheckpointError
from inftool_jax.models.config import from_huggingface, to_huggingface
from inftool_jax.models.rope import Llama3Scaling, YarnScaling
from tests.models.small import CONFIG, LLAMA3, SMALL, YARN

RAW = to_huggingface(CONFIG, eos=2, pad=0)


def _folder(folder: Path, text: str) -> Path:
  (folder / 'config.json').write_text(text)
  return folder


@pytest.mark.parametrize('name', SMALL)
def test_what_is_written_is_what_is_read(tmp_path: Path, name: str) -> None:
  config = SMALL[name]
  assert from_huggingface(_folder(tmp_path, json.dumps(to_huggingface(config, eos=2, pad=0)))) == config


def test_overrides_are_not_the_files(tmp_path: Path) -> None:
  _folder(tmp_path, json.dumps(RAW))
  assert from_huggingface(tmp_path, compute_dtype='bfloat16').compute_dtype == 'bfloat16'


def test_qwen_25_as_published(tmp_path: Path) -> None:
  raw = {
    'model_type': 'qwen2', 'hidden_act': 'silu', 'hidden_size': 5120, 'intermediate_size': 27648, 'max_position_embeddings': 32768,
    'max_window_layers': 70, 'num_attention_heads': 40, 'num_hidden_layers': 64, 'num_key_value_heads': 8, 'rms_norm_eps': 1e-05,
    'rope_theta': 1000000.0, 'sliding_window': 131072, 'tie_word_embeddings': False, 'use_sliding_window': False, 'vocab_size': 152064,
  }  # fmt: skip
  config = from_huggingface(_folder(tmp_path, json.dumps(raw)))
  assert (config.head_dim, config.tied, config.rope_theta, config.context) == (128, False, 1e6, 32768)
  assert config.parameters == 32_763_876_352


def test_qwen_3_as_published(tmp_path: Path) -> None:
  raw = {
    'architectures': ['Qwen3ForCausalLM'], 'attention_bias': False, 'attention_dropout': 0.0, 'bos_token_id': 151643,
    'eos_token_id': 151645, 'head_dim': 128, 'hidden_act': 'silu', 'hidden_size': 5120, 'initializer_range': 0.02,
    'intermediate_size': 25600, 'max_position_embeddings': 40960, 'max_window_layers': 64, 'model_type': 'qwen3',
    'num_attention_heads': 64, 'num_hidden_layers': 64, 'num_key_value_heads': 8, 'rms_norm_eps': 1e-06, 'rope_scaling': None,
    'rope_theta': 1000000, 'sliding_window': None, 'tie_word_embeddings': False, 'torch_dtype': 'bfloat16',
    'use_sliding_window': False, 'vocab_size': 151936,
  }  # fmt: skip
  config = from_huggingface(_folder(tmp_path, json.dumps(raw)))
  assert (config.head_dim, config.qk_norm, config.qkv_bias, config.rope_scaling) == (128, True, False, None)
  assert config.parameters == 32_762_123_264
  del raw['head_dim']
  assert from_huggingface(_folder(tmp_path, json.dumps(raw))).head_dim == 128  # not dim / heads = 80


LLAMA_3_2 = {
  'architectures': ['LlamaForCausalLM'], 'attention_bias': False, 'bos_token_id': 128000, 'eos_token_id': [128001, 128008, 128009],
  'head_dim': 64, 'hidden_act': 'silu', 'hidden_size': 2048, 'intermediate_size': 8192, 'max_position_embeddings': 131072,
  'mlp_bias': False, 'model_type': 'llama', 'num_attention_heads': 32, 'num_hidden_layers': 16, 'num_key_value_heads': 8,
  'pretraining_tp': 1, 'rms_norm_eps': 1e-05, 'rope_theta': 500000.0, 'tie_word_embeddings': True, 'vocab_size': 128256,
  'rope_scaling': {
    'factor': 32.0, 'high_freq_factor': 4.0, 'low_freq_factor': 1.0, 'original_max_position_embeddings': 8192, 'rope_type': 'llama3'
  },
}  # fmt: skip


def test_llama_3_as_published(tmp_path: Path) -> None:
  config = from_huggingface(_folder(tmp_path, json.dumps(LLAMA_3_2)))
  assert (config.qkv_bias, config.qk_norm, config.tied, config.context) == (False, False, True, 131072)
  assert config.rope_scaling == Llama3Scaling(32.0, 1.0, 4.0, 8192)
  assert config.parameters == 1_235_814_400


NEW = {k: v for k, v in RAW.items() if k != 'rope_theta'}


@pytest.mark.parametrize(
  ('rope', 'expected'),
  [
    ({'factor': 4.0, 'original_max_position_embeddings': 64, 'type': 'yarn'}, YARN),
    ({'factor': 4, 'original_max_position_embeddings': 64, 'rope_type': 'yarn', 'attention_factor': None}, YARN),
    ({'factor': 4.0, 'rope_type': 'yarn'}, YarnScaling(4.0, 512, YARN.attention_factor)),  # the config's own context
    (
      {'factor': 4.0, 'rope_type': 'yarn', 'attention_factor': 0.5, 'beta_fast': 16, 'beta_slow': 2, 'truncate': False},
      YarnScaling(4.0, 512, 0.5, 16.0, 2.0, False),
    ),
    ({'factor': 4.0, 'rope_type': 'yarn', 'mscale': 1.0, 'mscale_all_dim': 1.0}, YarnScaling(4.0, 512, 1.0)),
    ({'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1, 'high_freq_factor': 4, 'original_max_position_embeddings': 64}, LLAMA3),
    ({'rope_type': 'default'}, None),
    ({}, None),
  ],
)
def test_scalings_in_both_spellings(tmp_path: Path, rope: dict[str, Any], expected) -> None:
  for raw in (RAW | {'rope_theta': 5e5, 'rope_scaling': rope}, NEW | {'rope_parameters': rope | {'rope_theta': 5e5}}):
    config = from_huggingface(_folder(tmp_path, json.dumps(raw)))
    assert (config.rope_theta, config.rope_scaling) == (5e5, expected)


def test_yarn_lengthens_the_context_that_a_config_goes_on_stating(tmp_path: Path) -> None:
  rope = {'factor': 4.0, 'original_max_position_embeddings': 512, 'type': 'yarn'}
  config = from_huggingface(_folder(tmp_path, json.dumps(RAW | {'rope_scaling': rope})))
  assert config.context == 2048
  assert from_huggingface(_folder(tmp_path, json.dumps(to_huggingface(config, eos=2, pad=0)))) == config


def test_a_window_that_no_layer_uses_is_none(tmp_path: Path) -> None:
  unused = {'use_sliding_window': True, 'sliding_window': 64, 'max_window_layers': 2}
  assert from_huggingface(_folder(tmp_path, json.dumps(RAW | unused))) == CONFIG
  assert from_huggingface(_folder(tmp_path, json.dumps(RAW | {'sliding_window': 64, 'use_sliding_window': False}))) == CONFIG


def test_a_null_head_size_means_the_usual_one(tmp_path: Path) -> None:
  assert from_huggingface(_folder(tmp_path, json.dumps(RAW | {'head_dim': None}))) == CONFIG


@pytest.mark.parametrize('raw', [{'rope_theta': 5e5}, {'rope_parameters': {'rope_theta': 5e5, 'rope_type': 'default'}}])
def test_both_spellings_of_the_rotation_base(tmp_path: Path, raw: dict[str, Any]) -> None:
  without = {k: v for k, v in RAW.items() if k != 'rope_theta'}
  assert from_huggingface(_folder(tmp_path, json.dumps(without | raw))).rope_theta == 5e5


@pytest.mark.parametrize(
  ('text', 'reason'),
  [
    ('{"model_type": "qwen2",', 'not valid JSON'),
    ('[1, 2]', 'not a JSON object'),
    (json.dumps(RAW | {'model_type': 'mamba'}), "'mamba' is not supported"),
    (json.dumps({k: v for k, v in RAW.items() if k != 'model_type'}), 'None is not supported'),
    (json.dumps(RAW | {'architectures': ['Qwen2ForSequenceClassification']}), 'Qwen2ForSequenceClassification.*has Qwen2ForCausalLM'),
    (json.dumps(RAW | {'rope_scaling': {'type': 'yarn'}}), "rope_scaling: .*yarn' lacks factor"),
    (json.dumps(RAW | {'rope_parameters': {'rope_type': 'llama3'}}), 'rope_parameters: .*lacks factor, low_freq_factor, high'),
    (json.dumps(RAW | {'rope_scaling': {'type': 'linear', 'factor': 2}}), "rope_scaling: .*'linear' .*have default, llama3, yarn"),
    (json.dumps(RAW | {'rope_scaling': {'type': 'yarn', 'factor': 0.5}}), 'factor >= 1'),
    (json.dumps(RAW | {'rope_scaling': {'type': 'yarn', 'factor': '4'}}), "factor must be a positive number, is '4'"),
    (json.dumps(RAW | {'rope_scaling': {'type': 'default', 'mrope_section': [1]}}), 'mrope_section .*not supported'),
    (json.dumps(RAW | {'rope_scaling': 3}), 'rope_scaling must be an object'),
    (json.dumps(RAW | {'partial_rotary_factor': 0.5}), 'partial_rotary_factor 0.5'),
    (json.dumps(RAW | {'rope_theta': -1}), 'rope_theta must be a positive number'),
    (json.dumps(RAW | {'use_sliding_window': True, 'sliding_window': 64, 'max_window_layers': 1}), 'use_sliding_window'),
    (json.dumps(RAW | {'use_sliding_window': True, 'sliding_window': 64, 'layer_types': ['sliding_attention']}), 'use_sliding_window'),
    (json.dumps(RAW | {'hidden_act': 'gelu'}), "hidden_act 'gelu'.*have 'silu'"),
    (json.dumps(LLAMA_3_2 | {'attention_bias': True}), 'attention_bias True .*have False'),
    (json.dumps(LLAMA_3_2 | {'mlp_bias': True}), 'mlp_bias True .*have False'),
    (json.dumps(RAW | {'quantization_config': {'bits': 4}}), 'quantization_config .*bits'),
    (json.dumps(RAW | {'head_dim': 7}), 'head_dim must be even'),
    (json.dumps(RAW | {'head_dim': None, 'num_attention_heads': 6}), 'head_dim must be an integer'),
    (json.dumps({k: v for k, v in RAW.items() if k != 'rms_norm_eps'}), "lacks the key 'rms_norm_eps'"),
    (json.dumps({k: v for k, v in RAW.items() if k != 'num_key_value_heads'}), "lacks the key 'num_key_value_heads'"),
    (json.dumps(RAW | {'num_attention_heads': 4, 'num_key_value_heads': 3}), 'not a multiple'),
    (json.dumps(RAW | {'hidden_size': '32'}), "hidden_size .*'32'"),
    (json.dumps(RAW | {'vocab_size': None}), 'vocab_size .*None'),
    (json.dumps(RAW | {'num_key_value_heads': 0}), 'num_key_value_heads .*0'),
  ],
)
def test_what_we_do_not_have_is_refused_naming_the_file(tmp_path: Path, text: str, reason: str) -> None:
  with pytest.raises(CheckpointError, match=reason) as error:
    from_huggingface(_folder(tmp_path, text))
  assert str(tmp_path / 'config.json') in str(error.value)


def test_a_folder_without_config_says_what_to_do(tmp_path: Path) -> None:
  with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / 'none' / 'config.json')) + '.*model.path'):
    from_huggingface(tmp_path / 'none')


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
  (tmp_path / 'config.json').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(CheckpointError, match='config.json is not valid JSON'):
    from_huggingface(tmp_path)
