"""Cold-start data: tasks over the train tools, played by the scripted assistant, verified, all of it stored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.data import manifest, store
from inftool_jax.loop import playing
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import say
from inftool_jax.synthesis import diversity, verify
from inftool_jax.synthesis.companions import companions
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import Task, Trajectory

STAGE = 'synthesise'
# How often each kind that is wanted is tried over a block of tools: two steps need tools that feed one another and seldom find them.
COMPANIONS = {'single': 2, 'parallel': 3, 'multi_step': 3, 'missing_parameter': 3, 'irrelevance': 1}


def run(context: Context, inputs: dict[str, str]) -> manifest.StageManifest:
  """Writes the datasets `tasks`, `accepted` and `rejected` (with the failed term in `gates` and `note`)."""
  folder = context.folder(STAGE)
  done = manifest.done(folder, inputs)
  if done:
    return done
  started = time.monotonic()
  manifest.begin(folder)
  settings = context.settings
  seed = seeds.derive(settings.seed, STAGE)
  counts = {kind: n for kind, n in settings.synthesis.per_kind.items() if n}
  planned = plan(context.splits.train, counts, seed, split='train', offered=settings.synthesis.offered)
  weights = {kind: weight for kind, weight in COMPANIONS.items() if kind in counts}
  planned += companions(
    planned, context.splits.train, settings.synthesis.companions, seeds.derive(seed, 'companions'), weights, split='train'
  )
  tasks = tuple(t for t in planned if playing.fits(context, t))
  first = playing.play_all(STAGE, tasks[:1], 1, playing.scripted(context, 'train', seed), 1)
  if first:
    _show(context, tasks[0], first[0])
  rest = playing.play_all(STAGE, tasks[1:], 1, playing.scripted(context, 'train', seed), 64)
  accepted, rejected = judge(context, tasks, [*first, *rest])
  files = [
    *store.write(folder, tasks, 'tasks').files(folder),
    *store.write(folder, accepted, 'accepted').files(folder),
    *store.write(folder, rejected, 'rejected').files(folder),
    _diversity(folder, tasks),
  ]
  totals = {'planned': len(planned), 'too long': len(planned) - len(tasks), 'accepted': len(accepted), 'rejected': len(rejected)}
  return manifest.commit(folder, STAGE, files, totals, inputs, time.monotonic() - started)


def judge(context: Context, tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> tuple[list[Trajectory], list[Trajectory]]:
  """(accepted, rejected), in order; a rejected one names what failed in `note`."""
  accepted, rejected = [], []
  for task, trajectory in zip(tasks, trajectories):
    found = verify.verdict(task, trajectory, context.simulators['train'])
    if found.accepted:
      accepted.append(trajectory)
    else:
      rejected.append(dataclasses.replace(trajectory, note=f'{found.failed} {trajectory.note}'.strip()))
  return accepted, rejected


def _diversity(folder, tasks: Sequence[Task]):
  path = folder / 'diversity.json'
  manifest.write_bytes(path, manifest.readable(dict(diversity.report(tasks))))
  return path


def _show(context: Context, task: Task, trajectory: Trajectory) -> None:
  """The first verified trajectory, as the policy will read it."""
  text = context.tokenizer.render_text(trajectory.messages, task.tools)
  verified = 'verified' if trajectory.gates.get('success') else 'NOT verified'
  say(f'\nThe first trajectory ({verified}):\n')
  say('\n'.join('    ' + line for line in text.strip().splitlines()) + '\n')
