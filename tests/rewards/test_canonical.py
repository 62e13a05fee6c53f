from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.rewards.canonical import canonical, canonical_arguments, canonical_text, canonical_value
from inftool_jax.types import Call

JSON_VALUES = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8)

SAME = [
  ({'seats': 5}, {}),
  ({'seats': 5.0}, {}),
  ({'seats': None}, {}),
  ({'price': None}, {}),
  ({'price': 7}, {'price': 7.0}),
  ({'start': '2031-04-17'}, {'start': '2031-04-17T00:00:00Z'}),
  ({'start': '2031-04-17T02:30:00+02:00'}, {'start': '2031-04-17t00:30:00.000z'}),
  ({'start': '2031-04-17 00:30'}, {'start': '2031-04-16T22:30:00-0200'}),
  ({'layout': 'circle'}, {'layout': 'Circle'}),
  ({'layout': 'ROWS'}, {'layout': 'rows'}),
  ({'tags': ['a', 'b']}, {'tags': ['b', 'a']}),
  ({'owner': {'name': 'Ada', 'vip': True}}, {'owner': {'name': 'Ada'}}),
]
DIFFERENT = [
  ({'seats': 6}, {}),
  ({'seats': 6}, {'seats': '6'}),
  ({'seats': 1}, {'seats': True}),
  ({'price': 7}, {'price': 7.5}),
  ({'start': '2031-04-17T00:00:00Z'}, {'start': '2031-04-17T00:00:00.001Z'}),
  ({'start': '2031-04-17T00:00:00Z'}, {'start': '2031-04-17T00:00:00+01:00'}),
  ({'end_date': '2031-04-17'}, {'end_date': '2031-04-17T00:00:00Z'}),
  ({'end_date': '2031-04-17'}, {'end_date': '2031-04-18'}),
  ({'layout': 'circle'}, {'layout': 'rows'}),
  ({'unit': 'm'}, {'unit': 'M'}),
  ({'route': [1, 2]}, {'route': [2, 1]}),
  ({'tags': ['a', 'b']}, {'tags': ['a', 'c']}),
  ({'quiet': True}, {}),
  ({'note': None}, {}),  # null is allowed beside another default: it means something
  ({'room_id': None}, {}),  # required
  ({'room_id': 'a'}, {'room_id': 'A'}),
  ({'room_id': 'a'}, {'room_id': 'a '}),
  ({'owner': {'name': 'Ada', 'vip': False}}, {'owner': {'name': 'Ada'}}),
  ({'unknown': None}, {}),
]


@pytest.mark.parametrize(('a', 'b'), SAME)
def test_equivalents_have_one_text(booking, a, b):
  assert canonical(Call('book_room', a, 'x'), booking) == canonical(Call('book_room', b, 'y'), booking)


@pytest.mark.parametrize(('a', 'b'), DIFFERENT)
def test_other_meanings_have_other_texts(booking, a, b):
  assert canonical(Call('book_room', a), booking) != canonical(Call('book_room', b), booking)


def test_without_the_tool_arguments_are_plain_json(booking):
  assert canonical(Call('f', {'seats': 5}), booking) != canonical(Call('f', {}), booking)
  assert canonical(Call('f', {'a': 5.0, 'b': None}), None) == canonical(Call('f', {'b': None, 'a': 5}), None)
  assert canonical(Call('f', {}), None) != canonical(Call('g', {}), None)


def test_arguments_leave_out_defaults(booking):
  assert canonical_arguments(Call('book_room', {'seats': 5, 'quiet': True, 'price': None}), booking) == {'quiet': 'true'}
  assert canonical_arguments(Call('book_room', ['no object']), booking) == {}


def test_references_and_unions_are_followed():
  schema = {
    '$defs': {'when': {'type': 'string', 'format': 'date-time'}},
    'properties': {
      'at': {'anyOf': [{'$ref': '#/$defs/when'}, {'type': 'null'}], 'default': None},
      'shape': {'oneOf': [
        {'properties': {'kind': {'const': 'box'}, 'side': {'default': 1}}, 'required': ['kind']},
        {'properties': {'kind': {'const': 'ball'}, 'radius': {'default': 2}}, 'required': ['kind']},
      ]},
      'all': {'allOf': [{'type': 'array'}, {'uniqueItems': True}]},
    },
  }
  assert canonical_value({'at': None}, schema) == {}
  assert canonical_value({'at': '2031-01-01'}, schema) == {'at': '2031-01-01T00:00:00Z'}
  assert canonical_value({'shape': {'kind': 'ball', 'radius': 2, 'side': 1}}, schema) == {'shape': {'kind': 'ball', 'side': 1}}
  assert canonical_value({'all': [2, 1]}, schema) == {'all': [1, 2]}


def test_an_order_the_schema_asks_for_is_kept():
  assert canonical_value([2, 1], {'uniqueItems': True, 'x-unordered': False}) == [2, 1]
  assert canonical_value([2, 1, 1], {'x-unordered': True}) == [1, 1, 2]


@pytest.mark.parametrize('text', ['2031-02-30T00:00:00Z', '2031-01-01T23:59:60Z', '0001-01-01T00:00:00+14:00', 'tomorrow', ''])
def test_what_is_no_moment_stays_as_it_is(text):
  assert canonical_value(text, {'format': 'date-time'}) == text


def test_years_keep_four_digits():
  assert canonical_value('0999-01-01', {'format': 'date-time'}) == '0999-01-01T00:00:00Z'


@pytest.mark.parametrize('schema', [
  True, None, 'x', {'$ref': '#'}, {'anyOf': [{'$ref': '#'}, {'$ref': '#'}]}, {'type': 3, 'required': True, 'properties': []},
  {'allOf': [{'$ref': '#'}]}, {'properties': {'a': {'$ref': '#'}}, 'anyOf': [{'$ref': '#'}]}, {'oneOf': 7, '$ref': '#/nowhere'},
])
@given(value=JSON_VALUES)
@settings(max_examples=15, deadline=None)
def test_total_on_odd_schemas(schema, value):
  assert isinstance(canonical_text(canonical_value(value, schema)), str)


@given(JSON_VALUES)
@settings(max_examples=60, deadline=None)
def test_idempotent(value):
  schema = {'uniqueItems': True, 'format': 'date-time', 'items': {'format': 'uuid'}}
  once = canonical_value(value, schema)
  assert canonical_text(canonical_value(once, schema)) == canonical_text(once)


@given(JSON_VALUES.filter(lambda v: 'NaN' not in json.dumps(v)), JSON_VALUES)
@settings(max_examples=80, deadline=None)
def test_plain_text_tells_values_apart_as_json_does(a, b):
  def strict(value):
    if isinstance(value, dict):
      return ('object', tuple(sorted((k, strict(v)) for k, v in value.items())))
    if isinstance(value, list):
      return ('array', tuple(strict(v) for v in value))
    return ('number', value) if isinstance(value, (int, float)) and not isinstance(value, bool) else (type(value).__name__, value)
  assert canonical_text(a) == canonical_text(json.loads(json.dumps(a)))
  assert (canonical_text(a) == canonical_text(b)) == (repr(strict(a)) == repr(strict(b)) or strict(a) == strict(b))


def test_nesting_and_size_do_not_break_it():
  deep: list = []
  for _ in range(10_000):
    deep = [deep]
  huge = 10**5000
  assert canonical(Call('f', {'a': deep}), None) != canonical(Call('f', {'a': [deep]}), None)
  assert canonical_text(huge) != canonical_text(huge + 1)
  assert canonical_text(float('nan')) == canonical_text(float('nan')) != canonical_text('NaN')
  assert canonical_text(float('inf')) != canonical_text(float('-inf'))
