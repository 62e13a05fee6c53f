"""GRPO inside a round: rollouts of the current policy, then one or several updates on them."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.data import manifest, places, store
from inftool_jax.errors import ConfigError
from inftool_jax.loop import batches, guard, playing, policy, synthesise
from inftool_jax.loop.batches import Group, Scores
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import Progress, say
from inftool_jax.models import decoder, lora
from inftool_jax.report.scalars import Scalars
from inftool_jax.rewards import turns
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.training import objectives, optimizer, step
from inftool_jax.types import Task, Trajectory

ROLLOUTS = 'rollouts'
COUNTED = ('conversations', 'sampled tokens', 'zero-variance groups', 'dropped groups')


def train(
  context: Context, stage: str, number: int, params: decoder.Params, sampler: Replicas, planned: Sequence[Task]
) -> tuple[decoder.Params, dict[str, int]]:
  """The updates of round `number`, from `params`; resumes from the stage's newest checkpoint.

  Raises TrainingError, after a checkpoint, when too many updates in a row fail.
  """
  settings = context.settings.rounds
  folder, every = context.folder(stage), settings.updates_per_batch
  transform = optimizer.make(settings.optimizer, settings.steps * every)
  program = _program(context, transform)
  frozen, trained = lora.split(params)
  state, first, position = policy.resume(folder, step.init(trained, transform, step.places(context.decoder, transform, context.mesh)))
  counts = position['counts'] if position else dict.fromkeys(COUNTED, 0)
  watch = guard.Watch(folder, context.settings.guard, position and position['guard'])
  demos = _demonstrations(context)
  score = _scorer(context)
  by_id = {task.id: task for task in planned}
  earned = (lambda t: turns.earned(by_id[t.task_id], t.messages)) if settings.credit == 'turn' else None
  progress = Progress(stage, 'steps', settings.steps, time.monotonic(), first)
  window: list[Trajectory] = []
  board = context.folder('tensorboard') / stage
  with policy.saver(folder, settings) as saver, Scalars(board, first * every) as scalars:
    for n in range(first, settings.steps):
      current = lora.join(frozen, state.params)
      sampler.update(current, policy.version(context, number - 1, n))
      before = dataclasses.replace(sampler.stats)
      groups = refilled(context, number, n, sampler, planned, rollout(context, number, n, sampler, planned))
      window += [t for group in groups for t in group]
      sampler.free()  # the update may need its memory
      did = {f'sampler/{name}': value for name, value in sampler.stats.metrics(before).items()}
      batch, facts = batches.make(context, groups, _replayed(context, number, n, demos), score(params, current), earned)
      for k in range(every):
        state, metrics, logp = program(state, batch, frozen)
        values = {name: float(v) for name, v in metrics.items()} | facts | did
        saver.check(values)
        scalars.write(n * every + k + 1, values)
        watch.saw(n * every + k + 1, batch, metrics)
        failing = watch.settle()
        if values['skipped']:
          break  # the same batch again would fail again
        batch = batch if k else step.again(batch, logp)
      for name, value in _counted(groups, facts).items():
        counts[name] += value
      progress.at(n + 1, f'reward {values["reward"]:.3f}', f'success {values["success"]:.3f}', f'entropy {values["entropy"]:.2f}')
      if (n + 1) % settings.checkpoint_every == 0 or n + 1 == settings.steps or failing:
        store.write(folder / ROLLOUTS, window, f'rollouts_{n + 1:05d}')
        window = []
        saver.save(n + 1, state, policy.version(context, number - 1, n + 1), {'counts': dict(counts), 'guard': watch.position()}, values)
      if failing:
        raise watch.error(stage, n + 1)
  if first < settings.steps:
    say(f'  {stage}: reward {values["reward"]:.3f}, success {values["success"]:.3f} in the last step')
  return lora.join(frozen, state.params), {'steps': settings.steps * every, **counts, **watch.counts()}


def _program(context: Context, transform):
  settings = context.settings.rounds
  objective = objectives.make(settings.objective)
  if batches.demonstrations(settings):
    objective = objectives.with_replay(objective)
  return step.make(context.decoder, transform, objective, context.mesh, guard.limit(context.settings.guard, settings.optimizer))


def _scorer(context: Context):
  """(policy at the round's start, policy now) -> the scores that the objective asks for."""
  objective = context.settings.rounds.objective
  if objective.kl == 'none':
    return lambda start, now: Scores()
  axes = decoder.logical_axes(context.decoder)
  whole = step.scorer(context.decoder, axes, context.mesh)
  reference = whole if objective.reference == 'round' else step.scorer(context.decoder, lora.base(axes), context.mesh)

  def scores(start: decoder.Params, now: decoder.Params) -> Scores:
    known = start if objective.reference == 'round' else lora.base(start)
    return Scores(functools.partial(reference, known), functools.partial(whole, now) if objective.kl == 'reward' else None)

  return scores


def rollout(context: Context, number: int, n: int, sampler: Replicas, planned: Sequence[Task]) -> list[Group]:
  """The groups of batch `n`: the next tasks of the round, G samples each, from the sampler's weights."""
  settings = context.settings.rounds
  chosen = [planned[(n * settings.tasks + i) % len(planned)] for i in range(settings.tasks)]
  return _played(context, sampler, chosen, seeds.derive(context.settings.seed, 'round', number, n))


def refilled(
  context: Context, number: int, n: int, sampler: Replicas, planned: Sequence[Task], groups: Sequence[Group]
) -> list[Group]:
  """`groups`, and after them others of the round's tasks in the place of those that teach nothing, `refills` times at most.

  DAPO's dynamic sampling (2503.14476). What was sampled in vain is in the counts and in the metrics.
  """
  settings, groups = context.settings.rounds, list(groups)
  for attempt in range(1, settings.refills + 1):
    useful = sum(batches.informative(g, settings) for g in batches.sound(groups, settings.row_length))
    met = {t.task_id for g in groups for t in g}
    others = [t for t in planned if t.id not in met]
    missing = min(settings.tasks - useful, len(others))
    if not missing:
      break
    seed = seeds.derive(context.settings.seed, 'refill', number, n, attempt)
    groups += _played(context, sampler, seeds.rng(seed, 'tasks').sample(others, missing), seed)
  return groups


def _played(context: Context, sampler: Replicas, chosen: Sequence[Task], seed: int) -> list[Group]:
  settings = context.settings.rounds
  one = playing.policy(context, sampler, context.simulators['train'], seed, settings.temperature, settings.reward, settings.voiced)
  played = playing.play_all('rollout', chosen, settings.group, one, sampler.slots)
  return [played[i : i + settings.group] for i in range(0, len(played), settings.group)]


def _demonstrations(context: Context) -> list[Trajectory]:
  """What SFT trained on, here or in the run whose policy was taken, and fits a row; [] where nothing is replayed."""
  settings, other = context.settings.rounds, context.settings.sft.checkpoint
  if not batches.demonstrations(settings):
    return []
  folder = places.place(other) / synthesise.STAGE if other else context.folder(synthesise.STAGE)
  if manifest.find(folder) is None:
    raise ConfigError(f'--config.rounds.replay: {folder.parent} has no finished stage {synthesise.STAGE!r} to replay from')
  found = [t for t in store.read(folder, Trajectory, 'accepted') if len(t.tokens) <= settings.row_length]
  if not found:
    raise ConfigError('--config.rounds.replay: no accepted trajectory is as short as --config.rounds.row_length')
  return found


def _replayed(context: Context, number: int, n: int, demos: Sequence[Trajectory]) -> list[Trajectory]:
  rng = seeds.rng(context.settings.seed, 'replay', number, n)
  return rng.choices(demos, k=batches.demonstrations(context.settings.rounds)) if demos else []


def _counted(groups: Sequence[Group], facts: dict[str, float]) -> dict[str, int]:
  played = [t for g in groups for t in g]
  return {
    'conversations': len(played),
    'sampled tokens': sum(sum(t.loss_mask) for t in played),
    'zero-variance groups': int(facts['zero-variance groups']),
    'dropped groups': int(facts['dropped groups']),
  }
