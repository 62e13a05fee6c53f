from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.agents.user import GOODBYE, NOTHING_MORE, ScriptedUser
from inftool_jax.types import Call, Fact, Message, Tool, View
from tests.support.chats import CREATE_ORDER, irrelevance, missing_parameter, single


def reply(task, *texts: str) -> Message:
  messages = [Message('user', task.scenario.opening)]
  for text in texts:
    messages += [Message('assistant', text), Message('user', '(earlier reply)')]
  return asyncio.run(ScriptedUser(task).speak(View(tuple(messages[:-1])), seed=0))


def test_opens_with_the_need():
  assert asyncio.run(ScriptedUser(single()).speak(View(()), 0)) == Message('user', 'How is order ord_k3v7qd?')


@pytest.mark.parametrize('question', ['Which order id?', 'Sure. Could you tell me the order ID?', 'What is your order_id?'])
def test_says_the_value_it_is_asked_for(question):
  assert reply(missing_parameter(), question) == Message('user', 'It is ord_k3v7qd.')
  assert reply(missing_parameter(), 'What color?', question) == Message('user', 'It is ord_k3v7qd.')


@pytest.mark.parametrize('question', ['What else?', 'Anything?', '?', 'Which email and which item?', 'Could you repeat that?'])
def test_says_nothing_for_any_other_question(question):
  assert reply(missing_parameter(), question) == Message('user', NOTHING_MORE)


def test_does_not_answer_for_two_slots_at_once_nor_for_another_slot():
  withheld = (Fact('create_order', 'item', 'lamp', 'A lamp.'),)
  task = missing_parameter()
  task = dataclasses.replace(task, tools=(CREATE_ORDER,), scenario=dataclasses.replace(task.scenario, withheld=withheld))
  assert reply(task, 'Which item?').content == 'A lamp.'
  assert reply(task, 'Which item and customer id?').content == NOTHING_MORE
  assert reply(task, 'Which customer id?').content == NOTHING_MORE


@pytest.mark.parametrize('task', [single(), irrelevance()], ids=lambda t: t.id)
def test_has_nothing_to_add_when_nothing_was_withheld(task):
  assert reply(task, 'Which order id?') == Message('user', NOTHING_MORE)


@given(st.text())
def test_a_message_without_a_question_ends_the_conversation(text):
  assert reply(missing_parameter(), text.replace('?', '')) == GOODBYE


@given(st.text(), st.text())
def test_never_leaks_and_never_asks(before, after):
  task = missing_parameter()
  said = reply(task, f'{before}? {after}').content
  assert said == NOTHING_MORE or ('order' in f'{before}{after}'.lower() and said == 'It is ord_k3v7qd.')
  assert '?' not in said


def test_a_fact_of_a_tool_that_is_not_offered_is_not_said():
  task = dataclasses.replace(missing_parameter(), tools=(Tool('other', '', {}, None, 's', 'read', ()),))
  assert reply(task, 'Which order id?').content == NOTHING_MORE


def test_is_the_same_for_every_seed():
  view = View((Message('user', 'x'), Message('assistant', 'Which order id?', (Call('f', {}),))))
  assert len({asyncio.run(ScriptedUser(missing_parameter()).speak(view, seed)).content for seed in range(20)}) == 1
