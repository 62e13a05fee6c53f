from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.rewards.answers import answered, length_bound, says
from inftool_jax.types import Answer, Result


@pytest.mark.parametrize(('text', 'value'), [
  ('It is 5.00.', 5), ('5', 5.0), ('The total is 1,234.5 kg', 1234.5), ('x is -3.', -3), ('It takes 5kg', 5), ('about 1e3', 1000),
  ('5, 6 and 7', [5, 6, 7]), ('$12.50', 12.5), ('Due April 17, 2031.', '2031-04-17'), ('Due 17 Apr 2031.', '2031-04-17'),
  ('at 2031-04-17 09:00', '2031-04-17T09:00:00Z'), ('on 2031-04-17.', '2031-04-17'), ('It is In Transit.', 'in_transit'),
  ('The id is ord_8k2j3x.', 'ord_8k2j3x'), ('Yes.', True), ('It is not open', False), ('Its name is Ada  Lovelace', 'ada lovelace'),
  ('none were found', []), ('The name is A+B (x).', 'A+B (x)'), ('yes, and closed is false', [True, False]),
  ('No Frills is open: yes', {'open': True, 'name': 'No Frills'}), ('2031-99-99', '2031-99-99'),
])
def test_said(text, value):
  assert says(text, value)


@pytest.mark.parametrize(('text', 'value'), [
  ('on 2031-04-17', 17), ('id 7f3k2a', 7), ('id x-5', 5), ('at 10:30', 30), ('v1.2.3', 2), ('It is 50', 5), ('It is 5.5', 5), ('five', 5),
  ('Due April 18, 2031', '2031-04-17'), ('at 2031-04-17 10:00', '2031-04-17T09:00:00Z'), ('ord_8k2j3xy', 'ord_8k2j3x'),
  ('yes and no', True),
  ('true or false', False), ('It is open', True), ('one, two', ['one', 'three']), ('', ''), ('fine', None), ('some', float('nan')),
])
def test_not_said(text, value):
  assert not says(text, value)


@given(st.recursive(st.none() | st.booleans() | st.integers(-10**6, 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    st.lists, max_leaves=4), st.text())
@settings(max_examples=80, deadline=None)
def test_total_and_numbers_are_read_back(value, text):
  assert says(text, value) in (True, False)
  if isinstance(value, (int, float)):
    assert says(f'It is {json.dumps(value)}.', value)


def test_an_answer_states_every_value_and_little_else():
  answers = (Answer(0, '$.status', 'shipped'), Answer(0, '$.total', 12.5))
  result = Result('{"id": "ord_8k2j3x", "status": "shipped", "total": 12.5}')
  assert answered('The status is shipped. The total is 12.50.', answers, [result])
  assert not answered('The status is shipped.', answers, [result])
  assert not answered(result.content, answers, [result])
  assert not answered('Here: {"id":"ord_8k2j3x","status":"shipped","total":12.5}', answers, [result])
  assert not answered('The status is shipped. The total is 12.50.' + ' Really.' * 30, answers, [result])
  assert length_bound(answers) == 60 + 30 + 3 * len('shipped12.5')


def test_without_values_any_words_will_do():
  assert answered('Done, and ' * 50, (), [])
  assert not answered('  ', (), [])
  assert not answered('Done: {"id": 1}', (), [Result('{"id": 1}')])
