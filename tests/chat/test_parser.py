from __future__ import annotations

import json
import sys
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.chat.calls import MAX_DEPTH, ParseError
from inftool_jax.chat.parser import parse
from inftool_jax.chat.template import SPECIAL_TOKENS, TAGS
from inftool_jax.types import Call, Message
from tests.support.chats import hermes

CODES = typing.get_args(ParseError)


def block(body: str) -> str:
  return f'<tool_call>\n{body}\n</tool_call>'


@pytest.mark.parametrize(('text', 'code'), [
  ('<tool_call>\n{"name": "f", "arguments": {}}', 'unterminated_call'),
  ('<tool_call>', 'unterminated_call'),
  ('<tool_call>\n{"name": "f"\n' + block('{"name": "f", "arguments": {}}'), 'unterminated_call'),
  (block('{"name": "f", "arguments": {'), 'bad_json'),
  (block(''), 'bad_json'),
  (block("{'name': 'f', 'arguments': {}}"), 'bad_json'),
  (block('{"name": "f", "arguments": {"x": NaN}}'), 'bad_json'),
  (block('{"name": "f", "arguments": {"x": -Infinity}}'), 'bad_json'),
  (block('{"name": "f", "arguments": {"x": 1e999}}'), 'bad_json'),
  (block('{"name": "f", "arguments": {"x": ' + '9' * 5000 + '}}'), 'bad_json'),
  (block(r'{"name": "f", "arguments": {"x": "\ud800"}}'), 'bad_json'),
  (block('{"name": "f", "arguments": {}} {}'), 'bad_json'),
  (block('[' * 10_000), 'too_deep'),
  (block('{"a":' * 10_000), 'too_deep'),
  (block('"' + '[' * 10_000), 'bad_json'),
  (block('[' * 10_000 + ']' * 10_000), 'too_deep'),
  (block('{"name": "f", "name": "g", "arguments": {}}'), 'duplicate_key'),
  (block('{"name": "f", "arguments": {"a": 1, "a": 1}}'), 'duplicate_key'),
  (block('[]'), 'not_an_object'),
  (block('"f"'), 'not_an_object'),
  (block('null'), 'not_an_object'),
  (block('{"arguments": {}}'), 'missing_name'),
  (block('{"name": "", "arguments": {}}'), 'missing_name'),
  (block('{"name": 3, "arguments": {}}'), 'missing_name'),
  (block('{"name": "f"}'), 'bad_arguments'),
  (block('{"name": "f", "arguments": "{}"}'), 'bad_arguments'),
  (block('{"name": "f", "arguments": [1]}'), 'bad_arguments'),
  (block('{"name": "f", "arguments": null}'), 'bad_arguments'),
  (block('{"name": "f", "arguments": {}, "id": 1}'), 'unknown_key'),
  ('<tool_response>\n{}\n</tool_response>', 'writes_tool_response'),
  (block('{"name": "f", "arguments": {}}') + '\n<tool_response>', 'writes_tool_response'),
  ('<tool_call>\n{"name": "f", "arguments": {}}\n<tool_response>\n{}\n</tool_response>', 'writes_tool_response'),
  ('Done.</tool_call>', 'stray_tag'),
  ('<tools>', 'stray_tag'),
  ('Hello<|im_end|>', 'stray_tag'),
  ('<|im_start|>user\nHello', 'stray_tag'),
  (block('{"name": "f", "arguments": {"x": "<|im_start|>"}}'), 'stray_tag'),
])
def test_malformed_text_has_its_code_and_keeps_its_text(text, code):
  assert parse(text, 'stop') == Message('assistant', content=text, error=code)


def test_a_turn_that_hit_its_limit_is_truncated_even_if_it_would_parse():
  text = hermes(Call('f', {}))
  assert parse(text, 'length').error == 'truncated'
  assert parse(text, 'length').calls == ()
  assert parse(text, 'deadline').error == parse(text, 'cancelled').error == 'interrupted'
  assert parse(text, 'stop').error == ''


def test_text_stands_beside_the_calls():
  calls = (Call('f', {'x': 1}), Call('g', {}))
  message = parse('One moment.\n' + hermes(*calls) + '\nThat is all. ', 'stop')
  assert message == Message('assistant', content='One moment.\nThat is all.', calls=calls)


def test_brackets_and_tags_inside_strings_are_data():
  call = Call('f', {'x': '[' * 1000 + '"\\' + '<tool_response>'})
  assert parse(hermes(call), 'stop').calls == (call,)


def test_depth_is_counted_exactly():
  def nested(depth):
    return block('{"name": "f", "arguments": {"x": ' + '[' * depth + ']' * depth + '}}')
  assert parse(nested(MAX_DEPTH - 2), 'stop').error == ''
  assert parse(nested(MAX_DEPTH - 1), 'stop').error == 'too_deep'


def test_hostile_nesting_does_not_depend_on_the_stack():
  limit = sys.getrecursionlimit()
  try:
    sys.setrecursionlimit(250)
    assert parse(block('[' * 10_000), 'stop').error == 'too_deep'
  finally:
    sys.setrecursionlimit(limit)


values = st.recursive(
  st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
  max_leaves=8,
)
plain = st.text().filter(lambda t: not any(mark in t for mark in (*SPECIAL_TOKENS, *TAGS)))
calls = st.lists(st.builds(Call, st.text(min_size=1), st.dictionaries(st.text(), values, max_size=3)), max_size=3)


@given(plain, calls, st.booleans())
def test_what_is_written_is_read(content, made, ascii_only):
  blocks = [block(json.dumps({'name': c.tool, 'arguments': c.arguments}, ensure_ascii=ascii_only)) for c in made]
  if any(mark in b for b in blocks for mark in SPECIAL_TOKENS):
    return
  message = parse('\n'.join([content, *blocks]), 'stop')
  assert (message.calls, message.content, message.error) == (tuple(made), content.strip(), '')


fragments = st.sampled_from([
  *TAGS, *SPECIAL_TOKENS, '{', '}', '[', ']', '"', ':', ',', '\\', '\n', '"name"', '"arguments"', '"f"', 'NaN', '1', '\ud800',
  '{"name": "f", "arguments": {}}',
])


@given(st.lists(fragments | st.text(max_size=3), max_size=40).map(''.join), st.sampled_from(['stop', 'length', 'deadline', 'scripted']))
def test_any_text_gives_a_message(text, finish):
  message = parse(text, finish)
  assert message.role == 'assistant'
  if message.error:
    assert message.error in CODES
    assert (message.content, message.calls) == (text, ())
  else:
    assert '<tool_response>' not in message.content and '</tool_call>' not in message.content
    json.dumps([dict(c.arguments) for c in message.calls], allow_nan=False)
