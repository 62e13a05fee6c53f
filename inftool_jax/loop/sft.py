"""The cold start: supervised fine-tuning on verified scripted trajectories."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from inftool_jax import seeds
from inftool_jax.data import manifest, store
from inftool_jax.data.packing import Packed, pack
from inftool_jax.errors import ConfigError
from inftool_jax.loop import policy
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import Progress, say
from inftool_jax.models import decoder
from inftool_jax.report.scalars import Scalars
from inftool_jax.settings import Sft
from inftool_jax.synthesis import masking
from inftool_jax.training import batching, checkpoint, objectives, optimizer, step
from inftool_jax.types import Task, Trajectory

STAGE = 'sft'


def run(context: Context, params: decoder.Params, inputs: dict[str, str]) -> tuple[decoder.Params, manifest.StageManifest]:
  """Trains on the accepted trajectories, or takes the SFT policy of another run."""
  folder = context.folder(STAGE)
  done = manifest.done(folder, inputs)
  if done:
    return policy.load(folder, params), done
  manifest.begin(folder, keep=(policy.CHECKPOINTS,))
  started = time.monotonic()
  settings = context.settings.sft
  if settings.checkpoint:
    params = _borrowed(settings, params)
    return params, policy.commit(context, STAGE, params, {'steps': 0}, inputs, started)
  trajectories = list(store.read(context.folder('synthesise'), Trajectory, 'accepted'))
  tasks = list(store.read(context.folder('synthesise'), Task, 'tasks'))
  params, counts = train(context, STAGE, params, trajectories, tasks, settings, policy.version(context, 0))
  return params, policy.commit(context, STAGE, params, counts, inputs, started)


def train(
  context: Context,
  stage: str,
  params: decoder.Params,
  trajectories: Sequence[Trajectory],
  tasks: Sequence[Task],
  settings: Sft,
  policy_version: int,
) -> tuple[decoder.Params, dict[str, int]]:
  """`settings.steps` updates over shuffled epochs of `trajectories`; resumes from the stage's newest checkpoint."""
  folder = context.folder(stage)
  transform = optimizer.make(settings.optimizer, settings.steps)
  program = step.make(context.decoder, transform, objectives.sft)
  state, first, _ = policy.resume(folder, step.init(params, transform))
  fitting = [t for t in trajectories if len(t.tokens) <= settings.row_length]
  if len(fitting) < len(trajectories):
    say(f'  {stage}: {len(trajectories) - len(fitting)} trajectories are longer than --config.sft.row_length and are left out')
  if not fitting:
    raise ConfigError(f'{stage}: there is nothing to train on; raise --config.synthesis.per_kind or --config.sft.row_length')
  batches = _batches(context, stage, fitting, tasks, settings, first)
  progress = Progress(stage, 'steps', settings.steps, time.monotonic(), first)
  board = context.folder('tensorboard') / stage
  with checkpoint.Checkpointer(folder / policy.CHECKPOINTS, keep=1) as saver, Scalars(board, first) as scalars:
    for n, packed in zip(range(first, settings.steps), batches):
      batch = batching.batch(packed, settings.rows, settings.micro_batches)
      state, metrics = program(state, batch)
      if (n + 1) % 10 == 0 or n + 1 == settings.steps:
        values = {k: float(v) for k, v in metrics.items()}
        scalars.write(n + 1, values)
        progress.at(n + 1, f'loss {values["loss"]:.3f}', f'grad norm {values["grad_norm"]:.2f}')
      if (n + 1) % settings.checkpoint_every == 0:
        saver.save(n + 1, state, policy_version, None)
  if first < settings.steps:
    say(f'  {stage}: loss {float(metrics["loss"]):.3f} after {settings.steps} steps')
  return state.params, {'steps': settings.steps, 'trajectories': len(fitting)}


def _batches(
  context: Context, stage: str, trajectories: Sequence[Trajectory], tasks: Sequence[Task], settings: Sft, first: int
) -> Iterator[Packed]:
  """Endless epochs, each with an order and masked words of its own, from update number `first` on."""
  by_id = {task.id: task for task in tasks}
  vocabulary = masking.vocabulary(context.splits.train)
  rows = settings.rows * settings.micro_batches
  position = 0
  for epoch in range(10**9):
    order = seeds.rng(context.settings.seed, stage, 'epoch', epoch).sample(range(len(trajectories)), len(trajectories))
    chance = seeds.rng(context.settings.seed, stage, 'masked', epoch)
    shown = [
      _masked(context, t, by_id[t.task_id], vocabulary, seeds.derive(context.settings.seed, stage, 'mask', epoch))
      if chance.random() < settings.masked
      else t
      for t in (trajectories[i] for i in order)
    ]
    packed = pack(shown, settings.row_length)  # a masked one that has become too long is left out of this epoch
    # The last update of an epoch takes what is left, so that no trajectory is skipped more often than another.
    for start in range(0, packed.rows, rows):
      if position >= first:
        yield _rows(packed, start, start + rows)
      position += 1


def _masked(context: Context, trajectory: Trajectory, task: Task, vocabulary: Sequence[str], seed: int) -> Trajectory:
  """A scripted conversation with other words in the place of names, and its new tokens."""
  aligned = zip(trajectory.loss_mask, trajectory.tokens)
  runs = [(trained, [i for _, i in run]) for trained, run in itertools.groupby(aligned, lambda pair: pair[0])]
  texts = masking.mask([context.tokenizer.decode(ids) for _, ids in runs], task, vocabulary, seed)
  pieces = [(trained, context.tokenizer.encode_text(text)) for (trained, _), text in zip(runs, texts)]
  tokens = tuple(i for _, ids in pieces for i in ids)
  mask = tuple(trained for trained, ids in pieces for _ in ids)
  n = len(tokens)
  return dataclasses.replace(trajectory, tokens=tokens, loss_mask=mask, logprobs=(math.nan,) * n, policy_versions=(-1,) * n)


def _rows(packed: Packed, start: int, stop: int) -> Packed:
  arrays: dict[str, Any] = {name: value[start:stop] for name, value in vars(packed).items() if isinstance(value, np.ndarray)}
  return dataclasses.replace(packed, **arrays)


def _borrowed(settings: Sft, like: decoder.Params) -> decoder.Params:
  other = pathlib.Path(settings.checkpoint) / STAGE
  if manifest.find(other) is None:
    raise ConfigError(f'--config.sft.checkpoint={settings.checkpoint}: the run there has no finished stage {STAGE!r}')
  return policy.load(other, like)
