"""The typed form of a run's config, and everything that can be wrong with one.

`configs/*.py` hold the values; `parse` turns a ConfigDict into frozen dataclasses, reporting all problems at once.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from inftool_jax.errors import ConfigError, SpecError
from inftool_jax.models.config import REMAT
from inftool_jax.models.lora import PROJECTIONS, LoraConfig
from inftool_jax.models.published import PUBLISHED
from inftool_jax.parallel.mesh import REST, MeshShape
from inftool_jax.specs import sources
from inftool_jax.training import keeping, objectives
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import MOMENTS, SCHEDULES, TOKEN_RULES, OptimizerConfig
from inftool_jax.training.optimizer import NAMES as OPTIMIZERS
from inftool_jax.types import KINDS

STAGES = ('synthesise', 'sft', 'rounds', 'evaluate')
ARMS = ('loop', 'fresh', 'static', 'sft_more', 'rft')
ON_HUB = re.compile(r'[\w.-]+/[\w.-]+')  # what may be a model of the Hugging Face hub where no folder has that name
COMPUTE = ('float32', 'bfloat16')
REWARDS = ('gated', 'binary', 'additive')
CREDIT = ('trajectory', 'turn')
TINY = 'tiny'  # names the checkpoint that is shipped with the package

_MISSING = object()
_NOT_REPEATED = ('specs.mcp',)  # may hold a secret by mistake


@dataclasses.dataclass(frozen=True)
class Specs:
  paths: tuple[str, ...]  # files and folders of specifications, or python:package.module; empty: the bundled ones
  mcp: tuple[str, ...]  # live MCP servers, whose tools join those of `paths`: commands or URLs with ${NAME} for what is secret
  servers: int  # use at most this many servers of them all, drawn by seed; 0: all


@dataclasses.dataclass(frozen=True)
class Model:
  path: str  # Hugging Face folder, or 'tiny' for the shipped one; empty: random weights in the shape of `tokenizer`
  tokenizer: str  # folder of tokenizer and shape when `path` is empty
  shape: str  # a published decoder, for tools that need no weights when both are empty: `models.published`; or empty
  compute: str  # dtype of activations, cache and the base of adapters; what is trained, norms, softmax and logits are float32
  remat: str  # what an update computes again instead of keeping it: none, projections, attention, full


@dataclasses.dataclass(frozen=True)
class Sampling:
  slots: int  # requests that run at once
  context: int  # tokens of a conversation
  page: int  # tokens of a page of the cache
  pages: int  # of the cache; 0: what free memory takes
  prefill: int  # tokens of a prefill
  decode_steps: int  # steps of a dispatch
  tensor: int  # devices that a replica of the sampler is divided over; there are as many replicas as devices allow
  int8: bool  # the layers' matrices are sampled from in 8 bits
  max_new_tokens: int  # of one assistant turn
  max_turns: int  # assistant turns of one conversation


@dataclasses.dataclass(frozen=True)
class Synthesis:
  per_kind: Mapping[str, int]  # cold-start tasks of each kind (pairs for twins)
  companions: int  # more tasks over the tools that each of these offers
  offered: tuple[int, int]  # fewest and most tools offered in a task


@dataclasses.dataclass(frozen=True)
class Sft:
  checkpoint: str  # workdir of another run whose SFT policy is taken instead of training one; empty: train
  steps: int
  rows: int  # rows of a micro-batch
  micro_batches: int  # per update
  row_length: int
  masked: float  # share of conversations whose names are replaced by other words, anew in every epoch
  checkpoint_every: int  # updates
  checkpoint_keep: int  # newest checkpoints; when the newest is damaged, the one before is used
  checkpoint_best: str  # 'highest METRIC' or 'lowest METRIC' of an update: that one is kept as well; empty: none
  optimizer: OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Rounds:
  count: int
  steps: int  # batches of rollouts of one round
  updates_per_batch: int
  arm: str
  reward: str
  terms: tuple[str, ...]  # of the user's own beside the reward's: package.module:function
  tasks: int  # prompts of one batch
  group: int  # samples of one prompt
  temperature: float
  voiced: bool  # whether the policy words the free text of tool answers in rollouts
  objective: ObjectiveConfig
  credit: str  # an advantage for each trajectory, or for each turn of it
  refills: int  # times that groups of equal rewards are followed by others in a batch
  replay: float  # share of the loss, and of the sequences, that is demonstrations of the cold start
  overlong_limit: int  # tokens of the policy in a conversation, from which on it pays 1; 0: none
  overlong_buffer: int  # tokens before that, over which what it pays grows from 0
  rows: int  # of a micro-batch, for each part of the mesh that has rows of its own; a row holds a whole group, so one is enough work
  row_length: int
  checkpoint_every: int  # updates
  checkpoint_keep: int  # newest checkpoints; when the newest is damaged, the one before is used
  checkpoint_best: str  # 'highest METRIC' or 'lowest METRIC' of an update: that one is kept as well; empty: none
  optimizer: OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Guard:
  multiple: float  # of an optimizer's clip_norm: an update whose gradient norm is above it is skipped, as one that is not finite; 0: none
  in_a_row: int  # skipped updates that end the run


@dataclasses.dataclass(frozen=True)
class Probe:
  units: int  # tasks or pairs of twins, stratified over kind x server of all train tools
  attempts: int


@dataclasses.dataclass(frozen=True)
class Evaluation:
  n: int  # units of each kind (twins count once); 0: all of the file
  every: int  # rounds between two evaluations; the last round is evaluated in any case
  path: str  # frozen file; empty: the bundled one, or one made from the test servers of `specs.paths`
  report: int  # trajectories kept for the report of each stage
  grammar: bool  # whether calls are held to their form and schemas while they are sampled


@dataclasses.dataclass(frozen=True)
class Settings:
  preset: str
  seed: int
  stages: tuple[str, ...]
  specs: Specs
  model: Model
  lora: LoraConfig  # rank 0: all parameters are trained
  mesh: MeshShape  # of the learner; the sampler works on one device
  sampling: Sampling
  synthesis: Synthesis
  sft: Sft
  rounds: Rounds
  guard: Guard
  probe: Probe
  evaluation: Evaluation


def parse(config: Mapping[str, Any]) -> Settings:
  """Checks every value of `config` (a ConfigDict or nested mapping).

  Raises:
    ConfigError: lists every unknown key, missing key, wrong type and impossible value, each with its full name.
  """
  problems: list[str] = []
  settings = _build(Settings, config, '', problems)
  wrong = [p.split(':')[0] for p in problems]  # said already
  problems += [p for p in _check(settings) if not any(f'{p.split(":")[0]}.'.startswith(f'{name}.') for name in wrong)]
  if problems:
    raise ConfigError('the config has problems:\n' + '\n'.join(f'  --config.{p}' for p in problems))
  return settings


def _build(cls: type, data: Mapping[str, Any], prefix: str, problems: list[str]) -> Any:
  hints = typing.get_type_hints(cls)
  problems += [f'{prefix}{key}: unknown key; known here: {", ".join(hints)}' for key in data if key not in hints]
  return cls(**{name: _value(hint, data.get(name, _MISSING), f'{prefix}{name}', problems) for name, hint in hints.items()})


def _value(hint: Any, value: Any, name: str, problems: list[str]) -> Any:
  """`value` as a `hint`; or a line in `problems` and an empty value in its place, so that the rest can still be checked."""
  origin, args = typing.get_origin(hint), typing.get_args(hint)
  if value is _MISSING:
    problems.append(f'{name}: missing')
  elif dataclasses.is_dataclass(hint) or (origin is not None and origin is not tuple):
    if hasattr(value, 'keys'):  # a ConfigDict is no Mapping
      return {k: _value(args[1], value[k], f'{name}.{k}', problems) for k in value} if origin else _build(hint, value, f'{name}.', problems)
    problems.append(f'{name}: expected several settings, got {value!r}')
  elif origin is tuple:
    if isinstance(value, (tuple, list)):
      return tuple(_value(args[0], v, name, problems) for v in value)
    if name in _NOT_REPEATED:
      problems.append(f"{name}: expected several values; write ('COMMAND or URL',)")
      return ()
    got = f"the text {value!r}; write ('{value}',)" if isinstance(value, str) else repr(value)
    problems.append(f'{name}: expected several values, got {got}')
  elif hint is float and type(value) is int:
    return float(value)
  elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
    return value
  else:
    problems.append(f'{name}: expected {hint.__name__}, got {value!r}')
  if dataclasses.is_dataclass(hint):
    return _build(hint, {}, '', [])  # type: ignore[arg-type]
  return {} if origin not in (None, tuple) else (origin or hint)()


def _check(s: Settings) -> Iterator[str]:
  yield from _one_of('stages', s.stages, STAGES)
  yield from _one_of('rounds.arm', (s.rounds.arm,), ARMS)
  yield from _one_of('rounds.reward', (s.rounds.reward,), REWARDS)
  for term in s.rounds.terms:
    if not re.fullmatch(r'[\w.]+:\w+', term):
      yield f'rounds.terms: {term!r} names no function; write package.module:function'
  yield from _one_of('rounds.credit', (s.rounds.credit,), CREDIT)
  if s.rounds.credit == 'turn' and s.rounds.reward != 'gated':
    yield f'rounds.credit: turns have gated rewards only; choose reward = gated, or credit = trajectory with {s.rounds.reward}'
  if s.rounds.credit == 'turn' and s.rounds.objective.name == 'gspo':
    yield 'rounds.credit: the one ratio of a sequence in gspo has one advantage; choose credit = trajectory, or another objective'
  yield from _one_of('model.compute', (s.model.compute,), COMPUTE)
  yield from _one_of('model.remat', (s.model.remat,), REMAT)
  yield from _one_of('synthesis.per_kind', s.synthesis.per_kind, KINDS)
  for where, optimizer in (('sft', s.sft.optimizer), ('rounds', s.rounds.optimizer)):
    yield from _one_of(f'{where}.optimizer.name', (optimizer.name,), OPTIMIZERS)
    yield from _one_of(f'{where}.optimizer.token_rule', (optimizer.token_rule,), TOKEN_RULES)
    yield from _one_of(f'{where}.optimizer.schedule', (optimizer.schedule,), SCHEDULES)
    yield from _one_of(f'{where}.optimizer.moment', (optimizer.moment,), MOMENTS)
    if optimizer.name == 'adafactor' and optimizer.moment == 'bfloat16':
      yield f'{where}.optimizer.moment: adafactor keeps no first moment; choose adamw or muon, or leave it at float32'
  positive = {
    'sampling.slots': s.sampling.slots, 'sampling.context': s.sampling.context, 'sampling.page': s.sampling.page,
    'sampling.prefill': s.sampling.prefill, 'sampling.decode_steps': s.sampling.decode_steps, 'sampling.tensor': s.sampling.tensor,
    'sampling.max_new_tokens': s.sampling.max_new_tokens, 'sampling.max_turns': s.sampling.max_turns, 'sft.rows': s.sft.rows,
    'sft.micro_batches': s.sft.micro_batches, 'sft.row_length': s.sft.row_length, 'sft.checkpoint_every': s.sft.checkpoint_every,
    'rounds.tasks': s.rounds.tasks, 'rounds.rows': s.rounds.rows, 'rounds.row_length': s.rounds.row_length,
    'rounds.checkpoint_every': s.rounds.checkpoint_every, 'rounds.updates_per_batch': s.rounds.updates_per_batch,
    'guard.in_a_row': s.guard.in_a_row,
    'sft.checkpoint_keep': s.sft.checkpoint_keep, 'rounds.checkpoint_keep': s.rounds.checkpoint_keep,
    'probe.units': s.probe.units, 'probe.attempts': s.probe.attempts, 'evaluation.every': s.evaluation.every,
  }  # fmt: skip
  yield from (f'{name}: must be at least 1, is {value}' for name, value in positive.items() if value < 1)
  yield from (f'{name}: must not be negative' for name, value in (
    ('seed', s.seed), ('sft.steps', s.sft.steps), ('rounds.count', s.rounds.count), ('rounds.steps', s.rounds.steps),
    ('rounds.refills', s.rounds.refills),
    ('evaluation.n', s.evaluation.n), ('specs.servers', s.specs.servers), ('synthesis.companions', s.synthesis.companions),
    *((f'synthesis.per_kind.{kind}', n) for kind, n in s.synthesis.per_kind.items()),
  ) if value < 0)  # fmt: skip
  if not 0 <= s.rounds.replay < 1:
    yield f'rounds.replay: must be a share from 0 to below 1, is {s.rounds.replay}'
  elif s.rounds.replay and not round(s.rounds.replay * s.rounds.tasks * s.rounds.group):
    yield f'rounds.replay: {s.rounds.replay} of rounds.tasks * rounds.group sequences is not a single one'
  if s.rounds.overlong_limit < 0 or not 0 <= s.rounds.overlong_buffer <= s.rounds.overlong_limit:
    yield f'rounds.overlong_buffer: must be from 0 to rounds.overlong_limit, is {s.rounds.overlong_buffer} of {s.rounds.overlong_limit}'
  if s.guard.multiple != 0 and not s.guard.multiple >= 1:
    yield f'guard.multiple: must be at least 1, or 0 for none, is {s.guard.multiple}'
  yield from _objective(s)
  yield from (f"{where}.checkpoint_best: {best!r} is neither empty nor {keeping.FORM}" for where, best in (
    ('sft', s.sft.checkpoint_best), ('rounds', s.rounds.checkpoint_best),
  ) if best and not keeping.is_rule(best))  # fmt: skip
  yield from _lora(s.lora)
  mesh = dataclasses.asdict(s.mesh)
  for axis, n in mesh.items():
    if n < 1 and n != REST:
      yield f'mesh.{axis}: must be at least 1, or -1 for what the others leave, is {n}'
  if list(mesh.values()).count(REST) > 1:
    yield f'mesh: only one of {", ".join(mesh)} can be -1, what the others leave'
  if 0 < s.sampling.slots < 64 or 0 < s.sampling.prefill < 64:
    yield 'sampling: slots and prefill must be at least 64, or a sample would depend on its neighbors'
  if s.sampling.pages and s.sampling.page > 0 and s.sampling.pages * s.sampling.page < s.sampling.context + s.sampling.page:
    yield f'sampling.pages: {s.sampling.pages} of {s.sampling.page} tokens are less than one conversation and a page; use more, or 0'
  if s.rounds.group < 2:
    yield f'rounds.group: {s.rounds.group} samples of a prompt have no one to be compared with; use at least 2'
  if not 0 < s.rounds.temperature:
    yield f'rounds.temperature: {s.rounds.temperature} would make all samples of a group alike; use a positive one'
  if len(s.synthesis.offered) != 2 or not 1 <= s.synthesis.offered[0] <= s.synthesis.offered[1]:
    yield f'synthesis.offered: expected (fewest, most) with 1 <= fewest <= most, got {s.synthesis.offered}'
  if s.model.shape:
    yield from _one_of('model.shape', (s.model.shape,), PUBLISHED)
  elif not s.model.path and not s.model.tokenizer:
    yield 'model.path: name a Hugging Face folder; or, for random weights, one in model.tokenizer to take shape and tokenizer from'
  if 'rounds' in s.stages and 'sft' not in s.stages and not s.sft.checkpoint and 'synthesise' in s.stages:
    yield "stages: 'synthesise' and 'rounds' without 'sft' would leave the synthesised data unused"
  yield from _places(s)


def _places(s: Settings) -> Iterator[str]:
  """Files, folders and servers that are named."""
  for name, path in (('model.path', s.model.path), ('model.tokenizer', s.model.tokenizer)):
    if path not in ('', TINY) and not os.path.isdir(path) and not ON_HUB.fullmatch(path):
      yield f'{name}: {path} is neither a folder nor a name of the Hugging Face hub such as Qwen/Qwen2.5-7B-Instruct'
  for path in s.specs.paths:
    if not os.path.exists(path) and not path.startswith('python:'):
      yield f'specs.paths: {path} does not exist'
  for number, named in enumerate(s.specs.mcp, start=1):
    try:
      sources.parse(named)
    except SpecError as e:
      yield f'specs.mcp: number {number} {e}'
  if s.evaluation.path and not os.path.isfile(s.evaluation.path):
    yield f'evaluation.path: {s.evaluation.path} is not a file'
  if s.sft.checkpoint and '://' not in s.sft.checkpoint and not os.path.isdir(s.sft.checkpoint):
    yield f'sft.checkpoint: {s.sft.checkpoint} is not a folder'


def _objective(s: Settings) -> Iterator[str]:
  o, at = s.rounds.objective, 'rounds.objective'
  yield from _one_of(f'{at}.name', (o.name,), objectives.NAMES)
  yield from _one_of(f'{at}.kl', (o.kl,), objectives.KL)
  yield from _one_of(f'{at}.reference', (o.reference,), objectives.REFERENCES)
  yield from _one_of(f'{at}.correction', (o.correction,), objectives.CORRECTIONS)
  if not 0 < o.clip_low <= 1:
    yield f'{at}.clip_low: must be above 0 and at most 1, is {o.clip_low}'
  if not o.clip_high > 0:
    yield f'{at}.clip_high: must be positive, is {o.clip_high}'
  if o.name == 'dr_grpo' and o.scale_advantage:
    yield f'{at}.scale_advantage: dr_grpo is GRPO without it; set it to False, or choose grpo'
  if o.kl in objectives.KL and ((o.kl == 'none') != (o.kl_coefficient == 0) or not o.kl_coefficient >= 0):
    yield f'{at}.kl_coefficient: must be positive with kl = reward or loss, and 0 with none; is {o.kl_coefficient} with {o.kl}'
  if o.reference == 'base' and not s.lora.rank:
    yield f'{at}.reference: only adapters have a base beside them; set lora.rank, or choose round'
  if not o.correction_cap >= 1:
    yield f'{at}.correction_cap: must be at least 1, the weight of a token on policy, is {o.correction_cap}'
  if not o.sequence_band >= 0:
    yield f'{at}.sequence_band: must be positive, or 0 for none, is {o.sequence_band}'


def _lora(lora: LoraConfig) -> Iterator[str]:
  if lora.rank < 0:
    yield f'lora.rank: must be at least 1, or 0 for no adapters, is {lora.rank}'
  if not lora.alpha > 0:
    yield f'lora.alpha: must be positive, is {lora.alpha}'
  if not lora.rank and lora.int8:
    yield 'lora.int8: only a base that is not trained can be in int8; set lora.rank'
  if lora.rank and not lora.targets:
    yield f'lora.targets: adapters of nothing train nothing; choose from {", ".join(PROJECTIONS)}'
  for target in lora.targets:
    try:
      known = any(re.fullmatch(target, name) for name in PROJECTIONS)
    except re.error as e:
      yield f'lora.targets: {target!r} is no regular expression ({e})'
    else:
      if not known:
        yield f'lora.targets: {target!r} matches none of {", ".join(PROJECTIONS)}'


def _one_of(name: str, values, known) -> Iterator[str]:
  for value in values:
    if value not in known:
      yield f'{name}: {value!r} is unknown; choose from {", ".join(known)}'
