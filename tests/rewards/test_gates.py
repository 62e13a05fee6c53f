from __future__ import annotations

import dataclasses

import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.rewards.gates import ADDITIVE, REWARDS, TERMS, reward, score
from inftool_jax.types import Answer, Call, Fact, GoldCall, Message, Provenance, Result, Scenario, Task

USER, FOUND = Message('user', 'What is the status?'), {'order_id': 'ord_8k2j3x', 'status': 'shipped'}
UTTERED, FROM_RESULT = Provenance('utterance', 0, 'Ada'), Provenance('result', 0, '$.order_id')
SHIPPED = (Answer(0, '$.status', 'shipped'),)
DIFFERENCE = {'orders': {'ord_8k2j3x': {'status': 'canceled'}}}


def says(text='', *calls, error=''):
  return Message('assistant', text, calls=calls, error=error)


def result(structured, is_error=False):
  return Message('tool', results=(Result('{}', structured, is_error),))


@pytest.fixture
def tools(make_tool):
  return (
    make_tool('find_order', {'customer': {'type': 'string'}, 'year': {'type': 'integer'}}, ('customer', 'year')),
    make_tool('get_order', {'order_id': {'type': 'string'}}, ('order_id',)),
    make_tool('cancel_order', {'order_id': {'type': 'string'}, 'reason': {'type': 'string', 'default': 'none'}}, ('order_id',), 'update'),
  )


FIND, GET = Call('find_order', {'customer': 'Ada', 'year': 2031}), Call('get_order', {'order_id': 'ord_8k2j3x'})
CANCEL = Call('cancel_order', {'order_id': 'ord_8k2j3x'})
ANSWER = says('The status is shipped.')


def task(tools, kind, *gold, withheld=(), final_state=None, answers=SHIPPED):
  return Task(kind, kind, tools, Scenario('What is the status?', withheld=withheld), gold, answers, {}, final_state or {}, 0)


@pytest.fixture
def single(tools):
  return task(tools, 'single', GoldCall(FIND, {'customer': UTTERED, 'year': UTTERED}))


def test_a_right_conversation_succeeds(single):
  verdict = score(single, [Message('system'), USER, says('', FIND), result(FOUND), ANSWER], {})
  assert verdict.success
  assert verdict.failed == ''
  assert verdict.match == 1
  assert [reward(verdict, name) for name in REWARDS] == pytest.approx([1, 1, 1])
  assert set(verdict.gates()) == {*TERMS, 'match'}


OTHER = Call('get_order', {'order_id': 'ord_other1'})


@pytest.mark.parametrize(('messages', 'failed'), [
  ([says('{', error='unterminated')], 'parse'),
  ([says('', Call('no_such_tool', {})), result({}), ANSWER], 'schema'),
  ([says('', Call('find_order', {'customer': 'Ada', 'year': '2031'})), result({}), ANSWER], 'schema'),
  ([says('', Call('find_order', {'customer': 'Ada', 'year': 2031, 'x': 1})), result({}), ANSWER], 'schema'),
  ([says('', FIND), result({'error': 'x'}, True), ANSWER], 'execute'),
  ([says('', FIND, CANCEL), result(FOUND), ANSWER], 'no_forbidden_effect'),
  ([says('Which customer?'), Message('user', 'Ada'), says('', FIND), result(FOUND), ANSWER], 'protocol'),
  ([says('', FIND), result(FOUND), says('Shipped, anything else?'), Message('user', 'no'), ANSWER], 'protocol'),
  ([ANSWER], 'calls'),
  ([says('', OTHER), result({}), ANSWER], 'calls'),
  ([says('', FIND, FIND, OTHER), result(FOUND), ANSWER], 'calls'),
  ([says('', FIND), result(FOUND), says('It is canceled.')], 'answer'),
  ([says('', FIND), result(FOUND), says('')], 'answer'),
  ([says('', FIND), result(FOUND)], 'answer'),
  ([says('', FIND), result(FOUND), says('shipped?')], 'answer'),
  ([says('', OTHER), result({}), says('', FIND), result(FOUND), ANSWER], ''),  # one surplus read is forgiven
  ([says('', FIND, FIND), result(FOUND), ANSWER], ''),
])
def test_first_failed_term_of_a_reading_task(single, messages, failed):
  verdict = score(single, [USER, *messages], {})
  assert verdict.failed == failed
  assert verdict.success == (failed == '')
  assert reward(verdict, 'binary') == float(verdict.success)


@pytest.mark.parametrize(('calls', 'difference', 'failed'), [
  ((CANCEL,), DIFFERENCE, ''),
  ((Call('cancel_order', {'order_id': 'ord_8k2j3x', 'reason': 'none'}),), DIFFERENCE, ''),
  ((OTHER, CANCEL), DIFFERENCE, ''),
  ((CANCEL,), {}, 'state'),
  ((CANCEL,), {'orders': {**DIFFERENCE['orders'], 'ord_other1': None}}, 'no_forbidden_effect'),
  ((CANCEL,), {'orders': {'ord_8k2j3x': {'status': 'lost'}}}, 'no_forbidden_effect'),
  ((CANCEL, CANCEL), DIFFERENCE, 'no_forbidden_effect'),
  ((Call('cancel_order', {'order_id': 'ord_other1'}),), {}, 'no_forbidden_effect'),
  ((OTHER, GET, CANCEL), DIFFERENCE, 'calls'),
])
def test_tasks_that_write(tools, calls, difference, failed):
  writing = task(tools, 'single', GoldCall(CANCEL, {'order_id': UTTERED}), final_state=DIFFERENCE, answers=())
  assert score(writing, [USER, says('', *calls), result({}), says('Done.')], difference).failed == failed


@pytest.mark.parametrize(('messages', 'failed'), [
  ([says('', FIND), result(FOUND), says('', CANCEL), result({}), says('Done.')], ''),
  ([says('', FIND, CANCEL), result(FOUND), says('Done.')], 'calls'),  # guessed in the same turn
  ([says('', CANCEL), result({}), says('', FIND), result(FOUND), says('Done.')], 'calls'),
  ([says('', CANCEL), result({}), says('Done.')], 'calls'),  # the required read never happened
  ([says('I take ord_8k2j3x.', FIND), result(FOUND), says('', CANCEL), result({}), says('Done.')], 'calls'),
  ([says('', GET), result({}), says('', FIND), result(FOUND), says('', CANCEL), result({}), says('Done.')], 'calls'),
  ([says('', FIND), result({'none': 1}), says('', CANCEL), result({}), says('Done.')], 'calls'),  # in no result
])
def test_multi_step_reads_before_it_writes(tools, messages, failed):
  gold = (GoldCall(FIND, {'customer': UTTERED, 'year': UTTERED}, 0), GoldCall(CANCEL, {'order_id': FROM_RESULT}, 1))
  chained = task(tools, 'multi_step', *gold, final_state=DIFFERENCE, answers=())
  assert score(chained, [USER, *messages], DIFFERENCE).failed == failed


def test_parallel_calls_stand_in_one_turn(tools):
  both = task(tools, 'parallel', GoldCall(FIND, {}), GoldCall(GET, {}))
  assert score(both, [USER, says('', GET, FIND), result(FOUND), ANSWER], {}).success
  apart = [USER, says('', FIND), result(FOUND), says('', GET), result(FOUND), ANSWER]
  assert score(both, apart, {}).failed == 'calls'
  assert score(dataclasses.replace(both, kind='multiple'), apart, {}).success


MISSING = Fact('find_order', 'year', 2031, 'It is 2031.')
REPLY = Message('user', 'It is 2031.')
REST = [says('', FIND), result(FOUND), ANSWER]


@pytest.mark.parametrize(('messages', 'failed'), [
  ([says('Which year?'), REPLY, *REST], ''),
  (REST, 'protocol'),
  ([says('Which customer?'), REPLY, *REST], 'protocol'),
  ([says('Which year and which customer?'), REPLY, *REST], 'protocol'),
  ([says('Could you say more?'), REPLY, *REST], 'protocol'),
  ([says('Which year?'), REPLY, says('Which year?'), REPLY, *REST], 'protocol'),
  ([says('', OTHER), result({}), says('Which year?'), REPLY, *REST], 'protocol'),
  ([says('Which year?'), REPLY, says('', OTHER), result({}), ANSWER], 'calls'),
])
def test_missing_parameter_asks_once_first_and_for_the_right_slot(tools, messages, failed):
  missing = task(tools, 'missing_parameter', GoldCall(FIND, {'customer': UTTERED, 'year': UTTERED}), withheld=(MISSING,))
  verdict = score(missing, [USER, *messages], {})
  assert verdict.failed == failed
  assert reward(verdict, 'gated') == (0 if failed == 'protocol' else verdict.match)


@pytest.mark.parametrize(('messages', 'failed'), [
  ([says('None of the tools can do this.')], ''),
  ([says('')], 'protocol'),
  ([], 'protocol'),
  ([says('Which year?')], 'protocol'),  # cut off while it asks
  ([says('Which year?'), REPLY, says('I cannot.')], 'protocol'),
  ([says('', FIND), result(FOUND), says('I cannot.')], 'calls'),
])
def test_irrelevance_declines_in_words(tools, messages, failed):
  verdict = score(task(tools, 'irrelevance', answers=()), [USER, *messages], {})
  assert verdict.failed == failed
  assert reward(verdict, 'gated') == (1 if failed == '' else 0)


def test_gated_multiplies_the_match_and_additive_adds_it_up(single):
  half = score(single, [USER, says('', Call('find_order', {'customer': 'Ada', 'year': 2030})), result(FOUND), ANSWER], {})
  assert half.match == pytest.approx(1 / 2)
  assert reward(half, 'gated') == pytest.approx(1 / 2)
  assert reward(half, 'additive') == pytest.approx(3 / 4)
  assert sum(ADDITIVE.values()) == pytest.approx(1)
  refused = score(single, [USER, says('', Call('nope', {}))], {})
  assert reward(refused, 'gated') == 0 < reward(refused, 'additive')
  with pytest.raises(ConfigError, match="'best'.*gated, binary, additive"):
    reward(half, 'best')


def test_untrusted_arguments_never_raise(single):
  deep: list = []
  for _ in range(2000):
    deep = [deep]
  for value in (deep, float('nan'), 10**5000, {'a': None}, '\ud800'):
    assert score(single, [USER, says('', Call('find_order', {'customer': value, 'year': value})), result(deep)], {}).failed == 'schema'


def test_no_message_at_all_is_a_failure(single):
  assert not score(single, [], None).success
