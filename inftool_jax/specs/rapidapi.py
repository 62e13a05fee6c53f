"""RapidAPI endpoints as ToolBench stores them: a row per endpoint, one object per tool with an `api_list`, or a query with one.

The lists of queries (`{"query", "api_list": [row, ...]}`) repeat their endpoints; a repeated row is one tool with several origins.

A required parameter's `default` is RapidAPI's example for it and becomes `examples`; an optional one's becomes `default`.
A `template_response` (values replaced by their types' names) becomes the output schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from inftool_jax.specs import dialect, documents, effects, naming
from inftool_jax.specs.dialect import Schema
from inftool_jax.specs.documents import Document
from inftool_jax.specs.operations import Operation, Reading, repeats_merged
from inftool_jax.specs.schemas import Expander
from inftool_jax.types import JSON

_TYPES: Mapping[str, Schema] = {
  'STRING': {'type': 'string'}, 'NUMBER': {'type': 'number'}, 'INTEGER': {'type': 'integer'}, 'BOOLEAN': {'type': 'boolean'},
  'ENUM': {'type': 'string'}, 'DATE': {'type': 'string', 'format': 'date'}, 'TIME': {'type': 'string', 'format': 'time'},
  'OBJECT': {'type': 'object'}, 'MAP': {'type': 'object'}, 'ARRAY': {'type': 'array'}, 'LIST': {'type': 'array'},
  'BINARY': {'type': 'string', 'contentEncoding': 'base64'}, 'FILE': {'type': 'string', 'contentEncoding': 'base64'},
  'GEOPOINT': {'type': 'string', 'format': 'geopoint'}, 'CREDENTIAL': {'type': 'string'},
}
_TEMPLATE_TYPES: Mapping[str, Schema] = {
  'str': {'type': 'string'}, 'int': {'type': 'integer'}, 'float': {'type': 'number'}, 'bool': {'type': 'boolean'},
  'NoneType': {'type': 'null'}, 'empty list': {'type': 'array'}, 'list': {'type': 'array'}, 'dict': {'type': 'object'},
}
_TEMPLATE_LIST = re.compile(r'^list of (\w+) with length (\d+)$')
_MAX_TEMPLATE_DEPTH = 8


def is_rapidapi(value: JSON) -> bool:
  """Whether `value` is a row, a tool or query with an `api_list`, or a list that begins with one of them."""
  if isinstance(value, list):
    return bool(value) and is_rapidapi(value[0])
  if not isinstance(value, dict):
    return False
  return _is_query(value) or ('tool_name' in value and ('api_name' in value or isinstance(value.get('api_list'), list)))


def _is_query(value: JSON) -> bool:
  if not isinstance(value, dict) or 'tool_name' in value:
    return False
  rows = value.get('api_list')
  return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and 'tool_name' in rows[0] and 'api_name' in rows[0]


def read(rows: list[Document]) -> Reading:
  """The operations of a file's rows, in their order; a row that is none is a problem."""
  operations: list[Operation] = []
  problems: list[tuple[str, str]] = []
  for pointer, row in _rows(rows):
    try:
      operations.append(_operation(pointer, row, problems))
    except ValueError as e:
      problems.append((pointer, f'{e}; the endpoint is left out'))
  of_queries = any(_is_query(v) for part in rows for v in (part.value if isinstance(part.value, list) else [part.value]))
  return Reading('RapidAPI', repeats_merged(operations) if of_queries else tuple(operations), tuple(problems))


def _rows(rows: list[Document]) -> Iterator[tuple[str, JSON]]:
  for document in rows:
    if isinstance(document.value, list):
      yield from _rows([Document(f'{document.pointer}/{i}', row) for i, row in enumerate(document.value)])
    elif isinstance(document.value, dict) and isinstance(document.value.get('api_list'), list):
      shared = {k: v for k, v in document.value.items() if k != 'api_list'}
      for i, api in enumerate(document.value['api_list']):
        yield f'{document.pointer}/api_list/{i}', _row_of_list(shared, api)
    else:
      yield document.pointer, document.value


def _row_of_list(shared: Mapping[str, JSON], api: JSON) -> JSON:
  if not isinstance(api, dict):
    return api
  name, description = (api.get(f'api_{key}', api.get(key)) for key in ('name', 'description'))
  return {**shared, **api, 'api_name': name, 'api_description': description}


def _operation(pointer: str, row: JSON, problems: list[tuple[str, str]]) -> Operation:
  if not isinstance(row, dict):
    raise ValueError('is not a JSON object')
  title, name = row.get('tool_name'), row.get('api_name')
  if not isinstance(title, str) or not isinstance(name, str):
    raise ValueError('needs text in tool_name and api_name')
  method = row['method'].upper() if isinstance(row.get('method'), str) else ''
  path = row['path'] if isinstance(row.get('path'), str) else ''
  input_schema = _inputs(row)
  elsewhere = 'query' if method in ('', 'GET', 'HEAD', 'DELETE') else 'body'
  snake = naming.slug(name, 'endpoint')
  stated = row.get('effect', row.get('x-effect'))
  effect = effects.stated(stated)
  if effect is None:
    if method:
      effect = effects.of_http(method, name, path, naming.clean(row.get('api_description')))
    else:
      effect = effects.of_words(naming.words(name)) or 'read'
    if stated is not None:
      problems.append((f'{pointer}/effect', f'is none of {", ".join(effects.EFFECTS)}; {effect!r} is taken'))
  return Operation(
    server=naming.slug(title, 'server'), domain=naming.slug(str(row.get('category_name') or ''), 'other'), name=snake,
    description=naming.clean(row.get('api_description')) or ' '.join(naming.words(name)) or snake,
    input_schema=input_schema, output_schema=_output(row, pointer, problems), effect=effect, pointer=pointer, method=method, path=path,
    locations={n: 'path' if f'{{{n}}}' in path else elsewhere for n in input_schema['properties']})


def _inputs(row: Mapping[str, JSON]) -> Schema:
  properties: dict[str, Schema] = {}
  required: list[str] = []
  for key in ('required_parameters', 'optional_parameters'):
    parameters = row.get(key) or []
    if not isinstance(parameters, list):
      raise ValueError(f'{key} is not a list')
    for parameter in parameters:
      if not isinstance(parameter, dict) or not isinstance(parameter.get('name'), str):
        raise ValueError(f'{key} has a parameter without a name')
      if parameter['name'] in properties:
        continue
      properties[parameter['name']] = _parameter(parameter, example=key == 'required_parameters')
      if key == 'required_parameters':
        required.append(parameter['name'])
  out: Schema = {'type': 'object', 'properties': properties}
  return out | {'required': required} if required else out


def _parameter(parameter: Mapping[str, Any], example: bool) -> Schema:
  kind = str(parameter.get('type', '')).split('(')[0].strip()
  raw: Schema = {**_TYPES.get(kind.upper(), dialect.loose_type(kind)), 'description': parameter.get('description')}
  options = parameter.get('enum', parameter.get('options'))
  if isinstance(options, list):
    raw['enum'] = options
  if parameter.get('default') not in (None, ''):
    raw['example' if example else 'default'] = parameter['default']
  for key in ('format', 'minimum', 'maximum', 'pattern', 'items'):
    if key in parameter:
      raw[key] = parameter[key]
  return Expander({}).expand(raw, sending=True)


def _output(row: Mapping[str, JSON], pointer: str, problems: list[tuple[str, str]]) -> Schema | None:
  template = row.get('template_response')
  if isinstance(template, str) and template.strip():
    try:
      template = documents.parse_json(template)
    except ValueError:
      problems.append((f'{pointer}/template_response', 'is not whole JSON; the endpoint is read without an output schema'))
      return None
  if not isinstance(template, (dict, list)) or not template:
    return None
  if isinstance(template, dict) and isinstance(template.get('properties'), dict) and template.get('type') == 'object':
    return Expander(template).expand(template, sending=False)
  return _template(template, _MAX_TEMPLATE_DEPTH)


def _template(value: JSON, depth: int) -> Schema:
  """The schema a template's value stands for: types' names as text, lists by their first item, or plain example values."""
  if isinstance(value, dict):
    fields = {k: v for k, v in value.items() if k != '_list_length'}
    if not depth or not fields:
      return {'type': 'object'}
    return {'type': 'object', 'properties': {k: _template(v, depth - 1) for k, v in fields.items()}}
  if isinstance(value, list):
    return {'type': 'array', 'items': _template(value[0], depth - 1)} if depth and value else {'type': 'array'}
  if isinstance(value, str):
    if match := _TEMPLATE_LIST.match(value):
      return {'type': 'array', 'items': dict(_TEMPLATE_TYPES.get(match[1], {}))}
    return dict(_TEMPLATE_TYPES.get(value, {'type': 'string'}))
  return {'type': next(kind for kind in ('boolean', 'integer', 'number', 'null') if dialect.is_of(value, kind))}
