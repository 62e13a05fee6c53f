import dataclasses

import pytest

from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.plan import plan
from inftool_jax.synthesis.solutions import Goal, Known, best_call, solves
from inftool_jax.synthesis.verify import Acceptance, check_task, check_tasks, play_gold, verdict
from inftool_jax.types import KINDS, Fact, Message, Provenance, Trajectory
from tests.synthesis.small_tools import ALL, BY_NAME, ORDERS, TEXT, tool

SIMULATOR = Simulator(ALL, 'train')
TASKS = plan(ALL, dict.fromkeys(KINDS, 4), seed=8, split='train')


def first(kind, wanted=lambda task: True):
  return next(task for task in TASKS if task.kind == kind and wanted(task))


def with_gold(task, index=0, **changes):
  gold = [dataclasses.replace(g, **changes) if i == index else g for i, g in enumerate(task.gold)]
  return dataclasses.replace(task, gold=tuple(gold))


def opening(task, text):
  return dataclasses.replace(task, scenario=dataclasses.replace(task.scenario, opening=text))


def test_a_sound_task_has_no_problems():
  assert check_tasks(TASKS, SIMULATOR) == {}


def test_a_value_that_is_not_said():
  task = first('single', lambda t: t.gold[0].provenance)
  assert any('is not said' in p for p in check_task(opening(task, 'Do it.'), SIMULATOR))


def test_a_value_that_is_part_of_a_longer_word_is_not_said():
  task = first('single', lambda t: t.gold[0].provenance)
  path = next(iter(task.gold[0].provenance.values())).path
  assert any('is not said' in p for p in check_task(opening(task, task.scenario.opening.replace(path, f'x{path}x')), SIMULATOR))


def test_an_argument_without_provenance():
  assert any('provenances' in p for p in check_task(with_gold(first('single'), provenance={}), SIMULATOR))


def test_a_dependent_value_that_is_given_away():
  task = first('multi_step')
  name = next(n for n, p in task.gold[1].provenance.items() if p.source == 'result')
  told = opening(task, f'{task.scenario.opening} {task.gold[1].call.arguments[name]}')
  assert any('given away' in p for p in check_task(told, SIMULATOR))


def test_a_dependent_value_from_nowhere():
  task = first('multi_step')
  moved = {n: Provenance('result', 0, '$.nowhere') if p.source == 'result' else p for n, p in task.gold[1].provenance.items()}
  assert any('$.nowhere' in p for p in check_task(with_gold(task, 1, provenance=moved), SIMULATOR))


def test_another_final_state():
  task = first('multi_step', lambda t: t.final_state)
  assert any('final state' in p for p in check_task(dataclasses.replace(task, final_state={}), SIMULATOR))


def test_an_answer_that_is_not_shown_and_one_that_is_given_away():
  task = first('single', lambda t: t.answers)
  wrong = dataclasses.replace(task.answers[0], value='elsewhere')
  assert any("not 'elsewhere'" in p for p in check_task(dataclasses.replace(task, answers=(wrong,)), SIMULATOR))
  said = opening(task, f'{task.scenario.opening} {task.answers[0].value}')
  assert any('gives the answer' in p for p in check_task(said, SIMULATOR))


def test_a_withheld_value_that_is_spoken_of():
  task = first('missing_parameter', lambda t: t.scenario.withheld)
  fact = task.scenario.withheld[0]
  for text in (fact.parameter.replace('_', ' '), str(fact.value)):
    assert any('speaks of' in p for p in check_task(opening(task, f'{task.scenario.opening} {text}'), SIMULATOR))


def test_a_withheld_value_of_another_tool():
  task = first('missing_parameter', lambda t: t.scenario.withheld)
  fact = Fact('nothing', 'none', 1, '1')
  assert check_task(dataclasses.replace(task, scenario=dataclasses.replace(task.scenario, withheld=(fact,))), SIMULATOR)


def test_gold_that_fails():
  task = first('multiple', lambda t: t.gold[0].call.tool.startswith(('get', 'update', 'delete')))
  call = dataclasses.replace(task.gold[0].call, arguments={n: 'no_such_id' for n in task.gold[0].call.arguments})
  problems = check_task(with_gold(task, call=call), SIMULATOR)
  assert problems


def test_twins_are_compared():
  pair = [t for t in TASKS if t.kind == 'irrelevance'][:2]
  other = dataclasses.replace(pair[0], tools=pair[1].tools)
  assert 'the fitting tool is offered' in check_tasks([other, pair[1]], SIMULATOR)[other.id]
  assert check_tasks(pair[:1], SIMULATOR)[pair[0].id] == ['its twin is missing']


def test_a_second_way_to_do_it_is_found():
  erase = tool('erase_order', 'Erase an order.', {'order_id': TEXT}, ('order_id',), 'delete', 'shop', {})
  simulator = Simulator((*ALL, erase), 'train')
  bench_task = next(t for t in plan(ORDERS, {'multiple': 30}, 2, split='train') if t.gold[0].call.tool == 'delete_order')
  assert check_task(bench_task, simulator) == []
  both = dataclasses.replace(bench_task, tools=(*bench_task.tools, erase))
  assert check_task(both, simulator) == ['erase_order would solve the task as well']


def test_best_call_fits_by_name_then_by_kind_and_never_invents():
  known = [Known('email', {'type': 'string', 'format': 'email'}, 'a@b.co'), Known('nights', {'type': 'integer'}, 3)]
  call = best_call(BY_NAME['find_orders'], known)
  assert call is not None and call.arguments == {'customer_email': 'a@b.co'}
  assert best_call(BY_NAME['convert_length'], known[:1]) is None


def test_a_read_is_solved_by_what_shows_the_answer():
  state = SIMULATOR.opening_state(1, ['shop'])
  record = next(iter(state['shop/order'].values()))
  known = [Known('order_id', TEXT, record['id'])]
  get = BY_NAME['get_order']
  assert solves(get, known, [Goal({}, (record['item'],))], SIMULATOR, 1, state)
  assert not solves(get, known, [Goal({}, ('elsewhere',))], SIMULATOR, 1, state)
  assert not solves(get, known, [Goal({}, ())], SIMULATOR, 1, state)


def trajectory(task, messages, outcome='completed'):
  return Trajectory(task.id, 0, tuple(messages), (), (), (), (), 1, {}, 0.0, outcome)


def test_verdict_plays_again_and_names_the_failed_term():
  task = first('single', lambda t: t.answers)
  results = play_gold(task, SIMULATOR).results
  asked, called = Message('user', task.scenario.opening), Message('assistant', calls=(task.gold[0].call,))
  answer = Message('assistant', ', '.join(str(a.value) for a in task.answers))
  good = [asked, called, Message('tool', results=results), answer]
  assert verdict(task, trajectory(task, good), SIMULATOR) == Acceptance(True, '')
  assert verdict(task, trajectory(task, [*good[:3], Message('assistant', 'Done.')]), SIMULATOR) == Acceptance(False, 'answer')
  forged = Message('tool', results=(dataclasses.replace(results[0], content='{}'),))
  assert verdict(task, trajectory(task, [asked, called, forged, answer]), SIMULATOR) == Acceptance(False, 'replay')
  assert verdict(task, trajectory(task, good, 'truncated'), SIMULATOR) == Acceptance(False, 'truncated')


@pytest.mark.parametrize('kind', KINDS)
def test_a_task_that_offers_nothing_is_malformed(kind):
  task = first(kind)
  assert check_task(dataclasses.replace(task, tools=()), SIMULATOR)
