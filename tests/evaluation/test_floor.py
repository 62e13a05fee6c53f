from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.evaluation import floor
from inftool_jax.types import Call, Message, Result, Scenario, Task, Tool, View


def tool(name, description, properties, required=()):
  return Tool(name, description, {'type': 'object', 'properties': properties, 'required': list(required)}, None, 'shop', 'read', ())


GET = tool('get_weather', 'Get the weather of a city.', {'city': {'type': 'string'}, 'days': {'type': 'integer'},
           'unit': {'type': 'string', 'enum': ['celsius', 'kelvin']}, 'hourly': {'type': 'boolean'}}, ('city',))
BOOK = tool('book_room', 'Book a meeting room.', {'room_id': {'type': 'string'}, 'price': {'type': 'number'}}, ('room_id',))


def speak(messages):
  task = Task('t', 'single', (BOOK, GET), Scenario(''), (), (), {}, {}, 0)
  return asyncio.run(floor.Floor(task).speak(View(tuple(messages)), 0))


@pytest.mark.parametrize(('text', 'call'), [
  ('Get the weather, city Rome, days 3.', Call('get_weather', {'city': 'Rome', 'days': 3})),
  ('What is the weather? The city is "Los Alamos", in Kelvin', Call('get_weather', {'city': 'Los Alamos', 'unit': 'kelvin'})),
  ('weather for city: New York please, hourly', Call('get_weather', {'city': 'New York', 'hourly': True})),
  ('get weather for city Oslo, not hourly', Call('get_weather', {'city': 'Oslo', 'hourly': False})),
  ('Please book a room with room id rm_4k2z9a at price 12.5.', Call('book_room', {'room_id': 'rm_4k2z9a', 'price': 12.5})),
])
def test_copies_what_follows_the_name(text, call):
  assert speak([Message('user', text)]).calls == (call,)


def test_declines_what_shares_no_words():
  message = speak([Message('user', 'Translate this poem into French')])
  assert message.calls == ()
  assert message.content == floor.DECLINE


def test_never_asks_for_what_is_missing():
  assert speak([Message('user', 'Get the weather')]).calls == (Call('get_weather', {}),)


@pytest.mark.parametrize(('result', 'text'), [
  (Result('', {'city': 'Rome', 'wind_speed': 7, 'rain': True}), 'The wind speed is 7.'),
  (Result('{"sun": 0.5, "rain": 2}'), 'The sun is 0.5.'),
  (Result('', {'items': [{'name': 'a', 'x': 1}]}), 'The name is a.'),
  (Result('', []), 'Done.'),
  (Result('mild'), 'The result is mild.'),
  (Result('{"error": "no"}', is_error=True), floor.DECLINE),
])
def test_answers_with_the_field_the_request_names_or_the_first(result, text):
  asked = Message('user', 'What is the weather like, wind speed and all?')
  assert speak([asked, Message('assistant', calls=(Call('get_weather', {}),)), Message('tool', results=(result,))]).content == text


@given(st.text())
@settings(max_examples=60, deadline=None)
def test_total(text):
  reply = speak([Message('user', text)])
  assert reply.content == floor.DECLINE or len(reply.calls) == 1
