"""What every stage needs, made once from the settings."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

import jax
from jax.sharding import Mesh

from inftool_jax import seeds, specs, types
from inftool_jax.chat.grammar import Grammars
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.data import manifest, places
from inftool_jax.errors import ConfigError
from inftool_jax.loop import claiming, hub
from inftool_jax.models import config as decoder_config
from inftool_jax.models import decoder, huggingface, published
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import mesh as meshes
from inftool_jax.play.conversation import Limits
from inftool_jax.rewards import terms as reward_terms
from inftool_jax.rewards.terms import Term
from inftool_jax.sampling import memory, replicas
from inftool_jax.sampling.places import Places
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.servers.simulator import Simulator
from inftool_jax.settings import TINY, Settings
from inftool_jax.synthesis.wording import families
from inftool_jax.types import Tool

SHIPPED = pathlib.Path(decoder.__file__).parent / 'data' / TINY
LIVE = 'mcp.json'  # in the run folder: what live servers listed when the run began
CHARS_PER_TOKEN = 2.5  # of a tool's JSON under a small vocabulary, on the safe side


@dataclasses.dataclass(frozen=True)
class Context:
  """Immutable surroundings of a run; the policy's parameters travel beside it from stage to stage."""

  settings: Settings
  workdir: pathlib.Path
  ingest: specs.Ingest
  splits: specs.Splits
  tokenizer: ChatTokenizer
  decoder: DecoderConfig
  mesh: Mesh | None  # of the learner; None: one device
  simulators: Mapping[str, Simulator]  # split -> server of all its tools
  terms: Mapping[str, Term]  # of the reward, the user's own

  @property
  def limits(self) -> Limits:
    s = self.settings.sampling
    return Limits(max_turns=s.max_turns, max_tokens=s.context, max_new_tokens=s.max_new_tokens)

  @property
  def sampler(self) -> SamplerConfig:
    return sampler_config(self.settings)

  def folder(self, stage: str) -> pathlib.Path:
    return self.workdir / stage


def prepare(settings: Settings, workdir: str | pathlib.Path) -> Context:
  """Reads specifications, tokenizer and shape; claims `workdir` for this config.

  Raises:
    InftoolError: of any kind, before anything is computed or overwritten.
  """
  folder = places.place(workdir)
  home = model_folder(settings)
  shape = decoder_shape(settings)
  tokenizer = ChatTokenizer.load(home)
  if tokenizer.vocab_size > shape.vocab:
    raise ConfigError(f'{home}: the tokenizer has {tokenizer.vocab_size} tokens, the model only {shape.vocab} embeddings')
  if settings.sampling.context > shape.context:
    raise ConfigError(f'--config.sampling.context={settings.sampling.context}: {home} was made for {shape.context} tokens at most')
  dumps = _live(settings, folder)
  ingest = specs.load(settings.specs.paths or [specs.bundled_path()], dumps)
  splits = specs.split(_offerable(ingest.tools, settings), settings.seed, ingest.splits)
  for name in ('train', 'test'):
    if not getattr(splits, name):
      raise ConfigError('--config.specs.paths: too few servers to hold some out for the test; give at least two')
  simulators: dict[str, Simulator] = {name: Simulator(getattr(splits, name), name) for name in families.SPLITS if getattr(splits, name)}
  mesh = meshes.build(settings.mesh, jax.devices(), dimensions(settings, shape))
  terms = reward_terms.load(settings.rounds.terms)
  if settings.evaluation.grammar:
    Grammars(tokenizer, shape.vocab)  # there, or an error
  context = Context(settings, folder, ingest, splits, tokenizer, shape, mesh, simulators, terms)
  first = Places.over(replicas.divided(jax.local_devices(), settings.sampling.tensor)[0], shape, settings.sampling.int8)
  memory.pages(context.sampler, first)  # fits, or an error
  claiming.claim(folder, settings, home)
  if dumps:
    manifest.write_bytes(folder / LIVE, manifest.readable(dumps))
  return context


def sampler_config(settings: Settings) -> SamplerConfig:
  s = settings.sampling
  return SamplerConfig(s.slots, s.context, s.page, s.pages, s.prefill, s.decode_steps, s.int8)


def dimensions(settings: Settings, shape: DecoderConfig) -> Iterator[meshes.Dimension]:
  """What a run asks of a mesh. A round's micro-batches have as many rows as the mesh needs, those of SFT what the config says."""
  yield from decoder.dimensions(shape)
  yield meshes.activation(f'--config.sft.rows is {settings.sft.rows}', settings.sft.rows, 'batch')
  for name, length in (('sft', settings.sft.row_length), ('rounds', settings.rounds.row_length)):
    yield meshes.activation(f'--config.{name}.row_length is {length}', length, 'residual')


def _live(settings: Settings, workdir: pathlib.Path) -> dict[str, types.JSON]:
  """Name -> dump of the live servers; those that this run read first, however they have changed since: a resumed run is the same run."""
  try:
    kept = json.loads((workdir / LIVE).read_text())
  except FileNotFoundError:
    kept = {}
  except ValueError as e:
    raise ConfigError(f'{workdir / LIVE} is damaged ({e}); use a new --workdir') from e
  return {named: kept.get(named) or specs.fetch(named) for named in settings.specs.mcp}


def model_folder(settings: Settings) -> pathlib.Path:
  """Where tokenizer and shape come from. Raises ConfigError if the config names no folder."""
  name = settings.model.path or settings.model.tokenizer
  if not name:
    raise ConfigError('--config.model.path: name the Hugging Face folder of the checkpoint; model.shape alone has no weights')
  return SHIPPED if name == TINY else hub.folder(name)


def decoder_shape(settings: Settings) -> DecoderConfig:
  """The model folder's shape, or that of `model.shape` where the config names no folder, with the run's types and adapters.

  A base that is not trained needs no more bits than it is computed in.
  """
  adapters = settings.lora if settings.lora.rank else None
  stored = settings.model.compute if adapters else 'float32'
  options = {'compute_dtype': settings.model.compute, 'param_dtype': stored, 'remat': settings.model.remat, 'lora': adapters}
  if settings.model.path or settings.model.tokenizer:
    return decoder_config.from_huggingface(model_folder(settings), **options)
  return decoder_config.from_dict(published.PUBLISHED[settings.model.shape], **options)


def base_params(settings: Settings, shape: DecoderConfig, mesh: Mesh | None) -> decoder.Params:
  """The policy before any training: the checkpoint's weights, or random ones if no checkpoint is named, and fresh adapters."""
  seed = seeds.derive(settings.seed, 'weights') % 2**31
  if not settings.model.path:
    return decoder.init(shape, seed, mesh)
  return decoder.adapted(huggingface.load(model_folder(settings), shape, mesh), shape, seed, mesh)


def _offerable(tools: tuple[Tool, ...], settings: Settings) -> tuple[Tool, ...]:
  """The tools of the servers in use, compacted so that a task's worth of them takes at most half of the context."""
  servers = sorted({t.server for t in tools})
  if settings.specs.servers and len(servers) > settings.specs.servers:
    chosen = set(seeds.rng(settings.seed, 'servers').sample(servers, settings.specs.servers))
    tools = tuple(t for t in tools if t.server in chosen)
  limit = int(settings.sampling.context / 2 / settings.synthesis.offered[1] * CHARS_PER_TOKEN)
  return tuple(specs.compact(t, limit) for t in tools)
