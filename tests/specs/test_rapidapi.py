from inftool_jax.specs import rapidapi
from inftool_jax.specs.documents import Document

ROW = {
  'category_name': 'Video_Images', 'tool_name': 'Clip Finder', 'api_name': 'Find clips /v2', 'api_description': 'Finds clips.',
  'method': 'get',
  'required_parameters': [{'name': 'q', 'type': 'STRING', 'description': 'Words', 'default': 'cats'}],
  'optional_parameters': [
    {'name': 'limit', 'type': 'NUMBER', 'default': '10'}, {'name': 'safe', 'type': 'BOOLEAN', 'default': 'false'},
    {'name': 'day', 'type': 'DATE (YYYY-MM-DD)', 'default': ''}, {'name': 'kind', 'type': 'ENUM', 'enum': ['a', 'b']},
    {'name': 'file', 'type': 'BINARY'}, {'name': 'odd', 'type': 'THING'}],
  'template_response': {'hits': [{'id': 'int', 'url': 'str', 'score': 'float', 'gone': 'NoneType', '_list_length': 3}],
                        'tags': 'list of str with length 4', 'none': 'empty list', 'next': None, 'n': 3},
}


def test_a_row():
  operation, = rapidapi.read([Document('/1', ROW)]).operations
  assert (operation.server, operation.domain, operation.name, operation.effect, operation.method, operation.pointer) == (
    'clip_finder', 'video_images', 'find_clips_v2', 'read', 'GET', '/1')
  assert operation.input_schema == {'type': 'object', 'required': ['q'], 'properties': {
    'q': {'type': 'string', 'description': 'Words', 'examples': ['cats']}, 'limit': {'type': 'number', 'default': 10},
    'safe': {'type': 'boolean', 'default': False}, 'day': {'type': 'string', 'format': 'date'},
    'kind': {'type': 'string', 'enum': ['a', 'b']},
    'file': {'type': 'string', 'contentEncoding': 'base64'}, 'odd': {}}}
  assert operation.output_schema == {'type': 'object', 'properties': {
    'hits': {'type': 'array', 'items': {'type': 'object', 'properties': {
      'id': {'type': 'integer'}, 'url': {'type': 'string'}, 'score': {'type': 'number'}, 'gone': {'type': 'null'}}}},
    'tags': {'type': 'array', 'items': {'type': 'string'}}, 'none': {'type': 'array'}, 'next': {'type': 'null'}, 'n': {'type': 'integer'}}}
  assert set(operation.locations.values()) == {'query'}


def test_stated_effect_method_and_path():
  rows = [{**ROW, 'effect': 'pure'}, {**ROW, 'effect': 'odd'}, {**ROW, 'method': 'POST', 'path': '/clips/{q}', 'x-effect': 'create'}]
  reading = rapidapi.read([Document(f'/{i}', r) for i, r in enumerate(rows)])
  assert [o.effect for o in reading.operations] == ['pure', 'read', 'create']
  assert [p for p, _ in reading.problems] == ['/1/effect']
  assert reading.operations[2].locations['q'] == 'path' and reading.operations[2].locations['limit'] == 'body'


def test_a_tool_with_a_list_of_endpoints():
  tool = {'tool_name': 'T', 'category_name': 'C', 'api_list': [
    {'name': 'One', 'description': 'First.', 'method': 'GET'}, 'no', {'name': 'Two'}]}
  reading = rapidapi.read([Document('', tool)])
  assert [(o.name, o.pointer) for o in reading.operations] == [('one', '/api_list/0'), ('two', '/api_list/2')]
  assert [p for p, _ in reading.problems] == ['/api_list/1']


def test_bad_rows_are_told_and_left_out():
  rows = [{'tool_name': 'T'}, {**ROW, 'required_parameters': [{}]}, {**ROW, 'template_response': '{"cut": '}, ROW]
  reading = rapidapi.read([Document('', rows)])
  assert [o.pointer for o in reading.operations] == ['/2', '/3']
  assert reading.operations[0].output_schema is None
  assert [p for p, _ in reading.problems] == ['/0', '/1', '/2/template_response']


def test_queries_repeat_their_endpoints():
  rows = [{'query': 'a', 'api_list': [ROW, {**ROW, 'api_name': 'two'}]}, {'query': 'b', 'api_list': [ROW]}]
  assert rapidapi.is_rapidapi(rows[0])
  for parts, prefix in [([Document('', rows)], ('/0', '/1')), ([Document(f'/{i}', r) for i, r in enumerate(rows, start=1)], ('/1', '/2'))]:
    reading = rapidapi.read(parts)
    assert [(o.name, o.pointer, o.repeats) for o in reading.operations] == [
      ('find_clips_v2', f'{prefix[0]}/api_list/0', (f'{prefix[1]}/api_list/0',)), ('two', f'{prefix[0]}/api_list/1', ())]
  assert [o.repeats for o in rapidapi.read([Document('', [ROW, ROW])]).operations] == [(), ()]  # rows of a crawl stay what they are
