"""Against transformers' torch models, both ways: what we write it loads, what it writes we load. Needs the extra `parity`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip('torch')

import transformers  # noqa: E402

from inftool_jax.models import attention, decoder, huggingface  # noqa: E402
from inftool_jax.models.config import DecoderConfig, from_huggingface  # noqa: E402
from tests.models import cached, torch_models  # noqa: E402
from tests.models.small import SMALL, same_bits, weights  # noqa: E402

LENGTHS = (5, 24, 16, 11)
SIZES: dict[str, Any] = dict(
  vocab_size=89, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6, max_position_embeddings=64,
  rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.2,
)  # fmt: skip
YARN = {'rope_type': 'yarn', 'factor': 4.0, 'original_max_position_embeddings': 16, 'rope_theta': 1e4}
LLAMA3 = {
  'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 32,
  'rope_theta': 1e4,
}  # fmt: skip
THEIRS = {
  'qwen2, 6 to 6': transformers.Qwen2Config(**SIZES, num_key_value_heads=6),
  'qwen2 tied, 6 to 2': transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
  'qwen2 yarn, 6 to 1': transformers.Qwen2Config(**SIZES, num_key_value_heads=1, rope_parameters=YARN),
  'qwen3, 6 to 2, own head size': transformers.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
  'qwen3 tied yarn': transformers.Qwen3Config(
    **SIZES, num_key_value_heads=3, head_dim=32, tie_word_embeddings=True, rope_parameters=YARN | {'beta_fast': 4.0, 'truncate': False}
  ),
  'qwen3 yarn, factor by mscale': transformers.Qwen3Config(
    **SIZES, num_key_value_heads=3, head_dim=32, rope_parameters=YARN | {'mscale': 1.0, 'mscale_all_dim': 0.5}
  ),
  'llama, 6 to 2': transformers.LlamaConfig(**SIZES, num_key_value_heads=2),
  'llama tied, scaled, own head size': transformers.LlamaConfig(
    **SIZES, num_key_value_heads=3, head_dim=16, tie_word_embeddings=True, rope_parameters=LLAMA3
  ),
  'llama yarn, own attention factor': transformers.LlamaConfig(
    **SIZES, num_key_value_heads=6, head_dim=16, rope_parameters=YARN | {'attention_factor': 0.7}
  ),
}


def _close(ours, theirs) -> None:
  assert np.abs(np.asarray(ours) - theirs).max() < 1e-4 * np.abs(theirs).max()


def _sequences(config: DecoderConfig) -> list[np.ndarray]:
  return [np.random.default_rng(n).integers(3, config.vocab, n).astype(np.int32) for n in LENGTHS]


def _forward(params: decoder.Params, config: DecoderConfig, tokens, segments, positions) -> np.ndarray:
  @jax.jit
  def run(params):
    hidden, _ = decoder.forward(params, config, tokens, positions, attention.segment_attention(segments, jnp.full_like(segments, -1)))
    return decoder.logits(params, hidden.reshape(-1, config.dim)).reshape(*tokens.shape, config.vocab)

  return np.asarray(run(params))


def _compare(model, params: decoder.Params, config: DecoderConfig) -> None:
  """One by one, padded on either side, packed into one row, and through the cache."""
  sequences = _sequences(config)
  alone = [torch_models.logits(model, s[None])[0] for s in sequences]
  longest = max(LENGTHS)
  for left in (False, True):
    tokens, mask, positions = np.zeros((3, len(LENGTHS), longest), np.int32)
    for row, s in enumerate(sequences):
      columns = slice(longest - len(s), longest) if left else slice(0, len(s))
      tokens[row, columns], mask[row, columns], positions[row, columns] = s, 1, np.arange(len(s))
    ours, theirs = _forward(params, config, tokens, mask, positions), torch_models.logits(model, tokens, mask, positions)
    _close(ours[mask == 1], theirs[mask == 1])
    _close(ours[mask == 1], np.concatenate(alone))
  packed = np.concatenate(sequences)[None]
  segments = np.repeat(np.arange(len(LENGTHS)) + 1, LENGTHS)[None].astype(np.int32)
  _close(_forward(params, config, packed, segments, np.concatenate([np.arange(n) for n in LENGTHS])[None])[0], np.concatenate(alone))
  _close(cached.logits(params, config, sequences[1], prompt=5), alone[1])


@pytest.mark.parametrize('name', SMALL)
def test_what_we_write_transformers_loads_as_the_same_model(tmp_path: Path, name: str) -> None:
  config, params = SMALL[name], weights(SMALL[name])
  shard_bytes = 20_000 if config.tied else 10**9  # several files, or one
  huggingface.save(tmp_path, params, config, eos=2, pad=0, dtype='float32', shard_bytes=shard_bytes)
  _compare(torch_models.loaded(tmp_path), params, config)


@pytest.mark.parametrize('name', THEIRS)
def test_what_transformers_writes_we_load_as_the_same_model(tmp_path: Path, name: str) -> None:
  torch.manual_seed(0)
  model = transformers.AutoModelForCausalLM.from_config(THEIRS[name], attn_implementation='eager').eval()
  with torch.no_grad():
    for key, value in model.named_parameters():
      if key.endswith(('bias', 'norm.weight')):  # they start as 0 and 1, which would hide a wrong one
        value.add_(torch.randn_like(value) * 0.3)
  model.save_pretrained(tmp_path / 'theirs')
  config = from_huggingface(tmp_path / 'theirs')
  params = huggingface.load(tmp_path / 'theirs', config)
  _compare(model, params, config)
  huggingface.save(tmp_path / 'ours', params, config, eos=2, pad=0, dtype='float32')
  theirs, ours = (load_file(tmp_path / folder / 'model.safetensors') for folder in ('theirs', 'ours'))
  assert theirs.keys() == ours.keys() and all(theirs[k].tobytes() == ours[k].tobytes() for k in theirs)


def test_shards_of_transformers_in_bfloat16_come_back_bit_for_bit(tmp_path: Path) -> None:
  model = transformers.AutoModelForCausalLM.from_config(THEIRS['qwen2, 6 to 6'], dtype=torch.bfloat16)
  model.save_pretrained(tmp_path / 'theirs', max_shard_size='20KB')
  assert len(list((tmp_path / 'theirs').glob('*.safetensors'))) > 2
  config = from_huggingface(tmp_path / 'theirs', param_dtype='bfloat16')
  params = huggingface.load(tmp_path / 'theirs', config)
  huggingface.save(tmp_path / 'ours', params, config, eos=2, pad=0)
  again = torch_models.loaded(tmp_path / 'ours').to(torch.bfloat16).state_dict()
  assert all(torch.equal(again[k], v) for k, v in model.state_dict().items())
  assert same_bits(params, huggingface.load(tmp_path / 'ours', dataclasses.replace(config)))
