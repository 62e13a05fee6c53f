"""The decoder's shape, read from a Hugging Face `config.json`.

The alphabet of this package: B batch, T query length, S cache length, D model, H query heads, K key/value heads,
G = H/K, E head, F feed-forward, V vocabulary, L layers.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from inftool_jax.errors import CheckpointError

SUPPORTED = ('qwen2',)
SIZES = (
  'vocab_size', 'num_hidden_layers', 'hidden_size', 'num_attention_heads', 'num_key_value_heads', 'intermediate_size',
  'max_position_embeddings',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
  """Dimensions and dtypes of one decoder (frozen and hashable: it is part of a program's identity)."""

  vocab: int  # V
  layers: int  # L
  dim: int  # D
  heads: int  # H
  kv_heads: int  # K
  head_dim: int  # E
  ffn: int  # F
  rope_theta: float
  norm_eps: float
  tied: bool
  context: int  # longest sequence in tokens
  qkv_bias: bool = True
  param_dtype: str = 'float32'
  compute_dtype: str = 'float32'

  def __post_init__(self) -> None:
    if self.heads % self.kv_heads:
      raise CheckpointError(f'{self.heads} query heads cannot share {self.kv_heads} key/value heads: not a multiple')

  @property
  def parameters(self) -> int:
    """Number of scalars, embeddings included."""
    attention = self.dim * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
    bias = self.head_dim * (self.heads + 2 * self.kv_heads) if self.qkv_bias else 0
    layer = attention + bias + 3 * self.dim * self.ffn + 2 * self.dim
    return self.layers * layer + self.dim + self.vocab * self.dim * (1 if self.tied else 2)


def from_huggingface(folder: str | pathlib.Path, **overrides: Any) -> DecoderConfig:
  """Reads `folder/config.json`.

  Raises:
    CheckpointError: the file is missing, is not JSON, or describes an architecture we do not have.
  """
  path = pathlib.Path(folder) / 'config.json'
  try:
    raw = json.loads(path.read_text())
  except FileNotFoundError:
    raise CheckpointError(f'{path} does not exist; model.path must name a Hugging Face model folder') from None
  except (json.JSONDecodeError, UnicodeDecodeError) as e:
    raise CheckpointError(f'{path} is not valid JSON: {e}') from e
  if not isinstance(raw, dict):
    raise CheckpointError(f'{path} is not a JSON object')
  if raw.get('model_type') not in SUPPORTED:
    raise CheckpointError(f'{path}: model_type {raw.get("model_type")!r} is not supported; have {", ".join(SUPPORTED)}')
  if raw.get('hidden_act', 'silu') != 'silu':
    raise CheckpointError(f'{path}: hidden_act {raw["hidden_act"]!r} is not supported; have silu')
  for name in SIZES:
    if name in raw and (type(raw[name]) is not int or raw[name] < 1):
      raise CheckpointError(f'{path}: {name} must be a positive integer, is {raw[name]!r}')
  if raw.get('use_sliding_window'):
    raise CheckpointError(f'{path}: use_sliding_window is not supported; set it to false')
  rope = raw.get('rope_parameters') or raw.get('rope_scaling') or {}
  if rope.get('rope_type', rope.get('type', 'default')) != 'default':
    raise CheckpointError(f'{path}: rope scaling {rope} is not supported')
  try:
    config = DecoderConfig(
      vocab=raw['vocab_size'],
      layers=raw['num_hidden_layers'],
      dim=raw['hidden_size'],
      heads=raw['num_attention_heads'],
      kv_heads=raw['num_key_value_heads'],
      head_dim=raw.get('head_dim') or raw['hidden_size'] // raw['num_attention_heads'],
      ffn=raw['intermediate_size'],
      rope_theta=float(raw.get('rope_theta') or rope.get('rope_theta') or 10_000.0),
      norm_eps=raw['rms_norm_eps'],
      tied=raw.get('tie_word_embeddings', False),
      context=raw['max_position_embeddings'],
    )
  except KeyError as e:
    raise CheckpointError(f'{path} lacks the key {e}') from e
  except CheckpointError as e:
    raise CheckpointError(f'{path}: {e}') from e
  return dataclasses.replace(config, **overrides)


def to_huggingface(config: DecoderConfig, *, eos: int, pad: int) -> dict[str, Any]:
  """The `config.json` that transformers reads for this decoder."""
  return {
    'architectures': ['Qwen2ForCausalLM'],
    'model_type': 'qwen2',
    'vocab_size': config.vocab,
    'num_hidden_layers': config.layers,
    'hidden_size': config.dim,
    'num_attention_heads': config.heads,
    'num_key_value_heads': config.kv_heads,
    'head_dim': config.head_dim,
    'intermediate_size': config.ffn,
    'rope_theta': config.rope_theta,
    'rms_norm_eps': config.norm_eps,
    'tie_word_embeddings': config.tied,
    'max_position_embeddings': config.context,
    'hidden_act': 'silu',
    'use_sliding_window': False,
    'torch_dtype': 'bfloat16',
    'eos_token_id': eos,
    'pad_token_id': pad,
  }
