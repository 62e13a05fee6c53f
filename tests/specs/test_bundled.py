"""The bundled specifications as plain files: counts, names, splits, holdout, all told without the package's readers."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

import inftool_jax

FOLDER = Path(inftool_jax.__file__).parent / 'specs' / 'data' / 'specifications'
TEMPLATE_TYPES = {'str': 'string', 'int': 'integer', 'float': 'number', 'bool': 'boolean'}
PARAMETER_TYPES = {'STRING': 'string', 'NUMBER': 'number', 'BOOLEAN': 'boolean', 'ENUM': 'string', 'DATE': 'string'}
METHOD_EFFECTS = {'GET': 'read', 'POST': 'create', 'PUT': 'update', 'PATCH': 'update', 'DELETE': 'delete'}


@dataclasses.dataclass(frozen=True)
class Raw:
  """One operation as written in its file; `output` is a JSON Schema without `$ref` at its root."""

  name: str
  description: str
  server: str
  domain: str
  format: str
  effect: str
  parameters: dict
  required: tuple[str, ...]
  output: dict


def _resolve(document: dict, node: dict) -> dict:
  while '$ref' in node:
    target = document
    for part in node['$ref'].removeprefix('#/').split('/'):
      target = target[part]
    node = target
  return node


def _openapi_operation(document: dict, path: str, shared: list, method: str, operation: dict) -> Raw:
  parameters, required = {}, []
  for item in [_resolve(document, p) for p in [*shared, *operation.get('parameters', ())]]:
    if item['in'] == 'body':
      body = _resolve(document, item['schema'])
    else:
      body = {'properties': {item['name']: item.get('schema', item)}, 'required': [item['name']] if item.get('required') else []}
    parameters.update(body['properties'])
    required += body.get('required', [])
  if 'requestBody' in operation:
    body = _resolve(document, operation['requestBody']['content']['application/json']['schema'])
    parameters.update(body['properties'])
    required += body.get('required', [])
  assert set(re.findall(r'{(\w+)}', path)) <= set(required), f'{path} has an undeclared path parameter'
  answer = next(operation['responses'][code] for code in ('200', '201') if code in operation['responses'])
  output = answer['schema'] if 'schema' in answer else answer['content']['application/json']['schema']
  return Raw(
    operation['operationId'], operation.get('description') or operation['summary'], document['info']['title'], document['info']['x-domain'],
    'openapi', operation.get('x-effect', METHOD_EFFECTS[method.upper()]), parameters, tuple(required), _resolve(document, output))


def _openapi(document: dict) -> list[Raw]:
  return [
    _openapi_operation(document, path, item.get('parameters', []), method, operation)
    for path, item in document['paths'].items() for method, operation in item.items() if method != 'parameters'
  ]


def _mcp(document: dict) -> list[Raw]:
  return [
    Raw(t['name'], t['description'], document['server'], document['domain'], 'mcp', t['annotations'].get('effect', 'read'),
        t['inputSchema']['properties'], tuple(t['inputSchema']['required']), t['outputSchema'])
    for t in document['tools']
  ]


def _template(value: object) -> dict:
  if isinstance(value, dict):
    return {'type': 'object', 'properties': {k: _template(v) for k, v in value.items() if k != '_list_length'}}
  if isinstance(value, list):
    return {'type': 'array', 'items': _template(value[0])}
  return {'type': TEMPLATE_TYPES[str(value)]}


def _rapidapi(row: dict) -> Raw:
  parameters = {}
  for item in row['required_parameters'] + row['optional_parameters']:
    parameters[item['name']] = {'type': PARAMETER_TYPES[item['type']], 'description': item['description']}
    if item['type'] == 'ENUM':
      parameters[item['name']]['enum'] = item['enum']
  return Raw(
    row['api_name'], row['api_description'], row['tool_name'], row['category_name'], 'rapidapi',
    row.get('effect', METHOD_EFFECTS[row['method']]), parameters, tuple(p['name'] for p in row['required_parameters']),
    _template(row['template_response']))


@functools.cache
def raw_tools() -> tuple[Raw, ...]:
  tools: list[Raw] = []
  for path in sorted(p for p in FOLDER.rglob('*.*') if p.name != 'splits.json'):
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.jsonl':
      tools += [_rapidapi(json.loads(line)) for line in text.splitlines()]
      continue
    document = yaml.load(text, Loader=yaml.CSafeLoader) if path.suffix in ('.yaml', '.yml') else json.loads(text)
    tools += _mcp(document) if 'tools' in document else _openapi(document)
  return tuple(tools)


@functools.cache
def splits() -> dict[str, str]:
  return json.loads((FOLDER / 'splits.json').read_text(encoding='utf-8'))


def of_split(*names: str) -> list[Raw]:
  return [t for t in raw_tools() if splits()[t.server] in names]


def fields(tool: Raw) -> dict:
  """The output's fields; those of one item for a list."""
  properties = tool.output['properties']
  return properties['items']['items']['properties'] if 'items' in properties else properties


def by_server() -> dict[str, list[Raw]]:
  servers = collections.defaultdict(list)
  for tool in raw_tools():
    servers[tool.server].append(tool)
  return servers


def entity(tool: Raw) -> str:
  """The entity a create makes: the first field of its result is that entity's id."""
  return next(iter(fields(tool))).removesuffix('_id')


def test_counts_and_formats():
  servers = by_server()
  assert len(servers) >= 34 and len(raw_tools()) >= 240
  assert len({t.domain for t in raw_tools()}) >= 12
  assert all(5 <= len(tools) <= 10 for tools in servers.values())
  formats = collections.Counter(tools[0].format for tools in servers.values())
  assert 0.4 <= formats['openapi'] / len(servers) <= 0.6
  assert formats['mcp'] >= 0.2 * len(servers) and formats['rapidapi'] >= 0.2 * len(servers)


def test_every_openapi_dialect_occurs():
  texts = {p: p.read_text(encoding='utf-8') for p in (FOLDER / 'openapi').iterdir()}
  json_files = [t for p, t in texts.items() if p.suffix == '.json']
  yaml_files = [t for p, t in texts.items() if p.suffix != '.json']
  for files in (json_files, yaml_files):
    assert any('openapi' in t[:20] for t in files) and any('swagger' in t[:20] for t in files) and any('$ref' in t for t in files)


def test_mcp_hints_agree_with_the_effect():
  for path in (FOLDER / 'mcp').iterdir():
    for tool in json.loads(path.read_text(encoding='utf-8'))['tools']:
      hints = tool['annotations']
      effect = hints.get('effect', 'read')
      assert hints['readOnlyHint'] == (effect in ('read', 'pure')), tool['name']
      assert hints['destructiveHint'] == (effect == 'delete'), tool['name']


def test_tool_names_are_unique_and_snake_case():
  names = collections.Counter(t.name for t in raw_tools())
  assert [n for n, count in names.items() if count > 1] == []
  assert [n for n in names if not re.fullmatch(r'[a-z][a-z0-9]*(_[a-z0-9]+)+', n)] == []


def test_server_names_are_their_own_slugs():
  assert [s for s in by_server() if not re.fullmatch(r'[a-z0-9]+(_[a-z0-9]+)*', s)] == []


def test_splits_name_every_server_once():
  assert splits().keys() == by_server().keys()
  count = collections.Counter(splits().values())
  assert set(count) == {'train', 'dev', 'test'}
  assert count['train'] >= 18 and 4 <= count['dev'] <= 5 and count['test'] >= 10
  assert len(of_split('train')) >= 130 and len(of_split('test')) >= 75


@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_split_is_broad(name):
  tools = of_split(name)
  assert len({t.domain for t in tools}) >= 8
  assert {t.format for t in tools} == {'openapi', 'mcp', 'rapidapi'}
  assert {t.effect for t in tools} == {'read', 'create', 'update', 'delete', 'action', 'pure'}


def test_test_servers_hold_out_parameter_names_and_entities():
  seen, held = ({p for t in of_split(*names) for p in t.parameters} for names in (('train', 'dev'), ('test',)))
  assert len(held - seen) >= 0.55 * len(held)
  seen, held = ({entity(t) for t in of_split(*names) if t.effect == 'create'} for names in (('train', 'dev'), ('test',)))
  assert len(held - seen) >= 0.9 * len(held)


def test_descriptions_are_short():
  long = [t.name for t in raw_tools() if not 4 <= len(t.description.split()) <= 9 or '\n' in t.description]
  assert long == []
  words = {f'{t.name}.{p}': s.get('description', '') for t in raw_tools() for p, s in t.parameters.items()}
  assert {p: d for p, d in words.items() if len(d.split()) > 4} == {}


def test_tools_have_few_parameters():
  assert [t.name for t in raw_tools() if not (1 <= len(t.parameters) <= 4 and 1 <= len(t.required) <= 3)] == []
  assert [t.name for t in raw_tools() if not set(t.required) <= set(t.parameters)] == []
  enums = {f'{t.name}.{p}': s['enum'] for t in raw_tools() for p, s in t.parameters.items() if 'enum' in s}
  assert enums and {p: e for p, e in enums.items() if not 2 <= len(e) <= 4 or any(v != v.lower() for v in e)} == {}


def test_nested_inputs_are_rare():
  assert 1 <= len({t.server for t in raw_tools() if any(s['type'] == 'object' for s in t.parameters.values())}) <= 3


def test_schemas_are_valid_and_defaults_fit():
  for tool in raw_tools():
    jsonschema.Draft202012Validator.check_schema(tool.output)
    for schema in tool.parameters.values():
      bare = {k: v for k, v in schema.items() if k not in ('in', 'name', 'required')}  # Swagger 2 parameters are half schemas
      jsonschema.Draft202012Validator.check_schema(bare)
      if 'default' in bare:
        jsonschema.validate(bare['default'], bare)


def test_outputs_are_flat():
  for tool in raw_tools():
    assert 2 <= len(fields(tool)) <= 6, tool.name
    assert {s['type'] for s in fields(tool).values()} <= {'string', 'integer', 'number', 'boolean'}, tool.name
    assert tool.output['properties'].keys() == fields(tool).keys() or tool.output['properties'].keys() == {'items', 'total'}, tool.name


def test_creates_and_reads_of_an_entity_share_one_schema():
  shared = 0
  for tools in by_server().values():
    for create in (t for t in tools if t.effect == 'create'):
      first = next(iter(fields(create)))
      assert first.endswith('_id') and first not in create.required, create.name
      reads = [t for t in tools if t.effect == 'read' and t.required == (first,) and 'items' not in t.output['properties']
               and next(iter(fields(t))) == first and len(fields(t)) > 3]
      shared += len(reads)
      assert all(t.output == create.output for t in reads), create.name
  assert shared >= 40


def test_writes_on_an_entity_name_it():
  for tool in raw_tools():
    if tool.effect in ('update', 'delete', 'action'):
      assert any(p.endswith('_id') for p in tool.required), tool.name
      assert any(p.endswith('_id') for p in fields(tool)), tool.name


def test_outputs_feed_parameters_of_the_same_server():
  chained = 0
  for tools in by_server().values():
    ids = {f for t in tools if t.effect in ('create', 'read') for f in fields(t) if f.endswith('_id')}
    chained += bool(ids & {p for t in tools for p in t.required})
  assert chained >= 0.9 * len(by_server())
