from __future__ import annotations

import asyncio

import pytest

from inftool_jax import seeds
from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.errors import ConfigError
from inftool_jax.play.conversation import Limits, play
from inftool_jax.play.many import play_many
from tests.support.chats import OrderServer, all_tasks

LIMITS = Limits(max_turns=6, max_tokens=2048, max_new_tokens=400)


def player(tokenizer, shuffle: int = 0, broken=lambda task, sample: None, gauge=None):
  """Plays scripted conversations that end in an order chosen by `shuffle`."""
  async def one(task, sample):
    if gauge is not None:
      gauge['now'] += 1
      gauge['most'] = max(gauge['most'], gauge['now'])
    for _ in range(seeds.rng(shuffle, task.id, sample).randrange(9) if shuffle else 0):
      await asyncio.sleep(0)
    if (error := broken(task, sample)) is not None:
      raise error
    try:
      return await play(task, ScriptedAssistant(task), ScriptedUser(task), OrderServer(), tokenizer, LIMITS, sample, 5)
    finally:
      if gauge is not None:
        gauge['now'] -= 1
  return one


def test_results_do_not_depend_on_arrival_order_or_concurrency(tokenizer):
  tasks = all_tasks()
  runs = [
    asyncio.run(play_many(tasks, 3, player(tokenizer, shuffle), concurrency)) for shuffle, concurrency in ((0, 1), (1, 4), (2, 100))]
  assert [(t.task_id, t.sample) for t in runs[0]] == [(task.id, s) for task in tasks for s in range(3)]
  for other in runs[1:]:  # NaN differs from itself, its text does not
    assert repr(other) == repr(runs[0])


def test_one_failure_stops_no_other(tokenizer, caplog):
  def broken(task, sample):
    return RuntimeError('burst pipe') if (task.id, sample) == ('t-parallel', 1) else None
  trajectories = asyncio.run(play_many(all_tasks(), 2, player(tokenizer, 1, broken), 4))
  outcomes = {(t.task_id, t.sample): t.outcome for t in trajectories}
  assert outcomes.pop(('t-parallel', 1)) == 'verifier_error'
  assert set(outcomes.values()) == {'completed'} and len(outcomes) == 9
  assert trajectories[3].note == 'RuntimeError: burst pipe'
  assert 't-parallel' in caplog.text and 'burst pipe' in caplog.text


def test_an_error_of_the_users_is_raised_as_itself(tokenizer):
  with pytest.raises(ConfigError, match='no reward'):
    asyncio.run(play_many(all_tasks(), 2, player(tokenizer, 0, lambda task, sample: ConfigError('no reward')), 4))


def test_concurrency_is_bounded_and_used(tokenizer):
  gauge = {'now': 0, 'most': 0}
  asyncio.run(play_many(all_tasks(), 4, player(tokenizer, 3, gauge=gauge), 7))
  assert gauge == {'now': 0, 'most': 7}


def test_progress_counts_up_to_the_total_with_outcomes(tokenizer):
  seen = []
  asyncio.run(play_many(all_tasks(), 2, player(tokenizer, 1), 3, lambda *now: seen.append(now)))
  assert [done for done, _, _ in seen] == list(range(1, 11))
  assert {total for _, total, _ in seen} == {10}
  assert seen[-1][2] == {'completed': 10}


def test_nothing_to_play_is_no_error_but_no_samples_is(tokenizer):
  assert asyncio.run(play_many([], 2, player(tokenizer), 3)) == []
  for samples, concurrency in ((0, 1), (1, 0)):
    with pytest.raises(ValueError, match='at least 1'):
      asyncio.run(play_many(all_tasks(), samples, player(tokenizer), concurrency))
