import collections
import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from inftool_jax import specs
from inftool_jax.errors import SpecError
from inftool_jax.specs.compacting import length
from inftool_jax.types import Tool, from_json, to_json

REAL = Path(os.environ.get('INFTOOL_SPECS') or Path(__file__).parents[3] / 'shared' / 'specs')
ROW = {'tool_name': 'Shop', 'api_name': 'search', 'category_name': 'X', 'required_parameters': [], 'optional_parameters': []}


def openapi(title, *operations):
  return {'openapi': '3.0.0', 'info': {'title': title}, 'paths': {f'/{o}': {'get': {'operationId': o}} for o in operations}}


def write(folder, files):
  for name, value in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_folder_of_all_formats_told_by_content_alone(tmp_path):
  write(tmp_path, {
    'b/one.txt': openapi('Shop', 'search', 'list'),
    'a.yaml': 'swagger: "2.0"\ninfo: {title: Bank}\npaths:\n  /x:\n    get: {operationId: search}\n',
    'c.json': json.dumps(ROW) + '\n' + json.dumps({**ROW, 'api_name': 'Search'}),
    'd': {'server': 'shop', 'tools': [{'name': 'search'}]},
    'README.md': '# no', 'MANIFEST.json': {}, '.hidden': 'x', 'b/LICENSE': 'x'})
  ingest = specs.load([tmp_path])
  assert [(t.name, t.server, t.lineage[0].source) for t in ingest.tools] == [
    ('search', 'bank', 'a.yaml'), ('shop_search', 'shop', 'b/one.txt'), ('list', 'shop', 'b/one.txt'),
    ('shop_c_search', 'shop_c', 'c.json'), ('shop_c_search_2', 'shop_c', 'c.json'), ('shop_d_search', 'shop_d', 'd')]
  assert [(c.file, c.format, c.servers, c.tools, c.problems) for c in ingest.read] == [
    ('a.yaml', 'Swagger 2', 1, 1, 0), ('b/one.txt', 'OpenAPI 3', 1, 2, 0), ('c.json', 'RapidAPI', 1, 2, 0), ('d', 'MCP', 1, 1, 0)]
  assert ingest.problems == () and ingest == specs.load(tmp_path)


def test_one_server_may_be_spread_over_files_of_rows(tmp_path):
  write(tmp_path, {'1.json': [ROW], '2.json': [{**ROW, 'api_name': 'buy'}]})
  assert [t.server for t in specs.load([tmp_path]).tools] == ['shop', 'shop']


@pytest.mark.parametrize('bad', ['{"openapi": "3.0', 'plain words', '', '{"a": 1}', '[]', '[' * 50_000, 'swagger: "1.2"', 'a: &a [*a]'])
def test_one_bad_file_among_many_is_told_and_skipped(tmp_path, bad):
  write(tmp_path, {'good.json': openapi('Good', 'x'), 'bad.json': bad})
  for paths in ([tmp_path], [tmp_path / 'bad.json', tmp_path / 'good.json']):
    ingest = specs.load(paths)
    assert [t.name for t in ingest.tools] == ['x']
    assert [p.file for p in ingest.problems] == ['bad.json'] and ingest.problems[0].reason


def test_a_document_that_contains_itself_is_told_and_skipped(tmp_path):
  write(tmp_path, {'good.json': openapi('Good', 'x'), 'loop.yaml': (
    'openapi: 3.0.0\npaths: {/a: {get: {parameters: [{name: q, in: query, schema: &s {allOf: [*s]}}]}}}')})
  ingest = specs.load([tmp_path])
  assert [(p.file, p.reason) for p in ingest.problems] == [('loop.yaml', 'is nested too deeply')]


def test_a_pipe_among_the_files_is_told_and_skipped(tmp_path):
  write(tmp_path, {'good.json': openapi('Good', 'x')})
  os.mkfifo(tmp_path / 'pipe')
  assert [(p.file, p.reason) for p in specs.load([tmp_path]).problems] == [('pipe', 'is not a regular file')]


def test_operations_of_one_file_are_limited(tmp_path, monkeypatch):
  monkeypatch.setattr('inftool_jax.specs.ingest.MAX_OPERATIONS', 2)
  write(tmp_path, {'x.json': openapi('X', 'a', 'b', 'c', 'd')})
  ingest = specs.load([tmp_path])
  assert [t.name for t in ingest.tools] == ['a', 'b']
  assert [(p.pointer, p.reason.split(';')[0]) for p in ingest.problems] == [('/paths/~1c/get', 'is one operation more than 2')]


def test_dumps_of_live_servers_follow_the_files(tmp_path):
  write(tmp_path, {'good.json': openapi('Good', 'x')})
  ingest = specs.load([tmp_path], dumps={'mcp/live': {'server': 'Live', 'tools': [{'name': 'x', 'inputSchema': {}}]}})
  assert [(t.name, t.server, t.lineage[0].source) for t in ingest.tools] == [('x', 'good', 'good.json'), ('live_x', 'live', 'mcp/live')]
  assert [t.server for t in specs.load([], dumps={'live': {'tools': [{'name': 'x'}]}}).tools] == ['live']


def test_paths_that_cannot_be_used_are_named(tmp_path):
  write(tmp_path, {'file': 'x', 'good/x.json': openapi('Good', 'x'), 'empty/README.md': 'x', 'bad/x.json': '{"a": 1}'})
  for path, words in [('nowhere', 'does not exist'), ('file/below', 'cannot be read'), ('empty', 'holds no specification'),
                      ('bad', 'x.json: is not a specification'), ('file', 'no tool could be read')]:
    with pytest.raises(SpecError, match=re.escape(str(tmp_path / path))) as raised:
      specs.load([tmp_path / path])
    assert words in str(raised.value)
  with pytest.raises(SpecError, match='empty'):
    specs.load([tmp_path / 'good', tmp_path / 'empty'])
  with pytest.raises(SpecError, match='no specification paths'):
    specs.load([])


@pytest.mark.skipif(os.geteuid() == 0, reason='permissions do not bind the superuser')
def test_an_unreadable_path_is_named(tmp_path):
  write(tmp_path, {'x.json': openapi('X', 'x')})
  (tmp_path / 'x.json').chmod(0)
  with pytest.raises(SpecError, match='permission'):
    specs.load([tmp_path / 'x.json'])


def test_a_file_reached_twice_is_read_once(tmp_path):
  write(tmp_path, {'x.json': openapi('X', 'x')})
  assert len(specs.load([tmp_path, tmp_path / 'x.json', tmp_path]).tools) == 1


def test_stated_splits_are_carried(tmp_path):
  write(tmp_path, {'x.json': openapi('My Shop', 'x'), 'splits.json': {'my_shop': 'dev', 'other': 'test'}})
  ingest = specs.load([tmp_path])
  assert ingest.splits == {'my_shop': 'dev'}
  assert [str(p) for p in ingest.problems] == ['splits.json#/other: names a server that is not among the specifications']
  write(tmp_path, {'splits.json': {'my_shop': 'held out'}})
  with pytest.raises(SpecError, match='splits.json'):
    specs.load([tmp_path])


def test_the_bundled_specifications_ingest_without_a_problem():
  ingest = specs.load([specs.bundled_path()])
  assert ingest.problems == ()
  assert len(ingest.tools) >= 220 and len({t.server for t in ingest.tools}) >= 30


@pytest.fixture(scope='module')
def real():
  if not REAL.is_dir():
    pytest.skip(f'{REAL} is absent: set INFTOOL_SPECS to the folder of real specifications')
  return specs.load([REAL])


def test_real_documents_all_ingest(real):
  formats = collections.Counter(c.format for c in real.read)
  assert formats['OpenAPI 3'] + formats['Swagger 2'] == 204 and formats['RapidAPI'] == 1 and formats['MCP'] == 14
  assert sum(c.tools for c in real.read if c.format == 'RapidAPI') == 2867
  assert sum(c.tools for c in real.read if c.format == 'MCP') == 779
  assert sorted(c.file for c in real.read if c.tools == 0) == sorted(p.file for p in real.problems if p.reason == 'has no operations')
  assert len({t.name for t in real.tools}) == len(real.tools) > 9000
  assert all(re.fullmatch(r'[A-Za-z0-9_-]{1,64}', t.name) for t in real.tools)
  assert all(set(t.required) <= set(t.parameters) for t in real.tools)


def test_real_tools_have_valid_self_contained_schemas_and_round_trip(real):
  for tool in real.tools[::60]:
    for schema in (tool.input_schema, tool.output_schema or {}):
      jsonschema.Draft202012Validator.check_schema(schema)
    assert from_json(Tool, json.loads(json.dumps(to_json(tool)))) == tool


def test_real_tools_compact(real):
  sample = real.tools[::9]
  assert all(length(specs.compact(t, 2000)) <= 2000 for t in sample)
