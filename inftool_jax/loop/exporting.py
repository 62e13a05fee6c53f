"""A policy as a Hugging Face folder: weights, config, tokenizer, chat template, generation config."""

from __future__ import annotations

import json
import pathlib

from inftool_jax import settings as run_settings
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.data import manifest, places
from inftool_jax.errors import CheckpointError, ConfigError, StoreError
from inftool_jax.loop import context as contexts
from inftool_jax.loop import policy
from inftool_jax.models import config as decoder_config
from inftool_jax.models import decoder, huggingface, lora, peft
from inftool_jax.models.config import DecoderConfig
from inftool_jax.settings import Settings

# What a model folder holds beside weights and config, as far as it has it.
COMPANIONS = (
  'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'special_tokens_map.json', 'added_tokens.json', 'vocab.json',
  'merges.txt', 'tokenizer.model', 'generation_config.json',
)  # fmt: skip


def write(
  folder: pathlib.Path,
  params: decoder.Params,
  shape: DecoderConfig,
  tokenizer: ChatTokenizer,
  home: pathlib.Path,
  dtype: str = 'bfloat16',
  shard_bytes: int = huggingface.SHARD_BYTES,
) -> None:
  """Writes `params` into `folder`, with what else the model folder `home` holds; a folder with a `config.json` is whole, it comes last.

  Raises:
    CheckpointError: the folder is `home` itself, or cannot be written.
  """
  if not places.is_remote(folder) and folder.resolve() == home.resolve():
    raise CheckpointError(f'{folder} is the folder that the policy was started from; write to another one')
  try:
    with places.staged(folder, 'config.json') as local:
      _write_companions(local, tokenizer, home)
      huggingface.save(local, params, shape, eos=tokenizer.end_of_turn, pad=tokenizer.pad_id, dtype=dtype, shard_bytes=shard_bytes)
  except (OSError, StoreError) as e:
    raise CheckpointError(f'{folder} cannot be written: {e}') from e


def _write_companions(folder: pathlib.Path, tokenizer: ChatTokenizer, home: pathlib.Path) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'config.json').unlink(missing_ok=True)
  for name in COMPANIONS:
    if (home / name).exists():
      manifest.write_bytes(folder / name, (home / name).read_bytes())
    else:
      (folder / name).unlink(missing_ok=True)  # another model's
  if not (home / 'generation_config.json').exists():
    ends = {'eos_token_id': list(tokenizer.stop_ids), 'pad_token_id': tokenizer.pad_id}
    manifest.write_bytes(folder / 'generation_config.json', manifest.readable(ends))


def write_adapters(folder: pathlib.Path, params: decoder.Params, shape: DecoderConfig, home: pathlib.Path) -> None:
  """Writes the adapters among `params` as PEFT has them. Raises CheckpointError when they cannot be written."""
  try:
    with places.staged(folder, peft.CONFIG) as local:
      peft.save(local, params, shape, str(home))
  except OSError as e:
    raise CheckpointError(f'{folder} cannot be written: {e}') from e


def write_stage(workdir: pathlib.Path, stage: str, folder: pathlib.Path, dtype: str, shard_bytes: int) -> str:
  """Writes the policy that a finished stage of a run left; an empty `stage` is the last one. Returns the stage's name.

  Raises:
    InftoolError: the folder is no run's, the stage is not finished, or its policy is damaged.
  """
  settings = _settings(workdir)
  stage, params, shape = _policy(workdir, settings, stage)
  home = contexts.model_folder(settings)
  write(folder, params, shape, ChatTokenizer.load(home), home, dtype, shard_bytes)
  return stage


def write_adapter(workdir: pathlib.Path, stage: str, folder: pathlib.Path) -> str:
  """Writes the adapters that a finished stage of a run left, as PEFT has them; otherwise like `write_stage`."""
  settings = _settings(workdir)
  if not settings.lora.rank:
    raise ConfigError(f'{workdir} is a run without adapters (--config.lora.rank=0): all of its policy is trained')
  stage, params, shape = _policy(workdir, settings, stage)
  write_adapters(folder, params, shape, contexts.model_folder(settings))
  return stage


def write_merged(home: pathlib.Path, adapter: pathlib.Path, folder: pathlib.Path, dtype: str, shard_bytes: int) -> None:
  """Writes the model in `home` with the adapters in the folder `adapter`, as PEFT writes them, as one model.

  Raises:
    InftoolError: one of the two cannot be read, or they do not fit together.
  """
  shape = decoder_config.from_huggingface(home, lora=peft.read_config(adapter))
  adapters = peft.load(adapter, shape)
  params = lora.join(huggingface.load(home, shape), adapters)
  write(folder, params, shape, ChatTokenizer.load(home), home, dtype, shard_bytes)


def _settings(workdir: pathlib.Path) -> Settings:
  path = workdir / 'config.json'
  try:
    return run_settings.parse(json.loads(path.read_text()))
  except (OSError, ValueError, AttributeError) as e:
    raise ConfigError(f'{workdir} is not the folder of a run: {path} cannot be read ({e})') from e


def _policy(workdir: pathlib.Path, settings: Settings, stage: str) -> tuple[str, decoder.Params, DecoderConfig]:
  names = ['sft', *(f'round_{number}' for number in range(1, settings.rounds.count + 1))]
  finished = [name for name in names if (workdir / name / policy.FINAL).exists() and manifest.find(workdir / name)]
  stage = stage or (finished[-1] if finished else 'sft')
  if stage not in finished:
    raise ConfigError(f'{workdir} has no finished stage {stage!r} with a policy; finished: {", ".join(finished) or "none"}')
  shape = contexts.decoder_shape(settings)
  # Of a policy that was trained whole the shapes are enough.
  like = contexts.base_params(settings, shape, None) if shape.lora else decoder.abstract(shape)
  return stage, policy.load(workdir / stage, like), shape
