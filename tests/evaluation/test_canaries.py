from __future__ import annotations

import asyncio
import dataclasses

import pytest

from inftool_jax.evaluation import canaries, statistics
from inftool_jax.evaluation.canaries import BOUNDS, CANARIES, Canary
from inftool_jax.evaluation.statistics import Rate, Scored
from inftool_jax.rewards.gates import score, valid
from inftool_jax.rewards.questions import asked_slots, is_question
from inftool_jax.types import KINDS, Answer, Call, Fact, GoldCall, Message, Result, Scenario, Task, Tool, View


def tool(name, properties, required, effect='read'):
  schema = {'type': 'object', 'properties': properties, 'required': required, 'additionalProperties': False}
  return Tool(name, name.replace('_', ' '), schema, None, 'shop', effect, ())


ORDER = {'order_id': 'ord_8k2j3x', 'customer': 'Ada', 'status': 'shipped', 'carrier': 'Posthorn Brothers', 'weight': 12.5, 'city': 'Rome'}
GET = tool('get_order', {'order_id': {'type': 'string'}, 'verbose': {'type': 'boolean', 'default': False}}, ['order_id'])
MAKE = tool('create_order', {'customer': {'type': 'string'}}, ['customer'], 'create')
DELETE = tool('delete_order', {'order_id': {'type': 'string'}}, ['order_id'], 'delete')
TOOLS = (DELETE, MAKE, GET)

READ = GoldCall(Call('get_order', {'order_id': 'ord_8k2j3x'}), {})
WRITE = GoldCall(Call('create_order', {'customer': 'Ada'}), {})
SHIPPED = (Answer(0, '$.status', 'shipped'),)
WITHHELD = (Fact('get_order', 'order_id', 'ord_8k2j3x', 'It is order id ord_8k2j3x.'),)
CREATED = {'orders': {'ord_1': {'customer': 'Ada'}}}


def task(i, kind, opening, gold, answers=(), twin='', tools=TOOLS, withheld=(), final=None):
  return Task(i, kind, tools, Scenario(opening, withheld=withheld), gold, answers, {}, final or {}, 0, twin)


TASKS = (
  task('s', 'single', 'What is the status? Get the order with order id ord_8k2j3x.', (READ,), SHIPPED),
  task('w', 'multiple', 'Create an order, customer Ada.', (WRITE,), final=CREATED),
  task('m1', 'missing_parameter', 'Get the order status.', (READ,), SHIPPED, 'm2', withheld=WITHHELD),
  task('m2', 'missing_parameter', 'Get the order status, order id ord_8k2j3x.', (READ,), SHIPPED, 'm1'),
  task('i1', 'irrelevance', 'Get the order with order id ord_8k2j3x, which status?', (), twin='i2', tools=(DELETE, MAKE)),
  task('i2', 'irrelevance', 'Get the order with order id ord_8k2j3x, which status?', (READ,), SHIPPED, 'i1'),
)


def converse(speaker, task):
  """A conversation with an executable order store, and what it wrote."""
  messages, made, difference = [Message('user', task.scenario.opening)], 0, {}
  for turn in range(5):
    reply = asyncio.run(speaker.speak(View(tuple(messages)), turn))
    messages.append(reply)
    if reply.calls:
      results = []
      for call in reply.calls:
        offered = {t.name: t for t in task.tools}
        if call.tool not in offered or not valid(call.arguments, offered[call.tool]):
          results.append(Result('{"error": "invalid"}', is_error=True))
        elif call.tool == 'create_order':
          made += 1
          difference = {'orders': {**difference.get('orders', {}), f'ord_{made}': {'customer': call.arguments['customer']}}}
          results.append(Result(f'{{"order_id": "ord_{made}"}}', {'order_id': f'ord_{made}'}))
        elif call.tool == 'delete_order':
          difference = {}
          results.append(Result('{"deleted": true}', {'deleted': True}))
        else:
          results.append(Result(str(ORDER).replace("'", '"'), ORDER))
      messages.append(Message('tool', results=tuple(results)))
    elif is_question(reply.content):
      known = [f.text for f in task.scenario.withheld if asked_slots(reply.content, GET) == {f.parameter}]
      messages.append(Message('user', known[0] if known else 'I have nothing more to add.'))
    else:
      break
  return messages, difference


def scored(speaker_of):
  results = []
  for t in TASKS:
    verdict = score(t, *converse(speaker_of(t), t))
    results.append(Scored(t.id, t.twin, t.kind, 'shop', False, None, verdict.success, verdict.failed))
  return results


@pytest.mark.parametrize('name', CANARIES)
def test_no_canary_solves_anything(name):
  rates = statistics.success_by_kind(scored(lambda t: Canary(name, t)))
  assert {kind: rate.successes for kind, rate in rates.items()} == dict.fromkeys(rates, 0)


HALVES = {'refuse_always': {'i1'}, 'ask_then_anything': {'m1'}, 'silent': set(), 'dump_last_result': set()}


@pytest.mark.parametrize('name', HALVES)
def test_only_the_twin_keeps_some_from_scoring(name):
  assert {r.task_id for r in scored(lambda t: Canary(name, t)) if r.success} == HALVES[name]


class Honest:
  """The gold solution, to show that the tasks above can be solved."""

  def __init__(self, task):
    self.task = task

  async def speak(self, view, seed):
    if not self.task.gold:
      return Message('assistant', 'I have no tool for this.')
    if view.messages[-1].role == 'tool':
      return Message('assistant', 'The status is shipped.')
    if self.task.scenario.withheld and len(view.messages) == 1:
      return Message('assistant', 'Which order id?')
    return Message('assistant', calls=tuple(g.call for g in self.task.gold))


def test_the_tasks_can_be_solved():
  assert all(r.success for r in scored(Honest))


def test_a_leak_in_the_gold_does_not_reach_a_canary():
  """Of the task a canary sees the tools alone."""
  for name in CANARIES:
    blank = dataclasses.replace(TASKS[0], gold=(), answers=(), final_state={}, scenario=Scenario('', known=WITHHELD))
    assert converse(Canary(name, TASKS[0]), TASKS[0]) == converse(Canary(name, blank), TASKS[0])


def test_fillers_come_from_the_schema():
  t = tool('f', {'a': {'default': 3}, 'b': {'examples': ['q']}, 'c': {'enum': ['z']}, 'd': {'type': 'integer'}, 'e': {'type': 'string'}},
           ['a', 'b', 'c', 'd', 'e'])
  assert canaries.filled(t) == {'a': 3, 'b': 'q', 'c': 'z', 'd': 1, 'e': 'x'}


def test_canaries_bear_tools_without_parameters():
  bare = Tool('ping', '', {'type': 'object'}, None, 's', 'read', ())
  for name in CANARIES:
    converse(Canary(name, TASKS[0]), task('x', 'single', 'Ping', (), tools=(bare,)))


def test_every_cell_has_a_bound_and_exceptions_a_reason():
  assert set(BOUNDS) == {(name, kind) for name in CANARIES for kind in KINDS}
  assert all(b.share == canaries.DEFAULT_BOUND or b.reason for b in BOUNDS.values())


def test_table_marks_cells_over_their_bound():
  def cell(successes, n):
    return canaries.table({'echo': {'single': Rate(successes, n, 0, 1)}})[0]
  assert [cell(*c).within for c in ((0, 40), (1, 40), (2, 40), (10, 500), (11, 500))] == [True, True, False, True, False]
