"""A model folder's config.json: what is read, and that each way to be wrong names the file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inftool_jax.errors import CheckpointError
from inftool_jax.models.config import from_huggingface, to_huggingface
from tests.models.small import CONFIG

RAW = to_huggingface(CONFIG, eos=2, pad=0)


def _folder(folder: Path, text: str) -> Path:
  (folder / 'config.json').write_text(text)
  return folder


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
  assert from_huggingface(_folder(tmp_path, json.dumps(RAW))) == CONFIG
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
    (json.dumps(RAW | {'rope_scaling': {'type': 'yarn', 'factor': 4.0}}), 'rope scaling .*yarn'),
    (json.dumps(RAW | {'rope_parameters': {'rope_type': 'llama3'}}), 'rope scaling .*llama3'),
    (json.dumps(RAW | {'use_sliding_window': True}), 'use_sliding_window'),
    (json.dumps(RAW | {'hidden_act': 'gelu'}), "hidden_act 'gelu'"),
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
