"""Llama 3's form of tool calls: parser, tokenizer, and real templates where they are installed."""

from __future__ import annotations

import importlib.util
import json
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.chat import hermes, llama3
from inftool_jax.chat.calls import ParseError
from inftool_jax.chat.parser import parse
from inftool_jax.errors import CheckpointError
from inftool_jax.types import Call, Message, Result
from tests.chat.test_parser import values
from tests.support.chats import LLAMA_TEMPLATE, LLAMA_TOKENS, TOOLS, llama_tokenizer

USER = Message('user', 'How is ord_k3v7qd?')
CALL = Message('assistant', calls=(Call('get_order', {'order_id': 'ord_k3v7qd'}),))
BOTH = Message('assistant', calls=(Call('get_order', {'order_id': 'a'}), Call('get_order', {'order_id': 'é"2; {'})))
RESULT = Message('tool', results=(Result('{"status": "open"}'),))
CLOSING = Message('assistant', 'It is open.')
CODES = typing.get_args(ParseError)


@pytest.fixture(scope='module')
def llama(tmp_path_factory):
  return llama_tokenizer(tmp_path_factory.mktemp('llama'))


def read(text: str) -> Message:
  return parse(text, 'stop', llama3)


@pytest.mark.parametrize(('text', 'code'), [
  ('{"name": "f", "parameters": {}', 'bad_json'),
  ('{"name": "f", "parameters": {}} and more', 'bad_json'),
  ('{"name": "f", "parameters": {}};', 'bad_json'),
  ('{"name": "f", "parameters": {}} {"name": "f", "parameters": {}}', 'bad_json'),
  ('<|python_tag|>f.call(x="1")', 'bad_json'),
  ('<|python_tag|>', 'bad_json'),
  ('{"name": "f", "parameters": {"x": NaN}}', 'bad_json'),
  ('{"a":' * 10_000, 'too_deep'),
  ('{"name": "f", "name": "g", "parameters": {}}', 'duplicate_key'),
  ('{"name": "f", "parameters": {}}; 3', 'not_an_object'),
  ('{"total": 3}', 'missing_name'),
  ('{"name": "f", "arguments": {}}', 'bad_arguments'),
  ('{"name": "f", "parameters": "{}"}', 'bad_arguments'),
  ('{"type": "function", "name": "f", "parameters": {}}', 'unknown_key'),
  ('It is open.<|eot_id|>', 'stray_tag'),
  ('{"name": "f", "parameters": {"x": "<|python_tag|>"}}', 'stray_tag'),
  ('Yes<|start_header_id|>user<|end_header_id|>', 'stray_tag'),
  ('{"name": "f", "parameters": {}}<|eom_id|><|start_header_id|>ipython<|end_header_id|>\n\n3', 'writes_tool_response'),
])
def test_malformed_text_has_its_code_and_keeps_its_text(text, code):
  assert read(text) == Message('assistant', content=text, error=code)


def test_text_or_calls():
  assert read(' It costs {"a": 1}. ') == Message('assistant', 'It costs {"a": 1}.')
  assert read('\n{"name": "f", "parameters": {"x": 1}}\n').calls == (Call('f', {'x': 1}),)
  assert read('<|python_tag|> {"parameters": {}, "name": "f"}').calls == (Call('f', {}),)
  assert read('{"name": "f", "parameters": {"x": ";"}};\n{"name": "g", "parameters": {}}').calls == (Call('f', {'x': ';'}), Call('g', {}))
  assert parse('{"name": "f", "parameters": {}}', 'length', llama3).error == 'truncated'


marks = (*LLAMA_TOKENS, '<|begin_of_text|>')
made = st.lists(st.builds(Call, st.text(min_size=1), st.dictionaries(st.text(), values, max_size=3)), min_size=1, max_size=3)


@given(made, st.booleans())
def test_what_is_written_is_read(calls, tagged):
  text = '<|python_tag|>' * tagged + '; '.join(json.dumps({'name': c.tool, 'parameters': c.arguments}) for c in calls)
  if not any(mark in text.removeprefix('<|python_tag|>') for mark in marks):
    assert read(text) == Message('assistant', calls=tuple(calls))


fragments = st.sampled_from([
  *marks, '{', '}', '[', '"', ':', ';', '\\', '\n', '"name"', '"parameters"', 'ipython', 'NaN', '1', '\ud800',
  '{"name": "f", "parameters": {}}',
])


@given(st.lists(fragments | st.text(max_size=3), max_size=40).map(''.join), st.sampled_from(['stop', 'length', 'deadline', 'scripted']))
def test_any_text_gives_a_message(text, finish):
  message = parse(text, finish, llama3)
  assert message.role == 'assistant'
  if message.error:
    assert message.error in CODES and (message.content, message.calls) == (text, ())
  else:
    assert not any(mark in message.content for mark in marks) and not (message.content and message.calls)
    json.dumps([dict(c.arguments) for c in message.calls], allow_nan=False)


def test_the_template_says_which_form_it_is(llama, tokenizer, tmp_path):
  assert (llama.format, tokenizer.format) == (llama3, hermes)
  mute = '{% for m in messages %}{{ m.role + ":" + m.content + "<|eot_id|>" }}{% endfor %}'
  mute += '{% if add_generation_prompt %}assistant:{% endif %}'
  with pytest.raises(CheckpointError, match='no form that can be read; have Hermes .*, Llama 3'):
    llama_tokenizer(tmp_path / 'mute', mute)
  tagged = LLAMA_TEMPLATE.replace("""'{"name": "' + call.name + '", "parameters": '""", "'<function=' + call.name + '>'")
  with pytest.raises(CheckpointError, match='<function=probe>.*no form that can be read'):
    llama_tokenizer(tmp_path / 'other', tagged)
  for broken in ('{% for', '{{ raise_exception("only odd turns") }}'):
    with pytest.raises(CheckpointError, match='chat template in .* cannot be used'):
      llama_tokenizer(tmp_path / 'broken', broken)


def test_pieces_add_up_to_the_full_rendering(llama):
  ids = llama.prompt([USER], TOOLS) + llama.encode_turn(CALL) + llama.suffix([RESULT]) + llama.encode_turn(CLOSING)
  full = llama.render_text([USER, CALL, RESULT, CLOSING], TOOLS)
  assert ids == llama.encode_text(full) and llama.decode(ids) == full
  assert full.count('<|begin_of_text|>') == 1 and '"create_order"' in full
  assert '<|start_header_id|>ipython<|end_header_id|>\n\n"{\\"status\\": \\"open\\"}"<|eot_id|>' in full


@pytest.mark.parametrize('message', [CALL, BOTH, CLOSING])
def test_a_turn_comes_back_from_its_tokens(llama, message):
  ids = llama.encode_turn(message)
  assert ids[-1] == llama.end_of_turn == llama.encode_text('<|eot_id|>')[0]
  assert parse(llama.decode_turn(ids), 'stop', llama.format) == message


def test_a_call_may_end_with_the_token_that_asks_for_a_result(llama):
  (end,) = llama.encode_text('<|eom_id|>')
  assert llama.stop_ids[:2] == (llama.end_of_turn, end)
  assert parse(llama.decode_turn([*llama.encode_turn(CALL)[:-1], end]), 'stop', llama.format) == CALL


def test_text_beside_a_call_is_refused_where_the_template_would_drop_it(llama):
  with pytest.raises(ValueError, match='not both'):
    llama.encode_turn(Message('assistant', 'Now.', CALL.calls))


def test_a_prompt_does_not_know_what_day_it_is(llama):
  assert 'Date: 26 Jul 2024' in llama.decode(llama.prompt([USER], ()))


TRL = importlib.util.find_spec('trl')
REAL = Path(TRL.origin).parent / 'chat_templates' if TRL and TRL.origin else None


@pytest.mark.skipif(REAL is None, reason='the package trl, which carries real chat templates, is not installed')
@pytest.mark.parametrize(('name', 'form'), [
  ('qwen2_5', hermes), ('qwen3', hermes), ('qwen3_instruct_2507', hermes), ('llama3_1', llama3), ('llama3_2', llama3),
])
def test_real_templates(tmp_path, name, form):
  tokenizer = llama_tokenizer(tmp_path, (REAL / f'{name}.jinja').read_text())
  assert tokenizer.format is form
  for message in (CALL, BOTH, CLOSING):
    assert parse(tokenizer.decode_turn(tokenizer.encode_turn(message)), 'stop', form) == message
  ids = tokenizer.prompt([USER], TOOLS) + tokenizer.encode_turn(CALL) + tokenizer.suffix([RESULT]) + tokenizer.encode_turn(CLOSING)
  text = tokenizer.decode(ids)
  assert '"create_order"' in text and text.count('<|begin_of_text|>') == (form is llama3)
  if name != 'qwen3':  # which puts an empty thought before a last turn, and takes it out of the history
    full = tokenizer.render_text([USER, CALL, RESULT, CLOSING], TOOLS)
    assert ids == tokenizer.encode_text(full.removesuffix('\n'))


@pytest.mark.skipif(REAL is None, reason='the package trl, which carries real chat templates, is not installed')
@pytest.mark.parametrize('name', ['llama3', 'qwen3_5_nothink', 'gemma3'])
def test_real_templates_of_other_forms_are_refused(tmp_path, name):
  with pytest.raises(CheckpointError, match='chat template'):
    llama_tokenizer(tmp_path, (REAL / f'{name}.jinja').read_text())
