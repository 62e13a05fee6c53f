"""Hugging Face checkpoints in and out, tensor by tensor.

`NAMES` is the whole mapping: our path -> the tensor's name in a Qwen2 checkpoint and whether it is stored
transposed. Import reads one tensor at a time from safetensors; nothing is initialized at random behind a gap.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from inftool_jax.errors import CheckpointError
from inftool_jax.models import decoder
from inftool_jax.models.config import DecoderConfig, to_huggingface

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


def load(folder: str | pathlib.Path, config: DecoderConfig) -> decoder.Params:
  """Parameters of the checkpoint in `folder`, in `config.param_dtype`.

  Raises:
    CheckpointError: a tensor is missing, has another shape, or a file is unreadable; the message names it.
  """
  folder = pathlib.Path(folder)
  where = _index(folder)
  shapes = decoder.abstract(config)
  dtype = np.dtype(jnp.dtype(config.param_dtype))

  def read(name: str, shape: tuple[int, ...], transposed: bool) -> np.ndarray:
    if name not in where:
      raise CheckpointError(f'{folder}: no file holds the tensor {name}')
    try:
      with safe_open(where[name], framework='numpy') as f:
        array = f.get_tensor(name)
    except (SafetensorError, OSError) as e:
      raise CheckpointError(f'{where[name]}: the tensor {name} cannot be read ({e}); is the file complete?') from e
    array = array.T if transposed else array
    if array.shape != shape:
      raise CheckpointError(f'{where[name]}: {name} has shape {array.shape}, the config asks for {shape}')
    return array.astype(dtype)

  def stacked(ours: str) -> jax.Array:
    theirs, transposed = BLOCK[ours]
    like = shapes['blocks'][ours]
    out = np.empty(like.shape, dtype)
    for i in range(config.layers):
      out[i] = read(f'model.layers.{i}.{theirs}', like.shape[1:], transposed)
    return jnp.asarray(out)

  params: dict[str, Any] = {'blocks': {ours: stacked(ours) for ours in shapes['blocks']}}
  for ours in shapes:
    if ours != 'blocks':
      params[ours] = jnp.asarray(read(TOP[ours], shapes[ours].shape, False))
  return params


def _index(folder: pathlib.Path) -> Mapping[str, pathlib.Path]:
  """Tensor name -> file, from the index of a sharded checkpoint or the header of a single file."""
  index = folder / 'model.safetensors.index.json'
  if index.exists():
    try:
      names = json.loads(index.read_text())['weight_map']
      return {name: folder / file for name, file in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as e:  # no JSON, no text, or another shape
      raise CheckpointError(f'{index} is not a safetensors index: {e!r}') from e
  single = folder / 'model.safetensors'
  if not single.exists():
    raise CheckpointError(f'{folder} holds neither model.safetensors nor model.safetensors.index.json')
  try:
    with safe_open(single, framework='numpy') as f:
      return {name: single for name in f.keys()}
  except (SafetensorError, OSError) as e:
    raise CheckpointError(f'{single} cannot be read ({e}); is the file complete?') from e


def save(folder: str | pathlib.Path, params: decoder.Params, config: DecoderConfig, *, eos: int, pad: int) -> None:
  """Writes `config.json` and a bfloat16 `model.safetensors` that transformers loads; the tokenizer is the caller's."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors: dict[str, np.ndarray] = {}
  for ours, value in params.items():
    if ours != 'blocks':
      tensors[TOP[ours]] = np.ascontiguousarray(np.asarray(value).astype(ml_dtypes.bfloat16))
  for ours, value in params['blocks'].items():
    theirs, transposed = BLOCK[ours]
    for i, layer in enumerate(np.asarray(value).astype(ml_dtypes.bfloat16)):
      tensors[f'model.layers.{i}.{theirs}'] = np.ascontiguousarray(layer.T if transposed else layer)
  save_file(tensors, folder / 'model.safetensors', metadata={'format': 'pt'})
  (folder / 'config.json').write_text(json.dumps(to_huggingface(config, eos=eos, pad=pad), indent=2) + '\n')
