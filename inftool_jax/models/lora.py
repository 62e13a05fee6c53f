"""LoRA (arXiv 2106.09685): a frozen matrix W and a trained low-rank product beside it, W + alpha / rank * A @ B.

Adapters, and the scales of a base in int8, are leaves beside the weight in the same tree; `decoder.forward` uses what it finds there:

    blocks.q          [L, in, out]    the base; int8 where there are scales
    blocks.q_scale    [L, out]        float32: of each output channel
    blocks.q_lora_a   [L, in, rank]   float32
    blocks.q_lora_b   [L, rank, out]  float32, at first zero: the first policy is the base
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp

Tree = dict[str, Any]

PROJECTIONS = ('q', 'k', 'v', 'o', 'gate', 'up', 'down')
A, B, SCALE = '_lora_a', '_lora_b', '_scale'


@dataclasses.dataclass(frozen=True)
class LoraConfig:
  """Which projections get adapters, and of what size."""

  rank: int
  alpha: float
  targets: tuple[str, ...] = PROJECTIONS  # regular expressions; each matches whole names of `PROJECTIONS`
  int8: bool = False  # the matrices of the base's layers in 8 bits, symmetric, with a scale for each output channel

  @property
  def scale(self) -> float:
    return self.alpha / self.rank

  @property
  def names(self) -> tuple[str, ...]:
    """The projections that get adapters."""
    return tuple(name for name in PROJECTIONS if any(re.fullmatch(target, name) for target in self.targets))


def is_adapter(name: str) -> bool:
  return name.endswith((A, B))


def base(params: Tree) -> Tree:
  """A tree like the parameters, without adapters."""
  return {**params, 'blocks': {name: leaf for name, leaf in params['blocks'].items() if not is_adapter(name)}}


def split(params: Tree) -> tuple[Tree, Tree]:
  """(frozen, trained) of a tree like the parameters: adapters are trained, or, where there are none, everything is."""
  adapters = {name: leaf for name, leaf in params['blocks'].items() if is_adapter(name)}
  if not adapters:
    return {}, params
  return base(params), {'blocks': adapters}


def join(frozen: Tree, trained: Tree) -> Tree:
  """The parameters of which these are the two parts."""
  return {**frozen, **trained, 'blocks': {**frozen.get('blocks', {}), **trained['blocks']}}


def init(base: Tree, config: LoraConfig, seed: int) -> Tree:
  """Adapters for a base: A uniform within 1 / sqrt(in) (PEFT's default), B zero."""
  adapters = {}
  for number, name in enumerate(PROJECTIONS):
    if name in config.names:
      L, rows, columns = base['blocks'][name].shape
      key = jax.random.fold_in(jax.random.key(seed), number)
      adapters[name + A] = jax.random.uniform(key, (L, rows, config.rank), jnp.float32, -(rows**-0.5), rows**-0.5)
      adapters[name + B] = jnp.zeros((L, config.rank, columns), jnp.float32)
  return {'blocks': adapters}


@jax.jit
def quantize(w: jax.Array) -> tuple[jax.Array, jax.Array]:
  """int8 [..., in, out] and float32 scales [..., out]; their product is `w` but for 1 / 254 of its column's largest entry."""
  w = jnp.asarray(w, jnp.float32)
  largest = jnp.abs(w).max(axis=-2)
  scale = jnp.where(largest == 0, 1.0, largest / 127)
  return jnp.round(w / scale[..., None, :]).astype(jnp.int8), scale


def quantized(params: Tree) -> Tree:
  """The parameters, or some of them, with every projection in int8; those that are so already stay."""
  blocks = dict(params['blocks'])
  for name in PROJECTIONS:
    if name in blocks and jnp.issubdtype(blocks[name].dtype, jnp.floating):
      blocks[name], blocks[name + SCALE] = quantize(blocks[name])
  return {**params, 'blocks': blocks}


def parts(blocks: Tree, name: str) -> Tree:
  """What there is of a parameter: itself, and of a projection scales and adapters."""
  return {part: blocks[part] for part in (name, name + SCALE, name + A, name + B) if part in blocks}


def merged(held: Tree, name: str, config: LoraConfig | None) -> jax.Array:
  """A parameter as one array, of its `parts` in all layers or one: base + alpha / rank * A @ B.

  Float32 where there are several, as it is where there is one.
  """
  w = held[name]
  if name + SCALE in held:
    w = w * held[name + SCALE][..., None, :]
  if config is not None and name + A in held:
    w = w + config.scale * jnp.matmul(held[name + A], held[name + B], precision=jax.lax.Precision.HIGHEST)
  return w
