"""The cold start: supervised fine-tuning on verified scripted trajectories."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.data import manifest, places, store
from inftool_jax.data.packing import Packed, concatenate, empty, take
from inftool_jax.data.prefix import pack_groups
from inftool_jax.errors import ConfigError
from inftool_jax.loop import guard, policy
from inftool_jax.loop.ahead import ahead
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import Progress, say
from inftool_jax.models import decoder, lora
from inftool_jax.report.scalars import Scalars
from inftool_jax.settings import Sft
from inftool_jax.synthesis import masking
from inftool_jax.training import batching, objectives, optimizer, step
from inftool_jax.types import Task, Trajectory

STAGE = 'sft'
WINDOW = 96  # groups of conversations whose rows are shuffled
TOGETHER = 6  # conversations of a group: those over one set of tools. Each group's names are masked anew


def run(context: Context, params: decoder.Params, inputs: dict[str, str]) -> tuple[decoder.Params, manifest.StageManifest]:
  """Trains on the accepted trajectories, or takes the SFT policy of another run."""
  folder = context.folder(STAGE)
  done = manifest.done(folder, inputs)
  if done:
    return policy.load(folder, params), done
  manifest.begin(folder, keep=(policy.CHECKPOINTS, guard.FOLDER))
  started = time.monotonic()
  settings = context.settings.sft
  if settings.checkpoint:
    params = _borrowed(settings, params)
    return params, policy.commit(context, STAGE, params, policy.version(context, 0), {'steps': 0}, inputs, started)
  trajectories = list(store.read(context.folder('synthesise'), Trajectory, 'accepted'))
  tasks = list(store.read(context.folder('synthesise'), Task, 'tasks'))
  version = policy.version(context, 0)
  params, counts = train(context, STAGE, params, trajectories, tasks, settings, version)
  return params, policy.commit(context, STAGE, params, version, counts, inputs, started)


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
  limit = guard.limit(context.settings.guard, settings.optimizer)
  program = step.make(context.decoder, transform, objectives.sft, context.mesh, limit)
  frozen, trained = lora.split(params)
  state, first, saved = policy.resume(folder, step.init(trained, transform, step.places(context.decoder, transform, context.mesh)))
  fitting = [t for t in trajectories if len(t.tokens) <= settings.row_length]
  if len(fitting) < len(trajectories):
    say(f'  {stage}: {len(trajectories) - len(fitting)} trajectories are longer than --config.sft.row_length and are left out')
  if not fitting:
    raise ConfigError(f'{stage}: there is nothing to train on; raise --config.synthesis.per_kind or --config.sft.row_length')
  watch = guard.Watch(folder, context.settings.guard, saved and saved['guard'])
  start = Position(**saved['data']) if saved else Position()
  progress = Progress(stage, 'steps', settings.steps, time.monotonic(), first)
  board = context.folder('tensorboard') / stage
  with (
    policy.saver(folder, settings) as saver,
    Scalars(board, first) as scalars,
    contextlib.closing(ahead(_batches(context, stage, fitting, tasks, settings, start))) as batches,
  ):
    for n, (packed, position) in zip(range(first, settings.steps), batches):
      batch = batching.batch(packed, settings.rows, settings.micro_batches)
      state, metrics, _ = program(state, batch, frozen)
      saver.check(metrics)
      failing = watch.saw(n + 1, batch, metrics)
      if (n + 1) % 10 == 0 or n + 1 == settings.steps:
        values = {k: float(v) for k, v in metrics.items()}
        scalars.write(n + 1, values)
        progress.at(n + 1, f'loss {values["loss"]:.3f}', f'grad norm {values["grad_norm"]:.2f}')
      saving = failing or (n + 1) % settings.checkpoint_every == 0
      if saving or n + 1 == settings.steps:
        failing = watch.settle()
      if saving or failing:
        saver.save(n + 1, state, policy_version, {'data': dataclasses.asdict(position), 'guard': watch.position()}, metrics)
      if failing:
        raise watch.error(stage, n + 1)
  if first < settings.steps:
    say(f'  {stage}: loss {float(metrics["loss"]):.3f} after {settings.steps} steps')
  return lora.join(frozen, state.params), {'steps': settings.steps, 'trajectories': len(fitting), **watch.counts()}


@dataclasses.dataclass(frozen=True)
class Position:
  """The row that the next update begins with."""

  window: int = 0  # of all epochs
  row: int = 0  # in this window's shuffled order


def _batches(
  context: Context, stage: str, trajectories: Sequence[Trajectory], tasks: Sequence[Task], settings: Sft, first: Position
) -> Iterator[tuple[Packed, Position]]:
  """The rows of each update from `first` on, and where the next one begins: endless epochs, each with an order and masked words of its own.

  Conversations that offer the same tools stand behind one copy of them (`data.prefix`). Rows of `WINDOW` such groups are shuffled,
  so that an update does not see one group alone; what does not fill an update goes into the next.
  """
  rows = settings.rows * settings.micro_batches
  waiting = empty(0, settings.row_length)
  origins: list[Position] = []  # of the rows in `waiting`
  windows = _windows(context, stage, trajectories, {task.id: task for task in tasks}, settings, first.window)
  for number, (shown, seed) in enumerate(windows, first.window):
    packed = pack_groups(shown, settings.row_length)
    order = seeds.rng(seed, 'rows').sample(range(packed.rows), packed.rows)
    begin = first.row if number == first.window else 0
    waiting = concatenate(waiting, take(packed, order[begin:]))
    origins += [Position(number, row) for row in range(begin, packed.rows)]
    while waiting.rows >= rows:
      batch, waiting, origins = take(waiting, slice(rows)), take(waiting, slice(rows, None)), origins[rows:]
      yield batch, origins[0] if origins else Position(number + 1)


def _windows(
  context: Context, stage: str, trajectories: Sequence[Trajectory], by_id: Mapping[str, Task], settings: Sft, first: int
) -> Iterator[tuple[list[Sequence[Trajectory]], int]]:
  """Groups of conversations that offer the same tools, `WINDOW` at a time, some of them masked; and a seed of this window.

  From window `first` on, of all epochs; what comes before is drawn, but neither masked nor packed.
  """
  blocks = _by_tools(trajectories, by_id)
  vocabulary = masking.vocabulary(context.splits.train)
  numbers = itertools.count()
  for epoch in itertools.count():
    rng = seeds.rng(context.settings.seed, stage, 'epoch', epoch)
    shuffled = (rng.sample(block, len(block)) for block in blocks)
    groups = [block[i : i + TOGETHER] for block in shuffled for i in range(0, len(block), TOGETHER)]
    rng.shuffle(groups)
    chance = seeds.rng(context.settings.seed, stage, 'masked', epoch)
    seed = seeds.derive(context.settings.seed, stage, 'mask', epoch)
    for start in range(0, len(groups), WINDOW):
      chosen = groups[start : start + WINDOW]
      masked = [chance.random() < settings.masked for _ in chosen]
      if next(numbers) >= first:
        yield [_masked(context, g, by_id, vocabulary, seed, settings) if m else g for g, m in zip(chosen, masked)], seed + start


def _by_tools(trajectories: Sequence[Trajectory], by_id: Mapping[str, Task]) -> list[list[Trajectory]]:
  groups: dict[tuple[str, ...], list[Trajectory]] = {}
  for trajectory in trajectories:
    groups.setdefault(tuple(tool.name for tool in by_id[trajectory.task_id].tools), []).append(trajectory)
  return list(groups.values())


def _masked(
  context: Context, group: Sequence[Trajectory], by_id: Mapping[str, Task], vocabulary: Sequence[str], seed: int, settings: Sft
) -> Sequence[Trajectory]:
  """Scripted conversations with other words in the place of names, the same in all of them, and their new tokens.

  As they were, if the new words make one of them longer than a row.
  """
  runs = [
    (n, trained, [i for _, i in run])
    for n, trajectory in enumerate(group)
    for trained, run in itertools.groupby(zip(trajectory.loss_mask, trajectory.tokens), lambda pair: pair[0])
  ]
  texts = masking.mask([context.tokenizer.decode(ids) for *_, ids in runs], [by_id[t.task_id] for t in group], vocabulary, seed)
  tokens: list[list[int]] = [[] for _ in group]
  mask: list[list[bool]] = [[] for _ in group]
  for (n, trained, _), text in zip(runs, texts):
    ids = context.tokenizer.encode_text(text)
    tokens[n] += ids
    mask[n] += [trained] * len(ids)
  if max(map(len, tokens)) > settings.row_length:
    return group
  return [
    dataclasses.replace(
      t, tokens=tuple(i), loss_mask=tuple(m), logprobs=(math.nan,) * len(i), policy_versions=(-1,) * len(i)
    )
    for t, i, m in zip(group, tokens, mask)
  ]  # fmt: skip


def _borrowed(settings: Sft, like: decoder.Params) -> decoder.Params:
  other = places.place(settings.checkpoint) / STAGE
  if manifest.find(other) is None:
    raise ConfigError(f'--config.sft.checkpoint={settings.checkpoint}: the run there has no finished stage {STAGE!r}')
  return policy.load(other, like)
