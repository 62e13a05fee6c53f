import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax import specs
from inftool_jax.specs import functions, mcp
from inftool_jax.specs.documents import Document

SCHEMA = {'type': 'object', 'properties': {'city': {'type': 'string', 'description': 'Where.'}}, 'required': ['city']}
OUT = {'type': 'object', 'required': ['city'], 'properties': {'city': {'type': 'string', 'description': 'Where.'}}}
CHAT = {'type': 'function', 'function': {'name': 'get weather', 'description': 'Tells the weather.', 'parameters': SCHEMA, 'strict': True}}
RESPONSES = {'type': 'function', 'name': 'get weather', 'description': 'Tells the weather.', 'parameters': SCHEMA}
ANTHROPIC = {'name': 'get weather', 'description': 'Tells the weather.', 'input_schema': SCHEMA}


def read(*values, stem='file_stem'):
  parts = [Document(f'/{i}' if len(values) > 1 else '', v) for i, v in enumerate(values, start=1)]
  assert functions.is_functions(parts[0].value)
  return functions.read(parts, stem)


@pytest.mark.parametrize('entry', [CHAT, RESPONSES, ANTHROPIC, {k: v for k, v in RESPONSES.items() if k != 'type'}])
def test_every_form_of_one_function(entry):
  for value, pointer in [([entry], '/0'), ({'tools': [entry]}, '/tools/0'), ({'functions': [entry]}, '/functions/0'), (entry, '')]:
    operation, = read(value).operations
    assert (operation.server, operation.domain, operation.name, operation.description, operation.effect, operation.pointer) == (
      'file_stem', 'other', 'get_weather', 'Tells the weather.', 'read', pointer)
    assert operation.input_schema == OUT and operation.output_schema is None


def test_a_holder_may_name_the_server():
  assert [o.server for o in read({'name': 'My Weather', 'tools': [CHAT]}).operations] == ['my_weather']


def test_dumps_of_mcp_servers_are_none():
  dump = {'tools': [{'name': 'x', 'inputSchema': SCHEMA}]}
  assert not functions.is_functions(dump) and mcp.is_mcp(dump)
  assert not functions.is_functions([{'name': 'x', 'inputSchema': SCHEMA, 'parameters': {}}])


def test_a_definition_told_again_is_one_tool_with_its_origins():
  other = {**RESPONSES, 'description': 'Tells it otherwise.'}
  operations = read({'tools': [CHAT]}, {'tools': [other, RESPONSES]}, [CHAT]).operations
  assert [(o.pointer, o.repeats) for o in operations] == [('/1/tools/0', ('/2/tools/1', '/3/0')), ('/2/tools/0', ())]


def test_what_is_no_function_is_told_and_left_out():
  reading = read([CHAT, {'type': 'web_search_20250305', 'name': 'web_search'}, 7, {'type': 'function'}, {'name': 'x', 'parameters': []}])
  assert len(reading.operations) == 1
  assert [p for p, _ in reading.problems] == ['/1', '/2', '/3', '/4']
  assert 'web_search_20250305' in reading.problems[0][1]


def test_loose_dialects_are_read():
  schema = {'type': 'dict', 'required': ['n', 'm'], 'properties': {'n': {'type': 'float'}}}
  operation, = read([{'name': 'f', 'parameters': schema}]).operations
  assert operation.input_schema == {'type': 'object', 'required': ['n', 'm'], 'properties': {'n': {'type': 'number'}, 'm': {}}}


def test_files_of_lists_and_of_lines(tmp_path):
  (tmp_path / 'a.json').write_text(json.dumps([CHAT]))
  lines = (json.dumps({'messages': [], 'tools': [CHAT]}), 'no', json.dumps([CHAT, ANTHROPIC]), json.dumps(CHAT))
  (tmp_path / 'b.jsonl').write_text('\n'.join(lines))
  ingest = specs.load(tmp_path)
  assert [(t.name, t.server, [o.pointer for o in t.lineage]) for t in ingest.tools] == [
    ('get_weather', 'a', ['/0']), ('b_get_weather', 'b', ['/1/tools/0', '/3/0', '/3/1', '/4'])]
  assert [(c.file, c.format, c.tools, c.merged, c.problems) for c in ingest.read] == [
    ('a.json', 'functions', 1, 0, 0), ('b.jsonl', 'functions', 1, 3, 1)]
  assert [str(p).split(':')[0] for p in ingest.problems] == ['b.jsonl#/2']


def test_equal_stems_are_two_servers(tmp_path):
  for folder in ('x', 'y'):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'tools.json').write_text(json.dumps([CHAT]))
  assert len({t.server for t in specs.load(tmp_path).tools}) == 2


JSON_VALUES = st.recursive(
  st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.sampled_from(['object', 'string', 'function', '#/a']),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(['name', 'type', 'function', 'parameters', 'input_schema', 'properties', 'required', 'tools', '$ref', 'allOf', 'enum']),
    inner, max_size=4), max_leaves=12)


@given(st.lists(JSON_VALUES, max_size=4))
def test_any_list_becomes_valid_tools_and_problems(values):
  reading = functions.read([Document('', [CHAT, *values])], 'x')
  assert reading.operations
  for operation in reading.operations:
    jsonschema.Draft202012Validator.check_schema(operation.input_schema)
    json.dumps(operation.input_schema)
