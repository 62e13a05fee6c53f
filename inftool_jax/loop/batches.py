"""Groups of rollouts as one update's batch: what is sound, what it is worth, how much each token counts."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inftool_jax.data.packing import Packed
from inftool_jax.data.prefix import pack_groups
from inftool_jax.loop.context import Context
from inftool_jax.parallel import mesh as meshes
from inftool_jax.play.conversation import NOT_THE_POLICY
from inftool_jax.rewards.overlong import penalty
from inftool_jax.settings import Rounds
from inftool_jax.training import batching, credit, objectives, step
from inftool_jax.types import Trajectory

Group = Sequence[Trajectory]
Score = Callable[[step.Batch], np.ndarray]  # log-probabilities of the trained tokens, [M, R, T]
Earned = Callable[[Trajectory], Sequence[float]]  # what of the reward there was before each turn


@dataclasses.dataclass(frozen=True)
class Scores:
  """Policies whose log-probabilities an objective asks for."""

  reference: Score | None = None
  policy: Score | None = None  # where the divergence is paid for in the reward


def sizes(settings: Rounds, parts: int) -> tuple[int, int]:
  """(micro-batches, rows of one) of an update on a mesh with so many parts that have rows of their own."""
  rows = settings.rows * parts
  # Where a divergence is paid for, groups of equal rewards stay in beside those that follow them.
  groups = settings.tasks * (1 if settings.objective.kl == 'none' else 1 + settings.refills)
  capacity = groups * settings.group + demonstrations(settings)  # every sequence in a row of its own: the most there can be
  return -(-capacity // rows), rows


def demonstrations(settings: Rounds) -> int:
  """How many are replayed in one update."""
  return round(settings.replay * settings.tasks * settings.group)


def sound(groups: Sequence[Group], row_length: int) -> list[Group]:
  """The groups that can be trained on. One with a failure that is not the policy's, or with a sample that fits no row, is dropped
  whole: without that sample its baseline would be another, one that favors the short."""
  return [g for g in groups if not any(t.outcome in NOT_THE_POLICY or len(t.tokens) > row_length for t in g)]


def shaped(group: Group, settings: Rounds) -> np.ndarray:
  """The rewards that advantages are made of, float32 [G]: the gates', and what a long sample pays."""
  return np.array([t.reward + penalty(sum(t.loss_mask), settings.overlong_limit, settings.overlong_buffer) for t in group], np.float32)


def informative(group: Group, settings: Rounds) -> bool:
  """Whether the samples differ in reward, so that there is something to learn from them."""
  rewards = shaped(group, settings)
  return bool((rewards != rewards[0]).any())


def make(
  context: Context, groups: Sequence[Group], demos: Sequence[Trajectory] = (), scores: Scores = Scores(), earned: Earned | None = None
) -> tuple[step.Batch, dict[str, float]]:
  """One update's batch and what is to be told of it.

  A group whose rewards are all equal teaches nothing and is left out of the computation, but not of the metrics; only where a
  divergence from the reference is paid for it stays in. `demos` are trained on by likelihood. With `earned` each turn has an advantage
  of its own.
  """
  settings, objective = context.settings.rounds, context.settings.rounds.objective
  whole = sound(groups, settings.row_length)
  used = [g for g in whole if objective.kl != 'none' or informative(g, settings)]
  packed = pack_groups([*used, *([d] for d in demos)], settings.row_length)
  samples = len(used) * settings.group
  replayed = np.arange(samples + len(demos)) >= samples
  lengths = np.bincount(packed.sequence_BxT[packed.loss_mask_BxT], minlength=len(replayed))
  micro_batches, rows = sizes(settings, meshes.rows(context.mesh))

  def batch(advantage: Sequence[Any] | np.ndarray, weight: np.ndarray | None = None) -> step.Batch:
    return batching.batch(packed, rows, micro_batches, [*advantage, *[0.0] * len(demos)], weight, replayed)

  rewards = np.array([shaped(g, settings) for g in used], np.float32).reshape(-1, settings.group)
  facts: dict[str, float] = {}
  reference = np.zeros((), np.float32)
  if scores.reference is not None:
    scored = batch(np.zeros(samples))
    reference = scores.reference(scored)
    if scores.policy is not None:
      apart = _of_sequences(packed, np.asarray(scores.policy(scored)) - np.asarray(reference), scored.mask)[:samples]
      rewards -= objective.kl_coefficient * apart.reshape(rewards.shape)
      facts['kl'] = float(apart.sum() / max(1, lengths[:samples].sum()))
  advantage = objectives.advantages(rewards, objective.scale_advantage).reshape(-1)
  weight = _weights(context, lengths, replayed, len(whole) * settings.group)
  made = batch(advantage if earned is None else _of_turns(used, rewards, earned, objective.scale_advantage), weight)
  if scores.reference is not None:
    made = made._replace(reference=reference)
  facts['advantage spread'] = float(advantage.std()) if samples else 0.0
  return made, facts | _told(context, groups, whole)


def _of_turns(groups: Sequence[Group], rewards: np.ndarray, earned: Earned, scale: bool) -> list[np.ndarray]:
  """Of each sample the advantages at its tokens."""
  each = [credit.of_turns(r, [earned(t) for t in g], scale) for g, r in zip(groups, rewards)]
  return [credit.spread(turns, t.loss_mask) for g, of_group in zip(groups, each) for t, turns in zip(g, of_group)]


def _of_sequences(packed: Packed, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Sums of [M, R, T] over the trained tokens of each packed sequence, float64 [S]."""
  rows = np.where(mask, values, 0.0).reshape(-1, packed.row_length)[: packed.rows]
  here = packed.sequence_BxT >= 0
  return np.bincount(packed.sequence_BxT[here], weights=rows[here])


def _weights(context: Context, lengths: np.ndarray, replayed: np.ndarray, samples: int) -> np.ndarray:
  """Of the tokens of each sequence: the objective's shares, and beside them the replay's share of the loss, a mean over its tokens."""
  settings = context.settings
  budget = settings.sampling.max_turns * settings.sampling.max_new_tokens
  sampled = np.where(replayed, 0, lengths)
  weight = objectives.shares(settings.rounds.objective, sampled, samples, budget)
  if not replayed.any():
    return weight
  share = settings.rounds.replay
  return np.where(replayed, share * max(1, sampled.sum()) / max(1, lengths[replayed].sum()), (1 - share) * weight)


def _told(context: Context, groups: Sequence[Group], whole: Sequence[Group]) -> dict[str, float]:
  settings = context.settings.rounds
  everything = [t for g in whole for t in g]
  played = [t for g in groups for t in g]
  mean = lambda values: float(np.mean(values)) if everything else 0.0
  facts = {
    'reward': mean(np.array([[t.reward for t in g] for g in whole], np.float32)),
    'success': mean([t.gates.get('success', 0.0) for t in everything]),
    'zero-variance groups': float(sum(not informative(g, settings) for g in whole)),
    'dropped groups': float(len(groups) - len(whole)),
    'dropped sequences': float(sum(len(t.tokens) > settings.row_length for t in played)),
    'turn tokens': mean([sum(t.loss_mask) / max(1, t.turns) for t in everything]),
    **{f'gate/{term}': float(np.mean([t.gates[term] for t in everything if t.gates])) for term in _terms(everything)},
    **{f'outcome/{name}': float(n) for name, n in sorted(collections.Counter(t.outcome for t in played).items())},
  }
  if settings.overlong_limit:
    facts['reward, shaped'] = mean([shaped(g, settings) for g in whole])
  return facts


def _terms(trajectories: Sequence[Trajectory]) -> tuple[str, ...]:
  return tuple(next((t.gates for t in trajectories if t.gates), {}))
