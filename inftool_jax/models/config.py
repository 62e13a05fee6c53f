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
from inftool_jax.models import rope
from inftool_jax.models.lora import LoraConfig


@dataclasses.dataclass(frozen=True)
class Family:
  """What makes a model type of Hugging Face's, as far as it is ours."""

  architecture: str
  qkv_bias: bool
  qk_norm: bool
  head_dim: int | None = None  # where the config does not say; None: dim / heads


FAMILIES = {  # by `model_type`
  'qwen2': Family('Qwen2ForCausalLM', qkv_bias=True, qk_norm=False),  # Qwen2 and Qwen2.5
  'qwen3': Family('Qwen3ForCausalLM', qkv_bias=False, qk_norm=True, head_dim=128),
  'llama': Family('LlamaForCausalLM', qkv_bias=False, qk_norm=False),
}
REMAT = ('none', 'projections', 'attention', 'full')
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
  qk_norm: bool = False  # an RMS norm of each query and key head, before the rotation
  rope_scaling: rope.Scaling | None = None
  param_dtype: str = 'float32'  # adapters, which are masters, are float32 in any case
  compute_dtype: str = 'float32'
  remat: str = 'none'  # what a training step computes again instead of keeping it; see `decoder.REMAT_POLICIES`
  lora: LoraConfig | None = None  # None: all parameters are trained

  def __post_init__(self) -> None:
    if self.heads % self.kv_heads:
      raise CheckpointError(f'{self.heads} query heads cannot share {self.kv_heads} key/value heads: not a multiple')
    if self.head_dim % 2:
      raise CheckpointError(f'a head of {self.head_dim} cannot be rotated in halves: head_dim must be even')
    if self.remat not in REMAT:
      raise CheckpointError(f'remat {self.remat!r} is unknown; have {", ".join(REMAT)}')

  @property
  def model_type(self) -> str:
    """The Hugging Face family that has these features. Raises CheckpointError if none has."""
    for name, family in FAMILIES.items():
      if (family.qkv_bias, family.qk_norm) == (self.qkv_bias, self.qk_norm):
        return name
    raise CheckpointError(f'no family has qkv_bias={self.qkv_bias} and qk_norm={self.qk_norm}; have {", ".join(FAMILIES)}')

  @property
  def parameters(self) -> int:
    """Number of scalars, embeddings included and adapters not."""
    attention = self.dim * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
    bias = self.head_dim * (self.heads + 2 * self.kv_heads) if self.qkv_bias else 0
    norms = 2 * self.head_dim if self.qk_norm else 0
    layer = attention + bias + norms + 3 * self.dim * self.ffn + 2 * self.dim
    return self.layers * layer + self.dim + self.vocab * self.dim * (1 if self.tied else 2)

  def forward_flops(self, length: int) -> float:
    """Of a token, on average over a causal sequence of `length`: 2 for each weight it is multiplied with, and attention's two products."""
    layer = self.dim * self.head_dim * (2 * self.heads + 2 * self.kv_heads) + 3 * self.dim * self.ffn
    attention = 2 * self.layers * self.heads * self.head_dim * length  # half of the pairs of positions
    return 2 * (self.layers * layer + self.vocab * self.dim) + attention


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
  try:
    config = from_dict(raw)
  except CheckpointError as e:
    raise CheckpointError(f'{path}: {e}') from e
  return dataclasses.replace(config, **overrides)


def from_dict(raw: dict[str, Any], **overrides: Any) -> DecoderConfig:
  """The decoder of a parsed `config.json`. Raises CheckpointError for what is missing, of a wrong type, or not ours."""
  family = FAMILIES.get(raw['model_type']) if isinstance(raw.get('model_type'), str) else None
  if family is None:
    raise CheckpointError(f'model_type {raw.get("model_type")!r} is not supported; have {", ".join(FAMILIES)}')
  if missing := [name for name in (*SIZES, 'rms_norm_eps') if name not in raw]:
    raise CheckpointError(f'lacks the key {missing[0]!r}')
  for name in SIZES:
    if type(raw[name]) is not int or raw[name] < 1:
      raise CheckpointError(f'{name} must be a positive integer, is {raw[name]!r}')
  eps = raw['rms_norm_eps']
  if type(eps) is not float and type(eps) is not int:
    raise CheckpointError(f'rms_norm_eps must be a number, is {eps!r}')
  _refuse_what_we_lack(raw, family)
  dim, heads = raw['hidden_size'], raw['num_attention_heads']
  head_dim = raw.get('head_dim') or family.head_dim or dim // heads
  if type(head_dim) is not int or (not raw.get('head_dim') and not family.head_dim and dim % heads):
    raise CheckpointError(f'head_dim must be an integer where num_attention_heads {heads} does not divide hidden_size {dim}')
  theta, scaling = rope.read(raw)
  stated = raw['max_position_embeddings']
  return DecoderConfig(
    vocab=raw['vocab_size'],
    layers=raw['num_hidden_layers'],
    dim=dim,
    heads=heads,
    kv_heads=raw['num_key_value_heads'],
    head_dim=head_dim,
    ffn=raw['intermediate_size'],
    rope_theta=theta,
    norm_eps=float(eps),
    tied=bool(raw.get('tie_word_embeddings', False)),
    context=stated if scaling is None else scaling.context(stated),
    qkv_bias=family.qkv_bias,
    qk_norm=family.qk_norm,
    rope_scaling=scaling,
    **overrides,
  )


def _refuse_what_we_lack(raw: dict[str, Any], family: Family) -> None:
  """Raises CheckpointError for a feature that would silently give another model."""
  architectures = raw.get('architectures') or [family.architecture]
  if family.architecture not in architectures:
    raise CheckpointError(f'architectures {architectures!r} is not supported; {raw["model_type"]} has {family.architecture}')
  for key, works in (('hidden_act', 'silu'), ('attention_bias', False), ('mlp_bias', False), ('quantization_config', None)):
    if (raw.get(key) or works) != works:
      raise CheckpointError(f'{key} {raw[key]!r} is not supported; have {works!r}')
  if raw.get('use_sliding_window') and raw.get('sliding_window') is not None:
    L = raw['num_hidden_layers']
    first = raw.get('max_window_layers', L)  # layers from this one on slide
    if 'sliding_attention' in (raw.get('layer_types') or ['sliding_attention' if i >= first else '' for i in range(L)]):
      raise CheckpointError('use_sliding_window with layers that slide is not supported; set it to false')


def to_huggingface(config: DecoderConfig, *, eos: int, pad: int, dtype: str = 'bfloat16') -> dict[str, Any]:
  """The `config.json` that transformers reads for this decoder, its tensors stored as `dtype`.

  Raises:
    CheckpointError: no family of Hugging Face's has the config's features.
  """
  model_type = config.model_type
  raw: dict[str, Any] = {
    'architectures': [FAMILIES[model_type].architecture],
    'model_type': model_type,
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
    'torch_dtype': dtype,
    'eos_token_id': eos,
    'pad_token_id': pad,
  }
  if config.rope_scaling is not None:
    raw['rope_scaling'] = config.rope_scaling.to_huggingface()
  return raw
