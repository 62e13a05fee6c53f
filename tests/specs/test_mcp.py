from inftool_jax.specs import mcp
from inftool_jax.specs.documents import Document

TOOL = {'name': 'read file', 'title': 'Read', 'inputSchema': {
  '$schema': 'http://json-schema.org/draft-07/schema#', 'type': 'object', '$defs': {'P': {'type': 'string'}},
  'properties': {'path': {'$ref': '#/$defs/P', 'description': 'Where.'}}, 'required': ['path', 'mode']}}


def read(value, stem='file_stem'):
  return mcp.read([Document('', value)], stem)


def test_one_server():
  operation, = read({'server': 'Disk-Tools', 'category': 'Files', 'tools': [TOOL]}).operations
  assert (operation.server, operation.domain, operation.name, operation.description, operation.pointer) == (
    'disk_tools', 'files', 'read_file', 'Read', '/tools/0')
  assert operation.input_schema == {
    'type': 'object', 'required': ['path', 'mode'], 'properties': {'path': {'type': 'string', 'description': 'Where.'}, 'mode': {}}}
  assert operation.output_schema is None and operation.effect == 'read'


def test_raw_results_bare_lists_and_lists_of_servers():
  assert [(o.server, o.pointer) for o in read({'jsonrpc': '2.0', 'id': 1, 'result': {'tools': [TOOL]}}).operations] == [
    ('file_stem', '/result/tools/0')]
  assert [(o.server, o.pointer) for o in read({'tools': [TOOL]}).operations] == [('file_stem', '/tools/0')]
  assert [o.server for o in read([TOOL]).operations] == ['file_stem']
  servers = [{'server': 'a', 'tools': [TOOL]}, {'name': 'b', 'domain': 'D', 'tools': [TOOL]}]
  assert [(o.server, o.domain, o.pointer) for o in read(servers).operations] == [('a', 'other', '/0/tools/0'), ('b', 'd', '/1/tools/0')]


def test_effect_and_output():
  tool = {**TOOL, 'outputSchema': {'type': 'object', 'properties': {'id': {'type': 'string'}}}, 'annotations': {'effect': 'create'}}
  reading = read({'tools': [tool, {**TOOL, 'annotations': {'effect': 'x'}}, {**TOOL, 'annotations': None}]})
  assert [o.effect for o in reading.operations] == ['create', 'read', 'read']
  assert reading.operations[0].output_schema == {'type': 'object', 'properties': {'id': {'type': 'string'}}}
  assert [p for p, _ in reading.problems] == ['/tools/1/annotations/effect']


def test_bad_tools_are_told_and_left_out():
  reading = read({'tools': [TOOL, {'name': 3}, {'name': 'x', 'inputSchema': []}, 7]})
  assert len(reading.operations) == 1
  assert [p for p, _ in reading.problems] == ['/tools/1', '/tools/2', '/tools/3']


def test_a_tool_without_an_input_schema_takes_no_arguments():
  assert read({'tools': [{'name': 'ping'}]}).operations[0].input_schema == {'type': 'object', 'properties': {}}
