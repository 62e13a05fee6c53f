from __future__ import annotations

import asyncio
import dataclasses

import pytest

from inftool_jax.agents.assistant import ScriptedAssistant, words
from inftool_jax.agents.user import asked_fact
from inftool_jax.rewards.answers import answered
from inftool_jax.types import Answer, Fact, Message, Result, Tool, View
from tests.support.chats import irrelevance, missing_parameter, multi_step, parallel, single


def speak(task, *messages: Message) -> Message:
  view = View((Message('user', task.scenario.opening), *messages))
  return asyncio.run(ScriptedAssistant(task).speak(view, seed=1))


def results(*data) -> Message:
  return Message('tool', results=tuple(Result('', d) for d in data))


def test_parallel_calls_stand_in_one_turn():
  assert speak(parallel()).calls == tuple(g.call for g in parallel().gold)


def test_dependent_values_come_from_the_actual_results():
  task = multi_step()
  first = speak(task)
  assert first.calls == (task.gold[0].call,)
  second = speak(task, first, results({'customer': {'id': 'cus_other'}}))
  assert [dict(c.arguments) for c in second.calls] == [{'customer_id': 'cus_other', 'item': 'lamp'}]
  closing = speak(task, first, results({'customer': {'id': 'cus_other'}}), second, results({'id': 'ord_actual', 'status': 'new'}))
  assert not closing.calls
  assert 'ord_actual' in closing.content


def test_a_result_without_the_value_is_an_error():
  with pytest.raises(LookupError, match='customer'):
    speak(multi_step(), speak(multi_step()), results({'error': 'down'}))


def test_asks_first_so_that_the_user_understands_then_calls():
  task = missing_parameter()
  question = speak(task)
  assert not question.calls
  assert asked_fact(question.content, task) == task.scenario.withheld[0]
  assert speak(task, question, Message('user', 'It is ord_k3v7qd.')).calls == (task.gold[0].call,)


@pytest.mark.parametrize('parameter', ['to', 'use', 'dueDate', 'known'])
def test_asks_for_awkward_names_in_a_wording_that_is_heard(parameter):
  tool = Tool('get_order', '', {'type': 'object', 'properties': {parameter: {'type': 'string'}}}, None, 's', 'read', ())
  base = missing_parameter()
  scenario = dataclasses.replace(base.scenario, withheld=(Fact('get_order', parameter, 'x', 'x'),))
  task = dataclasses.replace(base, tools=(tool,), scenario=scenario)
  assert asked_fact(speak(task).content, task) == scenario.withheld[0]


def test_declines_without_a_call_or_a_question():
  refusal = speak(irrelevance())
  assert refusal.content and '?' not in refusal.content and not refusal.calls


@pytest.mark.parametrize('value', ['open', 12.5, 7, True, None, [], ['a', 'b'], '2031-04-05', {'x': 1}, 'ord_k3v7qd'])
def test_answers_say_the_values_and_little_else(value):
  answers = (Answer(0, '$.dueDate', value), Answer(0, '$.lines[0].count', 3))
  task = dataclasses.replace(single(), answers=answers)
  reply = results({'dueDate': value, 'lines': [{'count': 3}], 'other': 'kept to itself'})
  closing = speak(task, speak(task), reply)
  assert answered(closing.content, answers, reply.results), closing.content
  assert 'kept' not in closing.content and 'due date' in closing.content


def test_a_task_without_answers_closes_with_a_word():
  task = dataclasses.replace(single(), answers=())
  assert speak(task, speak(task), results({})).content == 'Done.'


def test_words():
  names = {'due_date': 'due date', 'dueDate': 'due date', 'customer-id': 'customer id', 'id': 'id', 'HTTPCode': 'httpcode'}
  assert {name: words(name) for name in names} == names
