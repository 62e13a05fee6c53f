"""One round of the loop: tasks where the gaps are, rollouts of the current policy, GRPO updates. And its controls.

Arms (method.md, section 8), all from one SFT policy and with one budget of prompts, samples and updates:
  loop      tasks drawn by the gap report: expansions of failed and boundary tasks, and fresh ones
  fresh     new tasks every round, uniform over servers: freshness without aim
  static    the first round's tasks again in every round
  rft       SFT on the successful rollouts of the current policy, on `fresh` tasks
  sft_more  the same updates spent on gold trajectories of `fresh` tasks; nothing is sampled
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.data import manifest, store
from inftool_jax.loop import grpo, guard, playing, policy, sampled, sft, tasks
from inftool_jax.loop.context import Context
from inftool_jax.loop.grpo import ROLLOUTS
from inftool_jax.loop.log import say
from inftool_jax.loop.synthesise import judge
from inftool_jax.models import decoder
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.types import Task


def run(
  context: Context, stage: str, number: int, params: decoder.Params, sampler: Replicas, inputs: dict[str, str]
) -> tuple[decoder.Params, manifest.StageManifest]:
  """Round `number` (from 1) on the configured arm; resumes an interrupted one from its newest checkpoint."""
  folder = context.folder(stage)
  done = manifest.done(folder, inputs)
  if done:
    return policy.load(folder, params), done
  manifest.begin(folder, keep=(policy.CHECKPOINTS, guard.FOLDER, ROLLOUTS))
  started = time.monotonic()
  planned = tasks.of_round(context, number)
  trainer = {'sft_more': _train_on_gold, 'rft': _train_rft}.get(context.settings.rounds.arm, grpo.train)
  with sampled.kept(folder, sampler):
    params, counts = trainer(context, stage, number, params, sampler, planned)
  files = [
    *store.write(folder, planned, 'tasks').files(folder),
    *(f for f in sorted((folder / ROLLOUTS).glob('*')) if f.is_file() and not f.name.startswith('.')),
  ]
  return params, policy.commit(context, stage, params, policy.version(context, number), counts, inputs, started, files)


def _train_on_gold(context: Context, stage: str, number: int, params, sampler: Replicas, planned: Sequence[Task]):
  """SFT on gold for as many updates as the other arms make, on tasks of the same number."""
  del sampler
  seed = seeds.derive(context.settings.seed, 'gold', number)
  played = playing.play_all(stage, planned, 1, playing.scripted(context, 'train', seed), 64)
  accepted, _ = judge(context, planned, played)
  return sft.train(context, stage, params, accepted, planned, tasks.sft_settings(context), policy.version(context, number))


def _train_rft(context: Context, stage: str, number: int, params, sampler: Replicas, planned: Sequence[Task]):
  """Rollouts of the whole round from one policy, then SFT on the successful ones (rejection sampling)."""
  settings = context.settings.rounds
  sampler.update(params, policy.version(context, number - 1))
  played = [t for n in range(settings.steps) for g in grpo.rollout(context, number, n, sampler, planned) for t in g]
  store.write(context.folder(stage) / ROLLOUTS, played, 'rollouts_00000')
  good = [t for t in played if t.gates.get('success')]
  sampled = {'conversations': len(played), 'sampled tokens': sum(sum(t.loss_mask) for t in played)}
  if not good:
    say(f'  {stage}: no conversation succeeded, so there is nothing to train on and the policy stays as it is')
    return params, {'steps': 0, 'trajectories': 0, **sampled}
  params, counts = sft.train(context, stage, params, good, planned, tasks.sft_settings(context), policy.version(context, number))
  return params, counts | sampled
