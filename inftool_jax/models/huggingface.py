"""Hugging Face checkpoints in and out, tensor by tensor.

`BLOCK` and `TOP` are the whole mapping: our name -> the tensor's name in a checkpoint and whether it is stored transposed.
Which of them a checkpoint has follows from the config. Nothing is initialized at random behind a gap.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from inftool_jax.errors import CheckpointError
from inftool_jax.models import decoder, lora, tensorfiles
from inftool_jax.models.config import DecoderConfig, to_huggingface
from inftool_jax.models.lora import LoraConfig
from inftool_jax.models.tensorfiles import Stored, Tensor
from inftool_jax.parallel import placing
from inftool_jax.parallel.placing import Part

BLOCK = {  # ours -> (theirs under model.layers.N., transposed)
  'attention_norm': ('input_layernorm.weight', False),
  'q': ('self_attn.q_proj.weight', True),
  'k': ('self_attn.k_proj.weight', True),
  'v': ('self_attn.v_proj.weight', True),
  'o': ('self_attn.o_proj.weight', True),
  'q_bias': ('self_attn.q_proj.bias', False),
  'k_bias': ('self_attn.k_proj.bias', False),
  'v_bias': ('self_attn.v_proj.bias', False),
  'q_norm': ('self_attn.q_norm.weight', False),
  'k_norm': ('self_attn.k_norm.weight', False),
  'ffn_norm': ('post_attention_layernorm.weight', False),
  'gate': ('mlp.gate_proj.weight', True),
  'up': ('mlp.up_proj.weight', True),
  'down': ('mlp.down_proj.weight', True),
}
TOP = {'embed': 'model.embed_tokens.weight', 'norm': 'model.norm.weight', 'head': 'lm_head.weight'}
STORED_AS = {'bfloat16': 'BF16', 'float16': 'F16', 'float32': 'F32'}
SHARD_BYTES = 5_000_000_000  # transformers' own limit of a file


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a tensor of a checkpoint belongs among the parameters."""

  name: str  # the checkpoint's
  path: tuple[str, ...]  # ours
  layer: int | None
  shape: tuple[int, ...]  # the checkpoint's
  transposed: bool


def places(config: DecoderConfig) -> list[Place]:
  """All tensors of a checkpoint of this shape, in the order in which they are written; adapters are no part of it."""
  shapes = decoder.abstract(dataclasses.replace(config, lora=None))

  def top(ours: str) -> Place:
    return Place(TOP[ours], (ours,), None, shapes[ours].shape, False)

  layers = []
  for i in range(config.layers):
    for ours, like in shapes['blocks'].items():
      theirs, transposed = BLOCK[ours]
      shape = like.shape[:0:-1] if transposed else like.shape[1:]
      layers.append(Place(f'model.layers.{i}.{theirs}', ('blocks', ours), i, shape, transposed))
  return [top('embed'), *layers, *(top(ours) for ours in shapes if ours not in ('embed', 'blocks'))]


def load(folder: str | pathlib.Path, config: DecoderConfig, mesh: Mesh | None = None) -> decoder.Params:
  """Parameters of the checkpoint in `folder`, in `config.param_dtype`, each where it lies on the mesh.

  Of a config with adapters they are the base alone, its projections in int8 if it says so. All headers are checked against the config
  before anything is allocated. Then one block of one tensor at a time goes through host memory; a device of the mesh is sent what it
  holds of it.

  Raises:
    CheckpointError: a tensor is missing, unexpected or misshapen, or a file is unreadable; the message names it.
  """
  folder = pathlib.Path(folder)
  stored = tensorfiles.scan(folder)
  wanted = places(config)
  check(folder, stored, wanted)
  shapes = lora.base(decoder.abstract(config))
  homes = jax.tree.map(lambda _: None, shapes) if mesh is None else placing.shardings(mesh, lora.base(decoder.logical_axes(config)))
  return read(stored, wanted, shapes, homes)


def read(stored: Mapping[str, Stored], wanted: list[Place], shapes: Any, homes: Any) -> Any:
  """The tree of `shapes`, filled block by block from tensors that are known to fit, each leaf in the place that `homes` has for it."""
  parts = jax.tree.map(lambda like, home: placing.parts(like.shape, like.dtype, home), shapes, homes)
  for place in wanted:
    for row, block in stored[place.name].blocks():
      for target, values in _converted(place, block, shapes):
        for part in _at(parts, target.path):
          _fill(part, values, target, row)
        # Waited for: blocks that are still on their way to a device would pile up in host memory.
        jax.block_until_ready([part.array for part in _at(parts, target.path)])
  return jax.tree.map(lambda like, home, pieces: placing.joined(like.shape, home, pieces), shapes, homes, parts)


def _converted(place: Place, block: np.ndarray, shapes: Any) -> list[tuple[Place, Any]]:
  """What becomes of a block of rows: itself; or, as its rows are output channels, their values in int8 and their scales."""
  scales = (*place.path[:-1], place.path[-1] + lora.SCALE)
  if scales[-1] not in _at(shapes, scales[:-1]):
    return [(place, block)]
  values_IxO, scale_O = lora.quantize(block.T)
  return [(place, values_IxO.T), (dataclasses.replace(place, path=scales, transposed=False), scale_O)]


def _at(tree: Any, path: tuple[str, ...]) -> Any:
  return functools.reduce(lambda node, key: node[key], path, tree)


def _fill(part: Part, block: Any, place: Place, row: int) -> None:
  """Puts into `part` what it holds of the block that begins with row number `row` of one tensor."""
  theirs = part.slices[len(part.slices) - block.ndim :]  # of one layer; layers are not divided
  theirs = theirs[::-1] if place.transposed else theirs
  first = (row, *[0] * (block.ndim - 1))  # in the tensor as the checkpoint has it
  begin = [max(here, s.start) for here, s in zip(first, theirs)]
  end = [min(here + size, s.stop) for here, size, s in zip(first, block.shape, theirs)]
  if any(b >= e for b, e in zip(begin, end)):
    return
  held = block[tuple(slice(b - here, e - here) for b, e, here in zip(begin, end, first))]
  start = np.array([b - s.start for b, s in zip(begin, theirs)], np.int32)
  start = start[::-1] if place.transposed else start
  layer = () if place.layer is None else (np.int32(place.layer),)
  part.array = _put(part.array, held, (*layer, *start), place.transposed)


@functools.partial(jax.jit, static_argnums=3, donate_argnums=0)
def _put(out: jax.Array, block: jax.Array, start, transposed: bool) -> jax.Array:
  """`out` with a block of one tensor in its place."""
  block = (block.T if transposed else block).astype(out.dtype)
  return jax.lax.dynamic_update_slice(out, block.reshape((1,) * (out.ndim - block.ndim) + block.shape), start)


def check(folder: pathlib.Path, stored: Mapping[str, Stored], wanted: list[Place]) -> None:
  """Raises CheckpointError unless the tensors are those that are wanted, in shape and type."""
  names = {p.name for p in wanted}
  if missing := [p for p in wanted if p.name not in stored]:
    more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
    raise CheckpointError(f'{folder}: no file holds the tensor {missing[0].name}{more}, which the config asks for as {missing[0].shape}')
  for place in wanted:
    found = stored[place.name]
    if found.shape != place.shape:
      raise CheckpointError(f'{found} has shape {found.shape}, the config asks for {place.shape}')
    if found.dtype not in tensorfiles.DTYPES:
      raise CheckpointError(f'{found} is stored as {found.dtype}; have {", ".join(tensorfiles.DTYPES)}')
  # Old exports carry the rotation's frequencies, which follow from the config.
  extra = [s for name, s in stored.items() if name not in names and not name.endswith('rotary_emb.inv_freq')]
  for found in extra:
    if found.name == TOP['head'] and _equal(found, stored[TOP['embed']]):
      continue  # a copy of the embedding, beside a config that says as much
    hint = '; is tie_word_embeddings meant to be false?' if found.name == TOP['head'] else ''
    more = f' (one of {len(extra)})' if len(extra) > 1 else ''
    raise CheckpointError(f'{found}{more} of shape {found.shape} has no place in the model{hint}')


def _equal(a: Stored, b: Stored) -> bool:
  if (a.shape, a.dtype) != (b.shape, b.dtype):
    return False
  return all(np.array_equal(x, y) for (_, x), (_, y) in zip(a.blocks(), b.blocks()))


def save(
  folder: str | pathlib.Path,
  params: decoder.Params,
  config: DecoderConfig,
  *,
  eos: int,
  pad: int,
  dtype: str = 'bfloat16',
  shard_bytes: int = SHARD_BYTES,
) -> None:
  """Writes the checkpoint that transformers loads: `model.safetensors`, or shards and their index, and `config.json`.

  Adapters are merged with the base, a matrix at a time. Values are rounded to `dtype` once; those that came from it are written bit
  for bit. `config.json` goes first and comes last, so a folder that has one is whole. The tokenizer is the caller's.

  Raises:
    CheckpointError: the config is of no family, `dtype` is none of `STORED_AS`, or the disk does not take it.
  """
  folder = pathlib.Path(folder)
  if dtype not in STORED_AS:
    raise CheckpointError(f'tensors cannot be stored as {dtype}; have {", ".join(STORED_AS)}')
  described = to_huggingface(config, eos=eos, pad=pad, dtype=dtype)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').unlink(missing_ok=True)
  except OSError as e:
    raise CheckpointError(f'{folder} cannot be written ({e.strerror or e})') from e
  tensors = [Tensor(p.name, p.shape, functools.partial(fetch, params, config.lora, p)) for p in places(config)]
  tensorfiles.write(folder, tensors, STORED_AS[dtype], shard_bytes)
  tensorfiles.write_json(folder / 'config.json', described)


def fetch(params: decoder.Params, config: LoraConfig | None, place: Place) -> np.ndarray:
  """A tensor as a checkpoint has it, merged with its adapters if it has any."""
  *above, name = place.path
  held = lora.parts(_at(params, tuple(above)), name)
  if place.layer is not None:
    layer = np.int32(place.layer)  # as an array: one program for all layers
    held = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, layer, keepdims=False), held)
  array = np.asarray(lora.merged(held, name, config))
  return array.T if place.transposed else array
