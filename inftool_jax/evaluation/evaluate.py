"""One attempt at every task of the suite, and what came of it."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

from inftool_jax.evaluation import statistics
from inftool_jax.evaluation.statistics import Scored
from inftool_jax.evaluation.suite import server_of
from inftool_jax.play.many import Play, Progress, play_many
from inftool_jax.report import model
from inftool_jax.report.tables import MEAN
from inftool_jax.rewards.gates import TERMS
from inftool_jax.types import Task, Trajectory


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Scores and conversations in the order of the tasks; the rates are shares of conversations."""

  scored: tuple[Scored, ...]
  trajectories: tuple[Trajectory, ...]
  parse_failure_rate: float  # an assistant turn could not be read
  truncation_rate: float  # a limit of turns or tokens ended it
  outcomes: Mapping[str, int]


async def evaluate(
  tasks: Sequence[Task], play: Play, concurrency: int, progress: Progress = lambda done, total, outcomes: None
) -> Evaluation:
  """Plays every task once and scores it.

  Args:
    tasks: whole units; `rates` refuses half a pair.
    play: plays one conversation; for a policy it samples at temperature 0.
    concurrency: conversations at a time.
    progress: told after each.
  """
  return evaluation(tasks, await play_many(tasks, 1, play, concurrency, progress))


def evaluation(tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> Evaluation:
  """What `trajectories`, one per task and in their order, amount to."""
  by_id = {task.id: task for task in tasks}
  scores = tuple(scored(task, t, by_id.get(task.twin)) for task, t in zip(tasks, trajectories, strict=True))
  outcomes = collections.Counter(t.outcome for t in trajectories)
  unread = sum(any(m.error for m in t.messages) for t in trajectories)
  n = max(1, len(trajectories))
  return Evaluation(scores, tuple(trajectories), unread / n, outcomes['truncated'] / n, dict(sorted(outcomes.items())))


def scored(task: Task, trajectory: Trajectory, twin: Task | None = None) -> Scored:
  """One attempt as the statistics read it. `twin` tells the server of a task in which nothing fits."""
  success = trajectory.gates.get('success') == 1.0
  return Scored(
    task_id=task.id, twin=task.twin, kind=task.kind, server=server_of(task, twin), hand_written=task.scenario.hand_written,
    named_share=named_share(task), success=success, failed='' if success else failed_term(trajectory), attempt=trajectory.sample,
  )


def failed_term(trajectory: Trajectory) -> str:
  """The first term that is 0; the outcome where no verdict was given; '' on success."""
  if not trajectory.gates:
    return trajectory.outcome
  return next((term for term in TERMS if trajectory.gates[term] == 0.0), '')


def named_share(task: Task) -> float | None:
  """Share of the arguments voiced in the opening that stand beside their parameter's name; None if none is voiced there."""
  voiced = [p for gold in task.gold for p in gold.provenance.values() if p.source == 'utterance' and p.turn == 0]
  return sum(p.named for p in voiced) / len(voiced) if voiced else None


def rates(of: Evaluation) -> dict[str, model.Rate]:
  """Kind -> success with its interval, and under 'mean' the mean over kinds. Raises ValueError for half a pair."""
  return with_mean(statistics.success_by_kind(of.scored))


def apart(of: Evaluation) -> dict[str, dict[str, model.Rate]]:
  """Part of the tasks -> its `rates`: generated and hand-written utterances; arguments named, in part, or not at all."""
  parts = {**statistics.by_wording(of.scored), **statistics.by_naming(of.scored)}
  return {name: with_mean(by_kind) for name, by_kind in parts.items() if by_kind}


def with_mean(by_kind: Mapping[str, statistics.Rate]) -> dict[str, model.Rate]:
  """Rates as a report shows them, with the mean over kinds beside them; {} without kinds.

  The mean's interval puts those of the kinds together by squares and sums: each end is as far from the mean as the root
  of the kinds' squared distances between rate and that end, over the number of kinds. Like them it is honest near 0 and 1
  (where a bootstrap would show no spread at all), and like them it takes units for independent; comparisons between arms are
  for `statistics.paired_difference`, which does not.
  """
  if not by_kind:
    return {}
  kinds = {kind: model.Rate(r.share, r.n, r.low, r.high) for kind, r in by_kind.items()}
  mean = statistics.mean_over_kinds(by_kind)
  below = math.hypot(*(r.success - r.low for r in kinds.values())) / len(kinds)
  above = math.hypot(*(r.high - r.success for r in kinds.values())) / len(kinds)
  n = sum(r.n for r in kinds.values())
  return {**kinds, MEAN: model.Rate(mean, n, max(0.0, mean - below), min(1.0, mean + above))}
