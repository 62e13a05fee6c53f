import asyncio

import pytest

from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.rewards import gates
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis import plan as planning
from inftool_jax.synthesis.plan import plan
from inftool_jax.synthesis.verify import check_tasks
from inftool_jax.synthesis.wording import families
from inftool_jax.types import KINDS, TWINNED, Message, Task, View, from_json, to_json
from tests.synthesis.small_tools import ALL, ORDERS

COUNTS = dict.fromkeys(KINDS, 6)


@pytest.fixture(scope='module', params=families.SPLITS)
def planned(request):
  return request.param, plan(ALL, COUNTS, seed=3, split=request.param)


def talk(task, simulator):
  """The scripted conversation of a task, and what it wrote."""
  assistant, user = ScriptedAssistant(task), ScriptedUser(task)
  session = simulator.open(task.seed, task.initial_state)
  messages = [asyncio.run(user.speak(View(()), 0))]
  for _ in range(6):
    said = asyncio.run(assistant.speak(View(tuple(messages)), 0))
    messages.append(said)
    if said.calls:
      messages.append(Message('tool', results=tuple(session.execute(call) for call in said.calls)))
      continue
    reply = asyncio.run(user.speak(View(tuple(messages)), 0))
    if not reply.content:
      return messages, session.difference()
    messages.append(reply)
  raise AssertionError('the conversation does not end')


def test_every_kind_is_planned_and_passes_every_check(planned):
  split, tasks = planned
  kinds = [task.kind for task in tasks]
  assert {kind: kinds.count(kind) for kind in KINDS} == {kind: 12 if kind in TWINNED else 6 for kind in KINDS}
  assert check_tasks(tasks, Simulator(ALL, split)) == {}


def test_the_scripted_gold_play_wins_every_task(planned):
  split, tasks = planned
  simulator = Simulator(ALL, split)
  for task in tasks:
    messages, difference = talk(task, simulator)
    assert gates.score(task, messages, difference).failed == '', (task.id, messages)


def test_a_wrong_play_does_not_win(planned):
  split, tasks = planned
  simulator = Simulator(ALL, split)
  for task in tasks:
    silent = [Message('user', task.scenario.opening), Message('assistant', 'I cannot do that.')]
    won = gates.score(task, silent, simulator.open(task.seed, task.initial_state).difference()).success
    assert won == (not task.gold)


def test_task_number_i_does_not_depend_on_how_many_are_made():
  few = plan(ALL, {'single': 3, 'irrelevance': 2}, seed=9, split='train')
  many = plan(ALL, {'single': 8, 'irrelevance': 5, 'parallel': 2}, seed=9, split='train')
  later = plan(ALL, {'single': 4}, seed=9, split='train', start=3)
  by_id = {task.id: task for task in many}
  assert all(by_id[task.id] == task for task in (*few, *later))
  assert {t.id for t in later}.isdisjoint(t.id for t in few)


def test_another_seed_gives_other_tasks():
  a, b = (plan(ALL, {'single': 8}, seed=seed, split='train') for seed in (1, 2))
  assert {t.scenario.opening for t in a}.isdisjoint(t.scenario.opening for t in b)


def test_weights_steer_the_budget():
  only_shop = {('single', server): 0.0 for server in {t.server for t in ALL} - {'shop'}}
  tasks = plan(ALL, {'single': 10}, seed=1, split='train', weights=only_shop)
  assert {g.call.tool for t in tasks for g in t.gold} <= {t.name for t in ORDERS}


def test_wording_and_values_of_the_splits_are_disjoint():
  tasks = {split: plan(ALL, COUNTS, seed=3, split=split) for split in families.SPLITS}
  for a, b in (('train', 'dev'), ('train', 'test'), ('dev', 'test')):
    assert not {t.scenario.family for t in tasks[a]} & {t.scenario.family for t in tasks[b]}
    free = [{v for t in tasks[s] for g in t.gold for v in g.call.arguments.values() if isinstance(v, str) and '@' in v} for s in (a, b)]
    assert free[0] and not free[0] & free[1]


def test_offered_tools_stay_within_the_bounds():
  tasks = plan(ALL, {'single': 6, 'multiple': 6, 'irrelevance': 3}, seed=4, split='train', offered=(3, 3))
  assert {len(t.tools) for t in tasks} == {3}


def test_single_offers_strangers_and_multiple_offers_siblings():
  tasks = plan(ALL, {'single': 8, 'multiple': 8}, seed=4, split='train')
  server = {t.name: t.server for t in ALL}
  for task in tasks:
    gold = task.gold[0].call.tool
    siblings = [t for t in task.tools if t.name != gold and t.server == server[gold]]
    if task.kind == 'single':
      assert not siblings
    elif server[gold] not in ('units', 'finance', 'calendar'):  # those have one tool
      assert siblings


def test_multi_step_depends_on_a_result_and_parallel_stands_in_one_turn(planned):
  _, tasks = planned
  for task in tasks:
    if task.kind == 'multi_step':
      assert [g.step for g in task.gold] == [0, 1]
      assert 'result' in {p.source for p in task.gold[1].provenance.values()}
    if task.kind == 'parallel':
      assert len(task.gold) >= 2 and {g.step for g in task.gold} == {0}


def test_tasks_survive_json(planned):
  _, tasks = planned
  assert all(from_json(Task, to_json(task)) == task for task in tasks)


def test_a_repeated_task_is_left_out():
  bare = ORDERS[1:2]  # one tool and nothing to offer beside it: no task at all
  assert plan(bare, {'single': 3}, seed=1, split='train') == ()
  tasks = plan(ALL, {'single': 30}, seed=1, split='train')
  assert len({planning.fingerprint(t) for t in tasks}) == len(tasks)


@pytest.mark.parametrize(
  ('counts', 'options', 'named'),
  [
    ({'singel': 1}, {}, 'singel'),
    ({'single': -1}, {}, '-1'),
    ({'single': 1}, {'split': 'all'}, 'all'),
    ({'single': 1}, {'offered': (1, 3)}, r'\(1, 3\)'),
    ({'single': 1}, {'offered': (4, 2)}, r'\(4, 2\)'),
  ],
)
def test_impossible_plans_are_named(counts, options, named):
  with pytest.raises(ValueError, match=named):
    plan(ALL, counts, 1, **{'split': 'train', **options})


def test_no_tools_no_plan():
  with pytest.raises(ValueError, match='no tools'):
    plan((), {'single': 1}, 1, split='train')
