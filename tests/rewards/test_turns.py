"""How much of the gated reward a conversation has before each turn."""

from __future__ import annotations

import pytest

from inftool_jax.rewards import gates, turns
from inftool_jax.types import Call, Fact, GoldCall, Message, Provenance, Result, Scenario, Task

USER, UTTERED = Message('user', 'Cancel the order of Ada.'), Provenance('utterance', 0, 'Ada')
FIND, CANCEL = Call('find_order', {'customer': 'Ada'}), Call('cancel_order', {'order_id': 'ord_8k2j3x'})
OTHER = Call('find_order', {'customer': 'Bob'})
DONE = {'orders': {'ord_8k2j3x': {'status': 'canceled'}}}
GIVEN = Message('tool', results=(Result('{"order_id": "ord_8k2j3x"}', {'order_id': 'ord_8k2j3x'}),))
ANSWER = Message('assistant', 'It is canceled.')


def says(*calls: Call, text: str = '', error: str = '') -> Message:
  return Message('assistant', text, calls=calls, error=error)


@pytest.fixture
def two_steps(make_tool) -> Task:
  tools = (
    make_tool('find_order', {'customer': {'type': 'string'}}, ('customer',)),
    make_tool('cancel_order', {'order_id': {'type': 'string'}}, ('order_id',), 'update'),
  )
  gold = (GoldCall(FIND, {'customer': UTTERED}), GoldCall(CANCEL, {'order_id': Provenance('result', 0, '$.order_id')}, step=1))
  return Task('t', 'multi_step', tools, Scenario('Cancel the order of Ada.'), gold, (), {}, DONE, 0)


@pytest.mark.parametrize(('messages', 'expected'), [
  ([says(FIND), GIVEN, says(CANCEL), GIVEN, ANSWER], (0.0, 0.5, 1.0)),
  ([says(OTHER), GIVEN, says(FIND), GIVEN, ANSWER], (0.0, 0.0, 0.5)),  # right tool, wrong argument; then the right one
  ([says(FIND), GIVEN, says(Call('no_such', {})), GIVEN, ANSWER], (0.0, 0.5, 0.0)),
  ([says(FIND), GIVEN, says(Call('cancel_order', {'order_id': 'ord_other1'})), GIVEN, ANSWER], (0.0, 0.5, 0.0)),  # forbidden
  ([says(FIND), GIVEN, says(error='unterminated')], (0.0, 0.5)),
  ([says(text='Which Ada?'), USER, says(FIND), GIVEN, ANSWER], (0.0, 0.0, 0.0)),  # a needless question
])  # fmt: skip
def test_what_is_earned_before_each_turn(two_steps: Task, messages: list[Message], expected: tuple[float, ...]) -> None:
  assert turns.earned(two_steps, [USER, *messages]) == expected


def test_the_last_turn_brings_it_to_the_conversations_reward(two_steps: Task) -> None:
  messages = [USER, says(FIND), GIVEN, says(CANCEL), GIVEN, ANSWER]
  assert turns.earned(two_steps, messages)[-1] == gates.reward(gates.score(two_steps, messages, DONE), 'gated') == 1.0


def test_a_question_still_to_be_asked_closes_no_gate_and_a_call_in_its_place_does(two_steps: Task) -> None:
  withheld = (Fact('find_order', 'customer', 'Ada', 'Ada'),)
  task = Task('m', 'missing_parameter', two_steps.tools, Scenario('Find my order.', withheld=withheld), two_steps.gold[:1], (), {}, {}, 0)
  asks = says(text='Which customer is it for?')
  assert turns.earned(task, [USER, asks, Message('user', 'Ada'), says(FIND), GIVEN, ANSWER]) == (0.0, 0.0, 1.0)
  assert turns.earned(task, [USER, says(FIND), GIVEN, ANSWER]) == (0.0, 0.0)


def test_where_nothing_fits_a_call_takes_what_silence_has(two_steps: Task) -> None:
  task = Task('i', 'irrelevance', two_steps.tools, Scenario('Sing.'), (), (), {}, {}, 0)
  assert turns.earned(task, [USER, Message('assistant', 'I cannot do that.')]) == (1.0,)
  assert turns.earned(task, [USER, says(FIND), GIVEN, Message('assistant', 'I cannot do that.')]) == (1.0, 0.0)
