"""Configs: the shipped presets are right, and everything wrong with one is said at once, by full name."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import ml_collections
import pytest

from inftool_jax import settings
from inftool_jax.errors import ConfigError
from inftool_jax.training.optimizer import OptimizerConfig

FILE = Path(__file__).parent.parent / 'configs' / 'round.py'


def _load():
  spec = importlib.util.spec_from_file_location('round_config', FILE)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


ROUND = _load()


def _changed(**changes: Any) -> dict[str, Any]:
  """The default config as a plain mapping; keys name places as in `sft__rows`, `...` removes one."""
  config: dict[str, Any] = copy.deepcopy(ROUND.get_config().to_dict())
  for name, value in changes.items():
    *rooms, last = name.split('__')
    at = config
    for room in rooms:
      at = at[room]
    if value is ...:
      del at[last]
    else:
      at[last] = value
  return config


def _problems(**changes: Any) -> list[str]:
  """The lines of the message, without the `--config.` they start with."""
  with pytest.raises(ConfigError) as error:
    settings.parse(_changed(**changes))
  first, *lines = str(error.value).split('\n')
  assert first == 'the config has problems:' and all(line.startswith('  --config.') for line in lines)
  return [line.removeprefix('  --config.') for line in lines]


@pytest.mark.parametrize('preset', ROUND.PRESETS)
def test_the_shipped_presets_parse(preset: str, tmp_path: Path) -> None:
  config = ROUND.get_config(preset)
  config.model.path = config.model.path or str(tmp_path)
  parsed = settings.parse(config)
  assert parsed.preset == preset and parsed.stages == settings.STAGES
  assert isinstance(parsed.sft.optimizer, OptimizerConfig) and isinstance(parsed.synthesis.per_kind, dict)
  assert parsed == settings.parse(config.to_dict()) == settings.parse(ml_collections.FrozenConfigDict(config))


def test_a_preset_of_a_checkpoint_asks_for_it() -> None:
  with pytest.raises(ConfigError, match=r'--config\.model\.path: name a Hugging Face folder'):
    settings.parse(ROUND.get_config('qwen2_5_0_5b'))


@pytest.mark.parametrize('preset', ROUND.MESHES)
def test_a_preset_with_a_published_shape_needs_no_checkpoint(preset: str) -> None:
  parsed = settings.parse(ROUND.get_config(preset))
  assert (parsed.model.path, parsed.model.shape) == ('', preset)


@pytest.mark.parametrize('hardware', ROUND.HARDWARE)
def test_a_preset_on_named_hardware_differs_in_how_it_lies_there(hardware: str) -> None:
  plain, there = (settings.parse(ROUND.get_config(name)) for name in ('qwen2_5_32b', f'qwen2_5_32b@{hardware}'))
  lies = dict(mesh=there.mesh, sampling=there.sampling, sft=there.sft, model=dataclasses.replace(plain.model, remat=there.model.remat))
  assert there == dataclasses.replace(plain, **lies) and there.model.remat in ('projections', 'attention', 'full')
  chips = int(hardware.split('-')[1])
  assert there.sft.rows % (chips // there.mesh.tensor) == 0 and chips % there.sampling.tensor == 0


@pytest.mark.parametrize('preset', ['tiny@v5p-64', 'qwen2_5_32b@v2-8', 'qwen2_5_32b@'])
def test_hardware_is_for_presets_with_a_mesh_and_has_a_name(preset: str) -> None:
  with pytest.raises(ValueError, match=rf"preset '{preset}' is unknown; .* with @ and one of v5p-64, v5e-256"):
    ROUND.get_config(preset)


def test_presets_differ_and_an_unknown_one_is_refused() -> None:
  assert settings.parse(ROUND.get_config('smoke')) != dataclasses.replace(settings.parse(ROUND.get_config()), preset='smoke')
  with pytest.raises(ValueError, match="preset 'huge' is unknown; choose from tiny, smoke, qwen"):
    ROUND.get_config('huge')


def test_every_value_in_the_file_is_one_the_program_knows_and_the_other_way_round() -> None:
  def names(value: Any, prefix: str = '') -> set[str]:
    if dataclasses.is_dataclass(value):
      return {n for f in dataclasses.fields(value) for n in names(getattr(value, f.name), f'{prefix}{f.name}.')}
    return {prefix}

  def keys(value: Any, prefix: str = '') -> set[str]:
    if isinstance(value, dict) and prefix != 'synthesis.per_kind.':
      return {n for k, v in value.items() for n in keys(v, f'{prefix}{k}.')}
    return {prefix}

  assert keys(_changed()) == names(settings.parse(_changed()))


def test_an_integer_is_a_float_where_one_is_wanted() -> None:
  parsed = settings.parse(_changed(rounds__temperature=1, sft__optimizer__learning_rate=1))
  assert type(parsed.rounds.temperature) is float and type(parsed.sft.optimizer.learning_rate) is float


def test_lists_are_as_good_as_tuples() -> None:
  assert settings.parse(_changed(stages=['sft', 'evaluate'], synthesis__offered=[2, 3])).synthesis.offered == (2, 3)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'rouns': 3}, 'rouns: unknown key; known here: preset, seed'),
    ({'sft__optimizer__momentum': 0.9}, 'sft.optimizer.momentum: unknown key; known here: name, learning_rate'),
    ({'synthesis__per_kind': {'singel': 3}}, "synthesis.per_kind: 'singel' is unknown; choose from single"),
    ({'rounds__optimizer__b2': ...}, 'rounds.optimizer.b2: missing'),
    ({'probe': ...}, 'probe: missing'),
    ({'seed': 1.5}, 'seed: expected int, got 1.5'),
    ({'seed': True}, 'seed: expected int, got True'),
    ({'rounds__temperature': '1'}, "rounds.temperature: expected float, got '1'"),
    ({'rounds__objective__scale_advantage': 1}, 'rounds.objective.scale_advantage: expected bool, got 1'),
    ({'rounds__objective__name': 'ppo'}, "rounds.objective.name: 'ppo' is unknown; choose from grpo, dr_grpo, dapo, gspo, cispo"),
    ({'rounds__objective__name': 'dr_grpo'}, 'rounds.objective.scale_advantage: dr_grpo is GRPO without it; set it to False'),
    ({'rounds__objective__clip_low': 0.0}, 'rounds.objective.clip_low: must be above 0 and at most 1, is 0.0'),
    ({'rounds__objective__clip_high': -0.1}, 'rounds.objective.clip_high: must be positive, is -0.1'),
    ({'rounds__objective__kl': 'k3'}, "rounds.objective.kl: 'k3' is unknown; choose from none, reward, loss"),
    ({'rounds__objective__kl': 'loss'}, 'rounds.objective.kl_coefficient: must be positive with kl = reward or loss, and 0'),
    ({'rounds__objective__kl_coefficient': 0.1}, 'rounds.objective.kl_coefficient: must be positive with kl = reward or loss, and 0'),
    ({'rounds__objective__reference': 'base'}, 'rounds.objective.reference: only adapters have a base beside them; set lora.rank'),
    ({'rounds__objective__correction': 'all'}, "rounds.objective.correction: 'all' is unknown; choose from none, token, sequence"),
    ({'rounds__objective__correction_cap': 0.5}, 'rounds.objective.correction_cap: must be at least 1, the weight of a token on policy'),
    ({'rounds__objective__sequence_band': -1.0}, 'rounds.objective.sequence_band: must be positive, or 0 for none, is -1.0'),
    ({'model__path': None}, 'model.path: expected str, got None'),
    ({'stages': 'sft'}, "stages: expected several values, got the text 'sft'; write ('sft',)"),
    ({'specs__paths': 'specs/'}, "specs.paths: expected several values, got the text 'specs/'; write ('specs/',)"),
    ({'specs__paths': 3}, 'specs.paths: expected several values, got 3'),
    ({'specs__paths': (1,)}, 'specs.paths: expected str, got 1'),
    ({'sft': 3}, 'sft: expected several settings, got 3'),
    ({'synthesis__per_kind': 5}, 'synthesis.per_kind: expected several settings, got 5'),
    ({'synthesis__per_kind': {'single': 'many'}}, "synthesis.per_kind.single: expected int, got 'many'"),
    ({'synthesis__per_kind': {'single': -1}}, 'synthesis.per_kind.single: must not be negative'),
    ({'rounds__arm': 'loops'}, "rounds.arm: 'loops' is unknown; choose from loop, fresh, static, sft_more, rft"),
    ({'rounds__reward': 'sum'}, "rounds.reward: 'sum' is unknown; choose from gated, binary, additive"),
    ({'stages': ('sft', 'train')}, "stages: 'train' is unknown; choose from synthesise, sft, rounds, evaluate"),
    ({'sft__optimizer__name': 'sgd'}, "sft.optimizer.name: 'sgd' is unknown; choose from adamw, muon, adafactor"),
    ({'rounds__optimizer__schedule': 'step'}, "rounds.optimizer.schedule: 'step' is unknown; choose from constant, cosine, linear"),
    ({'sft__optimizer__moment': 'int8'}, "sft.optimizer.moment: 'int8' is unknown; choose from float32, bfloat16"),
    ({'rounds__optimizer__name': 'adafactor', 'rounds__optimizer__moment': 'bfloat16'}, 'rounds.optimizer.moment: adafactor keeps no'),
    ({'rounds__updates_per_batch': 0}, 'rounds.updates_per_batch: must be at least 1, is 0'),
    ({'rounds__credit': 'token'}, "rounds.credit: 'token' is unknown; choose from trajectory, turn"),
    ({'rounds__credit': 'turn', 'rounds__reward': 'binary'}, 'rounds.credit: turns have gated rewards only; choose reward = gated'),
    ({'rounds__credit': 'turn', 'rounds__objective__name': 'gspo'}, 'rounds.credit: the one ratio of a sequence in gspo has one advantage'),
    ({'rounds__terms': ('polite',)}, "rounds.terms: 'polite' names no function; write package.module:function"),
    ({'rounds__refills': -1}, 'rounds.refills: must not be negative'),
    ({'rounds__replay': 1.0}, 'rounds.replay: must be a share from 0 to below 1, is 1.0'),
    ({'rounds__replay': 1e-4}, 'rounds.replay: 0.0001 of rounds.tasks * rounds.group sequences is not a single one'),
    ({'rounds__overlong_buffer': 5}, 'rounds.overlong_buffer: must be from 0 to rounds.overlong_limit, is 5 of 0'),
    ({'guard__multiple': 0.5}, 'guard.multiple: must be at least 1, or 0 for none, is 0.5'),
    ({'guard__in_a_row': 0}, 'guard.in_a_row: must be at least 1, is 0'),
    ({'sampling__slots': 0}, 'sampling.slots: must be at least 1, is 0'),
    ({'sft__checkpoint_keep': 0}, 'sft.checkpoint_keep: must be at least 1, is 0'),
    ({'rounds__checkpoint_best': 'success'}, "rounds.checkpoint_best: 'success' is neither empty nor 'highest METRIC' or 'lowest METRIC'"),
    ({'sft__steps': -1}, 'sft.steps: must not be negative'),
    ({'rounds__group': 1}, 'rounds.group: 1 samples of a prompt have no one to be compared with; use at least 2'),
    ({'rounds__temperature': 0.0}, 'rounds.temperature: 0.0 would make all samples of a group alike'),
    ({'rounds__temperature': float('nan')}, 'rounds.temperature: nan would make all samples of a group alike'),
    ({'synthesis__offered': (4, 2)}, 'synthesis.offered: expected (fewest, most) with 1 <= fewest <= most, got (4, 2)'),
    ({'synthesis__offered': (3,)}, 'synthesis.offered: expected (fewest, most)'),
    ({'model__path': '', 'model__tokenizer': ''}, 'model.path: name a Hugging Face folder; or, for random weights'),
    ({'model__compute': 'float16'}, "model.compute: 'float16' is unknown; choose from float32, bfloat16"),
    ({'model__remat': 'some'}, "model.remat: 'some' is unknown; choose from none, projections, attention, full"),
    ({'model__shape': 'gpt'}, "model.shape: 'gpt' is unknown; choose from qwen2_5_7b, qwen2_5_32b, qwen3_8b"),
    ({'model__path': 'no/such/model'}, 'model.path: no/such/model is neither a folder nor a name of the Hugging Face hub'),
    ({'mesh__tensor': 0}, 'mesh.tensor: must be at least 1, or -1 for what the others leave, is 0'),
    ({'mesh__data': -1, 'mesh__fsdp': -1}, 'mesh: only one of data, fsdp, tensor, sequence can be -1'),
    ({'mesh__model': 2}, 'mesh.model: unknown key; known here: data, fsdp, tensor, sequence'),
    ({'lora__rank': -1}, 'lora.rank: must be at least 1, or 0 for no adapters, is -1'),
    ({'lora__alpha': 0.0}, 'lora.alpha: must be positive, is 0.0'),
    ({'lora__rank': 4, 'lora__targets': ()}, 'lora.targets: adapters of nothing train nothing; choose from q, k, v, o, gate, up, down'),
    ({'lora__targets': ('q', 'w')}, "lora.targets: 'w' matches none of q, k, v, o, gate, up, down"),
    ({'lora__targets': ('q', '(')}, "lora.targets: '(' is no regular expression (missing )"),
    ({'lora__targets': 'q'}, "lora.targets: expected several values, got the text 'q'; write ('q',)"),
    ({'lora__int8': True}, 'lora.int8: only a base that is not trained can be in int8; set lora.rank'),
    ({'specs__paths': ('no/such/spec.yaml',)}, 'specs.paths: no/such/spec.yaml does not exist'),
    ({'specs__mcp': 'https://me:secret@host/mcp'}, "specs.mcp: expected several values; write ('COMMAND or URL',)"),
    ({'specs__mcp': ('npx server', 'https://me:secret@host/mcp')}, 'specs.mcp: number 2 has a user or password in its URL; send a header'),
    ({'specs__mcp': ('API_KEY=abc server',)}, 'specs.mcp: number 1 seems to hold a secret in the variable API_KEY; put it in'),
    ({'evaluation__path': 'no/such/file'}, 'evaluation.path: no/such/file is not a file'),
    ({'sft__checkpoint': 'no/such/run'}, 'sft.checkpoint: no/such/run is not a folder'),
    ({'stages': ('synthesise', 'rounds')}, "stages: 'synthesise' and 'rounds' without 'sft' would leave the synthesised data unused"),
  ],
)
def test_each_problem_names_its_key_and_what_would_do(changes: dict[str, Any], message: str) -> None:
  problems = _problems(**changes)
  assert len(problems) == 1 and problems[0].startswith(message) and 'secret@' not in problems[0]


def test_all_problems_are_told_at_once() -> None:
  problems = _problems(
    rouns=3, seed='x', stages='sft', sft__rows=..., sft__optimizer__name='sgd', rounds__group=1, probe=7, specs__paths=('no/such',),
    sft__steps=-1,
  )  # fmt: skip
  places = ['rouns', 'seed', 'stages', 'sft.rows', 'sft.optimizer.name', 'rounds.group', 'probe', 'specs.paths', 'sft.steps']
  assert sorted(p.split(':')[0] for p in problems) == sorted(places)
