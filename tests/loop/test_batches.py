"""One update's batch: which groups are in it, what they are worth, and how much each token counts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from inftool_jax.loop import batches
from inftool_jax.loop.batches import Scores
from inftool_jax.rewards.gates import TERMS
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.types import Trajectory

PROMPT = 5


def rollout(task: str, sample: int, reward: float, length: int, outcome: str = 'completed') -> Trajectory:
  """A prompt of the task's and `length` tokens of the policy's."""
  start = [hash_of(task) % 50 + i for i in range(PROMPT)]
  own = [(7 * sample + 3 * i) % 90 for i in range(length)]
  mask = (False,) * PROMPT + (True,) * length
  return Trajectory(
    task, sample, (), (*start, *own), mask, tuple(-1.0 if m else math.nan for m in mask), tuple(m - 1 for m in mask), 1,
    {} if outcome == 'timeout' else dict.fromkeys((*TERMS, 'success'), reward), reward, outcome,
  )  # type: ignore[arg-type]  # fmt: skip


def hash_of(task: str) -> int:
  return sum(map(ord, task))


def group(task: str, *samples: tuple[float, int]) -> list[Trajectory]:
  return [rollout(task, i, reward, length) for i, (reward, length) in enumerate(samples)]


MIXED = group('mixed', (1.0, 4), (0.0, 8), (0.0, 2), (1.0, 6))
EASY = group('easy', *[(1.0, 3)] * 4)
HARD = group('hard', (0.5, 10), (0.0, 10), (0.0, 20), (0.0, 1))
DEMOS = [rollout('demo', 0, 1.0, 12), rollout('demo', 1, 1.0, 3)]


def changed(context, objective: ObjectiveConfig | None = None, **rounds):
  settings = context.settings
  new = dataclasses.replace(settings.rounds, objective=objective or settings.rounds.objective, **rounds)
  return dataclasses.replace(context, settings=dataclasses.replace(settings, rounds=new))


def by_length(batch, name: str) -> dict[int, set[float]]:
  """Trained tokens of a segment -> the values of a per-token array at them."""
  out: dict[int, set[float]] = {}
  trained = batch.mask | batch.replay
  for m, row in zip(*np.nonzero(trained.any(axis=2))):
    for segment in np.unique(batch.segments[m, row][trained[m, row]]):
      here = trained[m, row] & (batch.segments[m, row] == segment)
      out.setdefault(int(here.sum()), set()).update(np.round(getattr(batch, name)[m, row][here].astype(np.float64), 5).tolist())
  return out


def test_equal_rewards_are_told_and_not_computed(context):
  batch, facts = batches.make(context, [MIXED, EASY, HARD])
  assert set(by_length(batch, 'advantage')) == {4, 8, 2, 6, 10, 20, 1} and batch.tokens_total == 20 + 41
  assert (facts['zero-variance groups'], facts['dropped groups'], facts['reward']) == (1, 0, np.float32(6.5 / 12))
  advantage = by_length(batch, 'advantage')
  assert advantage[4] == advantage[6] != advantage[8] == advantage[2]
  assert by_length(batch, 'weight') == {n: {1.0} for n in advantage}
  expected = [1.0, -1.0, -1.0, 1.0, 3**0.5, *[-(3**-0.5)] * 3]
  assert facts['advantage spread'] == pytest.approx(np.std(expected), rel=1e-3)


def test_a_group_with_a_failure_or_a_sample_longer_than_a_row_is_dropped_whole(context):
  failed = [*MIXED[:3], rollout('mixed', 3, 0.0, 5, 'timeout')]
  long = group('hard', (1.0, context.settings.rounds.row_length), (0.0, 3), (0.0, 3), (0.0, 3))
  batch, facts = batches.make(context, [failed, long, MIXED])
  assert batch.tokens_total == 20 and (facts['dropped groups'], facts['dropped sequences']) == (2, 1)


@pytest.mark.parametrize('name', ['grpo', 'gspo'])
def test_the_mean_over_samples_counts_those_that_were_left_out(context, name):
  batch, _ = batches.make(changed(context, ObjectiveConfig(name)), [MIXED, EASY])
  assert by_length(batch, 'weight') == {n: {round(20 / (8 * n), 5)} for n in (4, 8, 2, 6)}


def test_the_constant_of_dr_grpo_is_what_the_policy_may_write(context):
  batch, _ = batches.make(changed(context, ObjectiveConfig('dr_grpo', scale_advantage=False)), [MIXED, EASY])
  budget = context.settings.sampling.max_turns * context.settings.sampling.max_new_tokens
  assert by_length(batch, 'weight') == {n: {round(20 / (8 * budget), 5)} for n in (4, 8, 2, 6)}
  assert by_length(batch, 'advantage') == {4: {0.5}, 8: {-0.5}, 2: {-0.5}, 6: {0.5}}


def test_a_long_sample_pays_beside_the_gates_and_the_told_reward_is_theirs(context):
  shaped = changed(context, overlong_limit=8, overlong_buffer=4)
  batch, facts = batches.make(shaped, [group('mixed', (1.0, 4), (1.0, 6), (1.0, 8), (1.0, 9))])
  assert facts['reward'] == 1 and facts['reward, shaped'] == pytest.approx(1 - (0 + 0.5 + 1 + 1) / 4) and batch.tokens_total == 27
  assert list(batches.shaped(group('t', (1.0, 4), (1.0, 5)), shaped.settings.rounds)) == [1.0, 0.75]


def test_demonstrations_have_their_share_of_the_loss_whatever_their_number_of_tokens(context):
  batch, facts = batches.make(changed(context, replay=0.2), [MIXED], DEMOS)
  weight = by_length(batch, 'weight')
  assert batch.replay.sum() == 15 and batch.tokens_total == 20
  assert weight[12] == weight[3] == {round(0.2 * 20 / 15, 5)} and weight[4] == weight[8] == {0.8}
  total = {trained: batch.weight[getattr(batch, trained)].sum() / batch.tokens_total for trained in ('mask', 'replay')}
  assert total == pytest.approx({'mask': 0.8, 'replay': 0.2})
  assert facts['zero-variance groups'] == 0
  alone, _ = batches.make(changed(context, replay=0.2), [EASY], DEMOS)  # only demonstrations to train on
  assert alone.weight[alone.replay].sum() == pytest.approx(0.2) and alone.tokens_total == 0


def test_a_divergence_in_the_loss_keeps_groups_of_equal_rewards_and_brings_the_reference(context):
  asked = []

  def reference(batch):
    asked.append(batch.mask.sum())
    return np.where(batch.mask, -3.0, 0.0).astype(np.float32)

  batch, facts = batches.make(changed(context, ObjectiveConfig(kl='loss', kl_coefficient=0.1)), [MIXED, EASY], (), Scores(reference))
  assert asked == [32] == [batch.tokens_total] and (batch.reference[batch.mask] == -3).all()
  assert by_length(batch, 'advantage')[3] == {0.0} and facts['zero-variance groups'] == 1


def test_a_divergence_in_the_reward_is_summed_over_each_sample_before_the_advantage(context):
  at = lambda value: lambda batch: np.where(batch.mask, value, 0.0).astype(np.float32)
  objective = ObjectiveConfig(kl='reward', kl_coefficient=0.1, scale_advantage=False)
  batch, facts = batches.make(changed(context, objective, replay=0.2), [MIXED, EASY], DEMOS, Scores(at(-3.0), at(-1.0)))
  assert facts['kl'] == 2.0
  rewards = np.array([1.0, 0.0, 0.0, 1.0]) - 0.1 * 2 * np.array([4, 8, 2, 6])
  advantage = by_length(batch, 'advantage')
  assert [*advantage[4], *advantage[8], *advantage[2], *advantage[6]] == pytest.approx(list(rewards - rewards.mean()), abs=1e-4)
  assert advantage[12] == {0.0} and facts['reward'] == 0.75  # as the gates gave it


def test_with_credit_by_turn_each_run_of_tokens_has_an_advantage_of_its_own(context):
  def two_turns(t: Trajectory) -> Trajectory:
    """The tool's text in the place of the policy's second token."""
    mask = tuple(m and i != PROMPT + 1 for i, m in enumerate(t.loss_mask))
    return dataclasses.replace(t, loss_mask=mask)

  plain = changed(context, ObjectiveConfig(scale_advantage=False))
  samples = [two_turns(t) for t in group('mixed', (1.0, 4), (0.0, 8), (0.0, 5), (1.0, 6))]
  earned = {4: (0.0, 0.5), 8: (0.0, 0.5), 5: (0.0, 0.0), 6: (0.0, 0.0)}
  batch, _ = batches.make(plain, [samples], earned=lambda t: earned[len(t.tokens) - PROMPT])
  advantage = by_length(batch, 'advantage')  # first turn: reward - 0.5; second: reward - earned - 0.25
  assert advantage == {3: {0.5, 0.25}, 7: {-0.5, -0.75}, 4: {-0.5, -0.25}, 5: {0.5, 0.75}}


def test_nothing_to_learn_from_is_a_batch_too(context):
  batch, facts = batches.make(context, [EASY])
  assert batch.used == 0 == facts['advantage spread'] and facts['zero-variance groups'] == 1
  assert batches.make(context, [])[1]['reward'] == 0


def test_the_room_of_a_program_follows_from_the_config(context):
  settings = dataclasses.replace(context.settings.rounds, tasks=5, group=4, replay=0.1)
  assert batches.demonstrations(settings) == 2 and batches.sizes(settings, 1) == (22, 1) and batches.sizes(settings, 8) == (3, 8)


def test_groups_that_stay_in_for_their_divergence_have_room_beside_those_that_follow_them(context):
  settings = context.settings.rounds
  half = settings.row_length // 2 + 1  # no two samples share a row
  groups = [group(f'task {n}', *[(1.0, half)] * settings.group) for n in range(2 * settings.tasks)]
  reference = Scores(lambda batch: np.zeros_like(batch.weight))
  batch, _ = batches.make(changed(context, ObjectiveConfig(kl='loss', kl_coefficient=0.1), refills=1), groups, (), reference)
  assert batch.used == 2 * settings.tasks * settings.group
