"""Adapters in the format of PEFT, in and out: `adapter_config.json` and `adapter_model.safetensors`.

from peft import PeftModel
PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), FOLDER)
"""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

import jax

from inftool_jax.errors import CheckpointError
from inftool_jax.models import decoder, huggingface, lora, tensorfiles
from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.huggingface import Place
from inftool_jax.models.lora import LoraConfig
from inftool_jax.models.tensorfiles import Tensor

CONFIG, TENSORS = 'adapter_config.json', 'adapter_model.safetensors'
MODULES = {name: huggingface.BLOCK[name][0].removesuffix('.weight') for name in lora.PROJECTIONS}  # ours -> self_attn.q_proj
OFF = {  # options that would make other models of the same tensors -> the value at which they do nothing
  'bias': 'none', 'use_dora': False, 'use_rslora': False, 'fan_in_fan_out': False, 'rank_pattern': {}, 'alpha_pattern': {},
  'modules_to_save': None, 'layers_to_transform': None,
}  # fmt: skip


def places(config: DecoderConfig) -> list[Place]:
  """The tensors of the adapters, stored [out, in] as PEFT has them."""
  _, adapters = lora.split(decoder.abstract(config))

  def place(layer: int, name: str, ours: str, theirs: str) -> Place:
    path = f'base_model.model.model.layers.{layer}.{MODULES[name]}.{theirs}.weight'
    return Place(path, ('blocks', name + ours), layer, adapters['blocks'][name + ours].shape[:0:-1], True)

  names = config.lora.names if config.lora else ()
  both = ((lora.A, 'lora_A'), (lora.B, 'lora_B'))
  return [place(i, name, ours, theirs) for i in range(config.layers) for name in names for ours, theirs in both]


def save(folder: str | pathlib.Path, params: decoder.Params, config: DecoderConfig, base: str) -> None:
  """Writes the adapters among `params`, float32 bit for bit; `base` is what PEFT is to find the base model by.

  Raises:
    ValueError: the config has no adapters.
    CheckpointError: the disk does not take them.
  """
  if config.lora is None:
    raise ValueError('the config has no adapters')
  folder = pathlib.Path(folder)
  described: dict[str, Any] = {
    'peft_type': 'LORA',
    'task_type': 'CAUSAL_LM',
    'base_model_name_or_path': base,
    'r': config.lora.rank,
    'lora_alpha': config.lora.alpha,
    'lora_dropout': 0.0,
    'target_modules': sorted(MODULES[name].split('.')[-1] for name in config.lora.names),
    'inference_mode': True,
    **OFF,
  }
  tensors = [Tensor(p.name, p.shape, functools.partial(huggingface.fetch, params, None, p)) for p in places(config)]
  try:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)  # comes last: a folder that has it is whole
  except OSError as e:
    raise CheckpointError(f'{folder} cannot be written ({e.strerror or e})') from e
  tensorfiles.write_file(folder / TENSORS, tensors, 'F32')
  tensorfiles.write_json(folder / CONFIG, described)


def read_config(folder: str | pathlib.Path) -> LoraConfig:
  """Rank, alpha and targets of the adapters in `folder`.

  Raises:
    CheckpointError: there are none, or they are of a kind that we do not have; the message names file and key.
  """
  path = pathlib.Path(folder) / CONFIG
  try:
    raw = json.loads(path.read_text())
    rank, alpha, modules = raw['r'], raw['lora_alpha'], raw['target_modules']
  except FileNotFoundError:
    raise CheckpointError(f'{path} does not exist; adapters are a folder in the format of PEFT') from None
  except (ValueError, KeyError, TypeError) as e:  # no JSON, no text, or another shape
    raise CheckpointError(f'{path} is not the config of a LoRA adapter: {e!r}') from e
  for key, off in {'peft_type': 'LORA', **OFF}.items():
    if (raw.get(key) or off) != off:
      raise CheckpointError(f'{path}: {key} {raw[key]!r} is not supported; have {off!r}')
  if type(rank) is not int or rank < 1 or not isinstance(alpha, (int, float)):
    raise CheckpointError(f'{path}: r must be a positive integer and lora_alpha a number, are {rank!r} and {alpha!r}')
  known = {theirs.split('.')[-1]: ours for ours, theirs in MODULES.items()}
  if not isinstance(modules, list) or any(module not in known for module in modules):
    raise CheckpointError(f'{path}: target_modules {modules!r} is not supported; have a list of {", ".join(known)}')
  return LoraConfig(rank, float(alpha), tuple(ours for theirs, ours in known.items() if theirs in modules))


def load(folder: str | pathlib.Path, config: DecoderConfig) -> decoder.Params:
  """The adapters in `folder` for a config that has them (`read_config`), the trained part of `lora.split`.

  Raises:
    CheckpointError: a tensor is missing, unexpected or misshapen, or the file is unreadable; the message names it.
  """
  folder = pathlib.Path(folder)
  stored, wanted = tensorfiles.header(folder / TENSORS), places(config)
  huggingface.check(folder, stored, wanted)
  _, shapes = lora.split(decoder.abstract(config))
  return huggingface.read(stored, wanted, shapes, jax.tree.map(lambda _: None, shapes))
