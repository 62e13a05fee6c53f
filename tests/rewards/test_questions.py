from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.rewards.questions import asked_slots, is_question, words


@pytest.fixture
def stay(make_tool):
  return make_tool('book_stay', {
    'hotel_id': {'type': 'string', 'description': 'Id of the hotel'},
    'date': {'type': 'string'},
    'end_date': {'type': 'string'},
    'guestNames': {'type': 'array'},
    'q': {'type': 'string', 'description': 'Search text.'},
    'to': {'type': 'string'},
    'kind_of_bed': {'type': 'string'},
  })


@pytest.mark.parametrize(('text', 'slots'), [
  ('Which end date?', {'end_date'}),
  ('Which date?', {'date'}),
  ('Which date and which end date?', {'date', 'end_date'}),
  ('What are the guest names?', {'guestNames'}),
  ('Could you tell me the Hotel ID?', {'hotel_id'}),
  ('Which `hotel_id` should I use?', {'hotel_id'}),
  ('What is the search text?', {'q'}),
  ('Which q?', {'q'}),
  ('Which to?', {'to'}),
  ('What do you want to do?', set()),
  ('Which bed kind?', set()),
  ('What kind of bed?', {'kind_of_bed'}),
  ('I have the date. Which hotel id?', {'hotel_id'}),
  ('I need the end date. Could you help?', {'end_date'}),
  ('Could you tell me more?', set()),
  ('', set()),
])
def test_slots_by_words(stay, text, slots):
  assert asked_slots(text, stay) == slots


def test_every_parameter_can_be_asked_for_by_its_name(stay):
  for name in stay.parameters:
    assert asked_slots(f'Which {" ".join(words(name))}?', stay) == {name}


@pytest.mark.parametrize(('text', 'asks'), [
  ('Which date?', True), ('Which one? I wait.', True), ('"Which?"', True), ('Really?!', True), ('?', True),
  ('It is https://a.example/find?q=1.', False), ('Done.', False), ('', False),
])
def test_questions_end_in_a_question_mark(text, asks):
  assert is_question(text) == asks


@given(st.text())
def test_total(text):
  words(text)
  assert '?' in text or not is_question(text)
