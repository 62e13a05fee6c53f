"""One round of the loop: tasks where the gaps are, rollouts of the current policy, GRPO updates. And its controls.

Arms (method.md, section 8), all from one SFT policy and with one budget of prompts, samples and updates:
  loop      tasks drawn by the gap report: expansions of failed and boundary tasks, and fresh ones
  fresh     new tasks every round, uniform over servers: freshness without aim
  static    the first round's tasks again in every round
  rft       SFT on the successful rollouts of the current policy, on `fresh` tasks
  sft_more  the same updates spent on gold trajectories of `fresh` tasks; nothing is sampled
"""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence

import numpy as np

from inftool_jax import seeds
from inftool_jax.data import manifest, store
from inftool_jax.data.prefix import pack_groups
from inftool_jax.loop import playing, policy, sft, tasks
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import Progress, say
from inftool_jax.loop.synthesise import judge
from inftool_jax.models import decoder, lora
from inftool_jax.parallel import mesh as meshes
from inftool_jax.play.conversation import NOT_THE_POLICY
from inftool_jax.report.scalars import Scalars
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.training import batching, objectives, optimizer, step
from inftool_jax.types import Task, Trajectory

ROWS = 1  # of a micro-batch, for each part of the mesh that has rows of its own: a row holds a whole group, so one is enough work
ROLLOUTS = 'rollouts'


def run(
  context: Context, stage: str, number: int, params: decoder.Params, sampler: BatchedSampler, inputs: dict[str, str]
) -> tuple[decoder.Params, manifest.StageManifest]:
  """Round `number` (from 1) on the configured arm; resumes an interrupted one from its newest checkpoint."""
  folder = context.folder(stage)
  done = manifest.done(folder, inputs)
  if done:
    return policy.load(folder, params), done
  manifest.begin(folder, keep=(policy.CHECKPOINTS, ROLLOUTS))
  started = time.monotonic()
  planned = tasks.of_round(context, number)
  trainer = {'sft_more': _train_on_gold, 'rft': _train_rft}.get(context.settings.rounds.arm, _train_grpo)
  params, counts = trainer(context, stage, number, params, sampler, planned)
  files = [
    *store.write(folder, planned, 'tasks').files(folder),
    *(f for f in sorted((folder / ROLLOUTS).glob('*')) if f.is_file() and not f.name.startswith('.')),
  ]
  return params, policy.commit(context, stage, params, policy.version(context, number), counts, inputs, started, files)


def _train_grpo(context: Context, stage: str, number: int, params, sampler: BatchedSampler, planned: Sequence[Task]):
  settings = context.settings.rounds
  folder = context.folder(stage)
  transform = optimizer.make(settings.optimizer, settings.steps)
  program = step.make(context.decoder, transform, objectives.grpo(settings.clip_low, settings.clip_high), context.mesh)
  frozen, trained = lora.split(params)
  state, first, position = policy.resume(folder, step.init(trained, transform, step.places(context.decoder, transform, context.mesh)))
  counts = dict(position or {'conversations': 0, 'sampled tokens': 0, 'zero-variance groups': 0, 'dropped groups': 0})
  progress = Progress(stage, 'steps', settings.steps, time.monotonic(), first)
  window: list[Trajectory] = []
  board = context.folder('tensorboard') / stage
  with policy.saver(folder, settings) as saver, Scalars(board, first) as scalars:
    for n in range(first, settings.steps):
      sampler.update(lora.join(frozen, state.params), policy.version(context, number - 1, n))
      groups = rollout(context, number, n, sampler, planned)
      window += [t for group in groups for t in group]
      batch, facts = grpo_batch(context, groups)
      state, metrics = program(state, batch, frozen)
      values = {k: float(v) for k, v in metrics.items()} | facts
      saver.check(values)
      scalars.write(n + 1, values)
      for name, value in _counted(groups, facts).items():
        counts[name] += value
      progress.at(n + 1, f'reward {values["reward"]:.3f}', f'success {values["success"]:.3f}', f'entropy {values["entropy"]:.2f}')
      if (n + 1) % settings.checkpoint_every == 0 or n + 1 == settings.steps:
        store.write(folder / ROLLOUTS, window, f'rollouts_{n + 1:05d}')
        window = []
        saver.save(n + 1, state, sampler.version, counts, values)
  if first < settings.steps:
    say(f'  {stage}: reward {values["reward"]:.3f}, success {values["success"]:.3f} in the last step')
  return lora.join(frozen, state.params), {'steps': settings.steps, **counts}


def rollout(context: Context, number: int, n: int, sampler: BatchedSampler, planned: Sequence[Task]) -> list[list[Trajectory]]:
  """The groups of update `n`: the next tasks of the round, G samples each, from the sampler's weights."""
  settings = context.settings.rounds
  chosen = [planned[(n * settings.tasks + i) % len(planned)] for i in range(settings.tasks)]
  seed = seeds.derive(context.settings.seed, 'round', number, n)
  one = playing.policy(context, sampler, context.simulators['train'], seed, settings.temperature, settings.reward)
  played = playing.play_all('rollout', chosen, settings.group, one, context.settings.sampling.slots)
  return [played[i : i + settings.group] for i in range(0, len(played), settings.group)]


def grpo_batch(context: Context, groups: Sequence[Sequence[Trajectory]]) -> tuple[step.Batch, dict[str, float]]:
  """One update's batch. A group with a failure that is not the policy's is dropped whole, and counted; a group whose
  rewards are all equal teaches nothing and is left out of the computation, but not of the metrics."""
  settings = context.settings.rounds
  sound = [g for g in groups if not any(t.outcome in NOT_THE_POLICY for t in g)]
  rewards = np.array([[t.reward for t in g] for g in sound], np.float32).reshape(-1, settings.group)
  advantage = objectives.advantages(rewards, settings.scale_advantage)
  used = [i for i in range(len(sound)) if (rewards[i] != rewards[i, 0]).any()]
  packed = pack_groups([sound[i] for i in used], settings.row_length)
  capacity = settings.tasks * settings.group  # every sample in a row of its own: the most there can be
  rows = ROWS * meshes.rows(context.mesh)
  batch = batching.batch(packed, rows, -(-capacity // rows), advantage[used].reshape(-1))
  everything = [t for g in sound for t in g]
  facts = {
    'reward': float(rewards.mean()) if sound else 0.0,
    'success': float(np.mean([t.gates.get('success', 0.0) for t in everything])) if sound else 0.0,
    'zero-variance groups': float(len(sound) - len(used)),
    'dropped groups': float(len(groups) - len(sound)),
    'dropped sequences': float(len(packed.dropped)),
    'turn tokens': float(np.mean([sum(t.loss_mask) / max(1, t.turns) for t in everything])) if sound else 0.0,
    **{f'gate/{term}': float(np.mean([t.gates[term] for t in everything if t.gates])) for term in _terms(everything)},
    **{f'outcome/{name}': float(n) for name, n in sorted(collections.Counter(t.outcome for g in groups for t in g).items())},
  }
  return batch, facts


def _terms(trajectories: Sequence[Trajectory]) -> tuple[str, ...]:
  return tuple(next((t.gates for t in trajectories if t.gates), {}))


def _counted(groups: Sequence[Sequence[Trajectory]], facts: dict[str, float]) -> dict[str, int]:
  played = [t for g in groups for t in g]
  return {
    'conversations': len(played),
    'sampled tokens': sum(sum(t.loss_mask) for t in played),
    'zero-variance groups': int(facts['zero-variance groups']),
    'dropped groups': int(facts['dropped groups']),
  }


def _train_on_gold(context: Context, stage: str, number: int, params, sampler: BatchedSampler, planned: Sequence[Task]):
  """SFT on gold for as many updates as the other arms make, on tasks of the same number."""
  del sampler
  seed = seeds.derive(context.settings.seed, 'gold', number)
  played = playing.play_all(stage, planned, 1, playing.scripted(context, 'train', seed), 64)
  accepted, _ = judge(context, planned, played)
  return sft.train(context, stage, params, accepted, planned, tasks.sft_settings(context), policy.version(context, number))


def _train_rft(context: Context, stage: str, number: int, params, sampler: BatchedSampler, planned: Sequence[Task]):
  """Rollouts of the whole round from one policy, then SFT on the successful ones (rejection sampling)."""
  settings = context.settings.rounds
  sampler.update(params, policy.version(context, number - 1))
  played = [t for n in range(settings.steps) for g in rollout(context, number, n, sampler, planned) for t in g]
  store.write(context.folder(stage) / ROLLOUTS, played, 'rollouts_00000')
  good = [t for t in played if t.gates.get('success')]
  sampled = {'conversations': len(played), 'sampled tokens': sum(sum(t.loss_mask) for t in played)}
  if not good:
    say(f'  {stage}: no conversation succeeded, so there is nothing to train on and the policy stays as it is')
    return params, {'steps': 0, 'trajectories': 0, **sampled}
  params, counts = sft.train(context, stage, params, good, planned, tasks.sft_settings(context), policy.version(context, number))
  return params, counts | sampled
