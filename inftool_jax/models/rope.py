"""Rotary position embeddings (arXiv 2104.09864): plain, Llama-3 scaled and YaRN scaled.

A scaling is a frozen part of `DecoderConfig`. It turns the plain frequencies theta^(-2i/E) into those of a longer context
and says how much larger the rotated queries and keys get; that is all a model family differs in here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from inftool_jax.errors import CheckpointError

DEFAULT_THETA = 10_000.0
_ORIGINAL = 'original_max_position_embeddings'


class Scaling(Protocol):
  """What the decoder asks of a scaling."""

  @property
  def attention_factor(self) -> float:
    """Factor of every rotated query and key."""

  def context(self, stated: int) -> int:
    """Longest sequence in tokens, where the config states `stated`."""

  def frequencies(self, plain_E: jax.Array, theta: float) -> jax.Array:
    """The scaled frequencies, float32 [E/2], of the plain ones."""

  def to_huggingface(self) -> dict[str, Any]:
    """The value of `rope_scaling` in a `config.json`."""


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
  """Llama 3.1's: long waves are stretched by `factor`, short ones kept, those between interpolated (arXiv 2407.21783)."""

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_context: int

  def __post_init__(self) -> None:
    if not self.factor >= 1 or not 0 < self.low_freq_factor < self.high_freq_factor:
      raise CheckpointError(f'rope scaling llama3 needs factor >= 1 and 0 < low_freq_factor < high_freq_factor, got {self}')

  attention_factor = 1.0

  def context(self, stated: int) -> int:
    return stated

  def frequencies(self, plain_E: jax.Array, theta: float) -> jax.Array:
    # How often a wave turns within the original context decides: below low_freq_factor stretched, above high_freq_factor kept.
    turns_E = self.original_context * plain_E / (2 * math.pi)
    kept_E = jnp.clip((turns_E - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor), 0.0, 1.0)
    return (1 - kept_E) * plain_E / self.factor + kept_E * plain_E

  def to_huggingface(self) -> dict[str, Any]:
    names = {'low_freq_factor': self.low_freq_factor, 'high_freq_factor': self.high_freq_factor}
    return {'rope_type': 'llama3', 'factor': self.factor, **names, _ORIGINAL: self.original_context}


@dataclasses.dataclass(frozen=True)
class YarnScaling:
  """YaRN (arXiv 2309.00071): dimensions that turn less than `beta_slow` times in the original context are stretched, those that
  turn more than `beta_fast` times kept, with a linear ramp between the two dimensions (whole ones if `truncate`)."""

  factor: float
  original_context: int
  attention_factor: float
  beta_fast: float = 32.0
  beta_slow: float = 1.0
  truncate: bool = True

  def __post_init__(self) -> None:
    if not self.factor >= 1 or not 0 < self.beta_slow <= self.beta_fast or not self.attention_factor > 0:
      raise CheckpointError(f'rope scaling yarn needs factor >= 1, 0 < beta_slow <= beta_fast, attention_factor > 0, got {self}')

  def context(self, stated: int) -> int:
    return max(stated, int(self.factor * self.original_context))  # Qwen's configs go on stating the original one

  def frequencies(self, plain_E: jax.Array, theta: float) -> jax.Array:
    E = 2 * plain_E.shape[0]
    betas = self.beta_fast, self.beta_slow
    low, high = (E * math.log(self.original_context / (beta * 2 * math.pi)) / (2 * math.log(theta)) for beta in betas)
    if self.truncate:
      low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, E - 1)
    stretched_E = jnp.clip((jnp.arange(E // 2) - low) / ((high - low) or 0.001), 0.0, 1.0)
    return stretched_E * plain_E / self.factor + (1 - stretched_E) * plain_E

  def to_huggingface(self) -> dict[str, Any]:
    betas = {'beta_fast': self.beta_fast, 'beta_slow': self.beta_slow, 'truncate': self.truncate}
    factors = {'factor': self.factor, 'attention_factor': self.attention_factor}
    return {'rope_type': 'yarn', **factors, **betas, _ORIGINAL: self.original_context}


def read(raw: Mapping[str, Any]) -> tuple[float, Scaling | None]:
  """(theta, scaling) of a `config.json`: `rope_theta` and `rope_scaling`, or `rope_parameters` as transformers 5 writes them.

  Raises:
    CheckpointError: names the key, what it holds and what would work.
  """
  key = 'rope_scaling' if raw.get('rope_scaling') else 'rope_parameters'
  given = raw.get(key) or {}
  if not isinstance(given, Mapping):
    raise CheckpointError(f'{key} must be an object, is {given!r}')
  rope = {k: v for k, v in given.items() if v is not None}
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if kind not in _KINDS:
    raise CheckpointError(f'{key}: rope_type {kind!r} is not supported; have {", ".join(_KINDS)}')
  known = ('rope_type', 'type', 'rope_theta', 'partial_rotary_factor', *_KINDS[kind])
  if unknown := sorted(set(rope) - set(known)):
    raise CheckpointError(f'{key}: {", ".join(unknown)} of rope_type {kind!r} is not supported; have {", ".join(known)}')
  if (part := rope.get('partial_rotary_factor', raw.get('partial_rotary_factor')) or 1.0) != 1.0:
    raise CheckpointError(f'partial_rotary_factor {part!r} is not supported; have 1.0')
  numbers = {'rope_theta': rope.get('rope_theta') or raw.get('rope_theta') or DEFAULT_THETA}
  numbers |= {k: rope[k] for k in _KINDS[kind] if k in rope and k != 'truncate'}
  for name, value in numbers.items():
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
      raise CheckpointError(f'{name} must be a positive number, is {value!r}')
  theta = float(numbers.pop('rope_theta'))
  if theta <= 1:
    raise CheckpointError(f'rope_theta must be greater than 1, is {theta}')
  if kind == 'default':
    return theta, None
  # transformers reads the context from beside the object before the one inside, and without either takes the model's own.
  original = raw.get(_ORIGINAL) or rope.get(_ORIGINAL) or raw.get('max_position_embeddings')
  if type(original) is not int or original < 1:
    raise CheckpointError(f'{key}: {_ORIGINAL} must be a positive integer, is {original!r}')
  numbers.pop(_ORIGINAL, None)
  needed = ('factor', 'low_freq_factor', 'high_freq_factor') if kind == 'llama3' else ('factor',)
  if missing := [name for name in needed if name not in numbers]:
    raise CheckpointError(f'{key}: rope_type {kind!r} lacks {", ".join(missing)}')
  numbers = {name: float(value) for name, value in numbers.items()}
  if kind == 'llama3':
    return theta, Llama3Scaling(**numbers, original_context=original)
  mscale, mscale_all_dim = numbers.pop('mscale', None), numbers.pop('mscale_all_dim', None)
  if 'attention_factor' not in numbers:
    numbers['attention_factor'] = _attention_factor(numbers['factor'], mscale, mscale_all_dim)
  return theta, YarnScaling(**numbers, original_context=original, truncate=bool(rope.get('truncate', True)))


_KINDS = {
  'default': (),
  'llama3': ('factor', 'low_freq_factor', 'high_freq_factor', _ORIGINAL),
  'yarn': ('factor', 'attention_factor', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim', 'truncate', _ORIGINAL),
}


def _attention_factor(factor: float, mscale: float | None, mscale_all_dim: float | None) -> float:
  """YaRN's own choice, 0.1 ln(factor) + 1, or the ratio of two such that DeepSeek's configs ask for."""

  def grown(scale: float) -> float:
    return 0.1 * scale * math.log(factor) + 1.0

  return grown(mscale) / grown(mscale_all_dim) if mscale and mscale_all_dim else grown(1.0)


def angles(positions_BxT: jax.Array, head_dim: int, theta: float, scaling: Scaling | None) -> jax.Array:
  """Rotation angles, float32 [B, T, E/2]."""
  exponent_E = jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim
  frequencies_E = theta**-exponent_E
  if scaling is not None:
    frequencies_E = scaling.frequencies(frequencies_E, theta)
  return positions_BxT[..., None].astype(jnp.float32) * frequencies_E


def rotate(x_BxTxHxE: jax.Array, angles_BxTxE: jax.Array, scaling: Scaling | None = None) -> jax.Array:
  """Rotates the two halves of each head against each other, in float32 (Hugging Face's half-split layout)."""
  sin, cos = jnp.sin(angles_BxTxE)[:, :, None], jnp.cos(angles_BxTxE)[:, :, None]
  if scaling is not None and scaling.attention_factor != 1.0:
    sin, cos = sin * scaling.attention_factor, cos * scaling.attention_factor
  first, second = jnp.split(x_BxTxHxE.astype(jnp.float32), 2, axis=-1)
  return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x_BxTxHxE.dtype)
