"""The run: stages in order, each taken up where it stopped, the policy handed from one to the next."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax

from inftool_jax import specs
from inftool_jax.data import manifest
from inftool_jax.errors import ConfigError
from inftool_jax.evaluation.suite import Suite
from inftool_jax.loop import context as contexts
from inftool_jax.loop import evaluating, exporting, policy, rounds, sft, summary, synthesise
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import say
from inftool_jax.models import decoder, lora
from inftool_jax.parallel import mesh as meshes
from inftool_jax.report import tables
from inftool_jax.sampling import selftest
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.settings import parse
from inftool_jax.specs import splitting

FINAL_MODEL, FINAL_ADAPTER = 'model', 'adapter'  # the last policy as a Hugging Face folder; its adapters, if it has any, as PEFT's


def run(config: Mapping[str, Any], workdir: str | pathlib.Path) -> None:
  """Runs the configured stages in `workdir`; a stage that is done already is only verified.

  Raises:
    InftoolError: something the user can act on, told in one message.
  """
  settings = parse(config)
  started = time.monotonic()
  context = contexts.prepare(settings, workdir)
  _introduce(context)
  if summary.finished(context):
    say(f'This run is finished; its report is {context.workdir / "report.html"}. Use a new --workdir for another run.')
    return
  runner = _Runner(context)
  runner.run()
  say(f'\n{tables.duration(time.monotonic() - started)} in all; the report is {context.workdir / "report.html"}')


class _Runner:
  """The chain of stages. `self._inputs` names the content each stage is made from: the hash of the stage before it."""

  def __init__(self, context: Context):
    self._context = context
    self._wanted = context.settings.stages
    self._inputs: dict[str, str] = {}
    self._params: decoder.Params = contexts.base_params(context.settings, context.decoder, context.mesh)
    self._sampler: Replicas | None = None

  @property
  def sampler(self) -> Replicas:
    if self._sampler is None:
      self._sampler = Replicas(self._params, self._context.decoder, self._context.sampler, self._context.settings.sampling.tensor)
      self._sampler.warm_up(lambda text: say(f'  {text}'))
      if not selftest.reproducible(self._sampler.all[0]):
        say('note: on this backend what is sampled depends on what else is, in the last bits: two runs of one seed may differ')
    return self._sampler

  def run(self) -> None:
    context = self._context
    file = evaluating.frozen(context) if 'evaluate' in self._wanted else None
    summary.baselines(context, file)
    if 'synthesise' in self._wanted:
      self._ended(synthesise.STAGE, synthesise.run(context, self._inputs))
    elif self._finished(synthesise.STAGE):
      self._needs(synthesise.STAGE)
    if not context.settings.sft.checkpoint:
      self._evaluate('base', None, file)
    if 'sft' in self._wanted:
      if not context.settings.sft.checkpoint:
        self._needs(synthesise.STAGE)
      if self._sampler is not None:
        self._sampler.free()  # training may need its memory
      self._params, done = sft.run(context, self._params, self._inputs)
      self._ended(sft.STAGE, done)
    elif not self._taken(sft.STAGE) and 'rounds' in self._wanted:
      self._needs(sft.STAGE)
    if self._finished(sft.STAGE):
      if not context.settings.sft.checkpoint:  # else the run that trained it has its evaluation
        self._evaluate('sft', 0, file)
      for number in range(1, context.settings.rounds.count + 1):
        self._round(number, file)
    self._export()
    summary.write(context, file)
    summary.show_table(context)

  def _round(self, number: int, file: Suite | None) -> None:
    """Runs a round, or takes the policy of one that an earlier call has finished."""
    context = self._context
    stage = f'round_{number}'
    if 'rounds' in self._wanted:
      if context.settings.rounds.arm == 'loop':
        name = f'{stage}_probe'
        self._ended(name, evaluating.probe_policy(context, name, number, self._params, self.sampler, self._inputs))
      self._params, done = rounds.run(context, stage, number, self._params, self.sampler, self._inputs)
      self._ended(stage, done)
    elif not self._taken(stage):
      return
    if summary.evaluated(context, number):
      self._evaluate(stage, number, file)

  def _finished(self, stage: str) -> bool:
    return manifest.find(self._context.folder(stage)) is not None

  def _taken(self, stage: str) -> bool:
    """Goes on from a stage that is not asked for but was finished by an earlier call; False if there is none."""
    if not self._finished(stage):
      return False
    self._params = policy.load(self._context.folder(stage), self._params)
    self._needs(stage)
    return True

  def _evaluate(self, stage: str, rounds: int | None, file: Suite | None) -> None:
    if file is None:
      return
    name = f'evaluation_{stage}'
    version = policy.version(self._context, rounds)
    done = evaluating.evaluate_policy(self._context, name, self._params, version, file, self.sampler, self._inputs)
    summary.told(self._context, name, done)
    summary.write(self._context, file)

  def _ended(self, stage: str, done: manifest.StageManifest) -> None:
    self._inputs = {'previous stage': done.content_hash}
    summary.told(self._context, stage, done)

  def _needs(self, stage: str) -> None:
    """Reads the chain up to a stage that an earlier call of this run has finished."""
    done = manifest.find(self._context.folder(stage))
    if done is None:
      raise ConfigError(f"{self._context.workdir} has no finished stage '{stage}', which the later ones need; add it to --config.stages")
    self._inputs = {'previous stage': done.content_hash}

  def _export(self) -> None:
    """The last policy, as a folder that transformers and this program load."""
    context = self._context
    home = contexts.model_folder(context.settings)
    exporting.write(context.workdir / FINAL_MODEL, self._params, context.decoder, context.tokenizer, home)
    if context.decoder.lora:
      exporting.write_adapters(context.workdir / FINAL_ADAPTER, self._params, context.decoder, home)


def _introduce(context: Context) -> None:
  s = context.settings
  ingest, splits = context.ingest, context.splits
  sizes = ', '.join(f'{name} {len({t.server for t in part})} servers / {len(part)} tools' for name, part in _parts(splits))
  formats = ', '.join(sorted({c.format for c in ingest.read if c.format}))
  size = f'{context.decoder.parameters / 1e6:.1f} M parameters'
  if context.decoder.lora:
    adapters = sum(x.size for x in jax.tree.leaves(lora.split(decoder.abstract(context.decoder))[1]))
    size += f', frozen{" in int8" if context.decoder.lora.int8 else ""}, {adapters / 1e6:.1f} M in adapters'
  say(f'inftool_jax  preset {s.preset}  seed {s.seed}  policy {size}  run folder {context.workdir}')
  say(f'specifications: {len(ingest.tools)} tools from {len(ingest.read)} files ({formats}); {sizes}')
  if context.mesh is not None:
    say(meshes.describe(context.mesh, decoder.logical_axes(context.decoder), decoder.abstract(context.decoder)))
  if ingest.problems:
    say(f'  {len(ingest.problems)} places could not be read and were skipped; the first: {_problem(ingest.problems[0])}')


def _parts(splits: specs.Splits):
  return ((name, getattr(splits, name)) for name in splitting.SPLITS)


def _problem(problem) -> str:
  return f'{problem.file}{" " + problem.pointer if problem.pointer else ""}: {problem.reason}'
