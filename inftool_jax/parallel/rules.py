"""Sharding as data: logical axis -> the mesh axes it is divided over, outermost first; () is whole on every device.

The rooms above name the axes of their arrays (`models.decoder.logical_axes`, `placing.constrain`) and know no mesh axis; what a
name means on a mesh stands here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
from jax.sharding import PartitionSpec

DATA, FSDP, TENSOR, SEQUENCE = AXES = ('data', 'fsdp', 'tensor', 'sequence')
Rules = Mapping[str, tuple[str, ...]]
Names = tuple[str, ...]

PARAMETERS: Rules = MappingProxyType({
  'layers': (),  # scanned: each device has its part of every layer
  'vocab': (TENSOR,),
  'dim': (FSDP,),
  'heads': (TENSOR,),
  'kv_heads': (TENSOR,),
  'ffn': (TENSOR,),
  'rank': (),  # of adapters
  'head': (),
  'norm': (),  # scales of norms: too small to be worth a gather
})  # fmt: skip

USED_PARAMETERS: Rules = MappingProxyType({name: tuple(axis for axis in axes if axis != FSDP) for name, axes in PARAMETERS.items()})

ACTIVATIONS: Rules = MappingProxyType({
  'batch': (DATA, FSDP),  # rows
  'length': (SEQUENCE,),  # inside a layer, between products with parameters
  'residual': (SEQUENCE, TENSOR),  # length of the residual stream, which is what a backward pass keeps of each layer
  'context': (),  # length where every position sees others
  'dim': (),
  'stored_dim': (FSDP,),  # as it is of a parameter, where rows of one are looked up or a gradient of one is added up
  'heads': (TENSOR,),
  'attended_heads': (TENSOR, SEQUENCE),  # in attention: heads are independent, positions are not
  'head': (),
  'ffn': (TENSOR,),
  'rank': (),
  'vocab': (TENSOR,),
  'whole': (),  # the sampler's pages, items and rows: every device has all of them, of its own heads
})  # fmt: skip


def spec(names: Names, rules: Rules) -> PartitionSpec:
  """Where an array with these logical axes lies. Raises KeyError for a name without a rule."""
  return PartitionSpec(*(rules[name] or None for name in names))


def flatten(axes: Any) -> Iterator[tuple[str, Names]]:
  """(path such as `blocks.q`, names) of each leaf of a tree of logical axes."""
  for path, names in jax.tree_util.tree_leaves_with_path(axes, is_leaf=is_names):
    yield jax.tree_util.keystr(path, simple=True, separator='.'), names


def is_names(x: Any) -> bool:
  """Whether `x` is a leaf of a tree of logical axes."""
  return isinstance(x, tuple)


def parts(mesh_axes: tuple[str, ...], sizes: Mapping[str, int]) -> int:
  """Into how many parts an axis is cut on a mesh of these sizes."""
  return math.prod(sizes[axis] for axis in mesh_axes)
