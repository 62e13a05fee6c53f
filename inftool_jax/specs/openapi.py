"""OpenAPI 3.0, 3.1, 3.2 and Swagger 2.0 documents to operations, in document order.

Path, query, header and cookie parameters and the properties of an object body become arguments side by side. When two share a
name, the later one is called `{location}_{name}`. A body that is not an object with properties is one argument, `body`. A body's
required properties are required although the body as a whole may be optional: few documents say so, and hardly any mean it.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from inftool_jax.specs import effects, naming
from inftool_jax.specs.dialect import Schema
from inftool_jax.specs.operations import Operation, Reading
from inftool_jax.specs.schemas import Expander
from inftool_jax.types import JSON

METHODS = ('get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace', 'query')
_UNSENT_HEADERS = frozenset({'accept', 'content-type', 'authorization'})  # the specification says to ignore them
_FORMS = ('application/x-www-form-urlencoded', 'multipart/form-data')


def is_openapi(value: JSON) -> bool:
  return isinstance(value, dict) and ('openapi' in value or 'swagger' in value)


def read(document: JSON, stem: str) -> Reading:
  """The operations of one document. `stem` names the server when the title does not. Raises ValueError for another version."""
  version = _version(document)
  reader = _Reader(document, stem)
  operations = tuple(reader.operations())
  problems = [*reader.problems, *(('', reason) for reason in reader.expander.problems)]
  if not operations and not problems:
    problems.append(('', 'has no operations'))
  return Reading(version, operations, tuple(problems))


def _version(document: Mapping[str, JSON]) -> str:
  if str(document.get('swagger', '')).split('.')[0] == '2':
    return 'Swagger 2'
  if str(document.get('openapi', '')).split('.')[0] == '3':
    return 'OpenAPI 3'
  stated = document.get('openapi', document.get('swagger'))
  raise ValueError(f'is OpenAPI/Swagger version {stated!r}; versions 2.0 and 3.x are read, please convert it')


class _Arguments:
  """Arguments of one operation as they gather."""

  def __init__(self) -> None:
    self.properties: dict[str, Schema] = {}
    self.required: list[str] = []
    self.locations: dict[str, str] = {}

  def add(self, name: str, location: str, schema: Schema, required: bool) -> None:
    if name in self.properties:
      name = f'{location}_{name}'
    self.properties[name] = schema
    self.locations[name] = location
    if required and name not in self.required:
      self.required.append(name)

  def add_body(self, schema: Schema, location: str, required: bool) -> None:
    if schema.get('properties') and 'anyOf' not in schema and 'oneOf' not in schema:
      for name, child in schema['properties'].items():
        self.add(name, location, child, name in schema.get('required', ()))
    else:
      self.add('body', location, schema, required)

  def schema(self) -> Schema:
    out: Schema = {'type': 'object', 'properties': self.properties}
    return out | {'required': self.required} if self.required else out


class _Reader:
  def __init__(self, document: Mapping[str, JSON], stem: str) -> None:
    self.expander = Expander(document)
    self.problems: list[tuple[str, str]] = []
    self._document = document
    self._swagger = 'swagger' in document
    info = _dict(document.get('info'))
    self._server = naming.slug(_text(info.get('title'))) or naming.slug(stem, 'server')
    self._domain = self._find_domain(info)

  def operations(self) -> Iterator[Operation]:
    paths = self._document.get('paths')
    if not isinstance(paths, dict):
      if paths is not None:
        self.problems.append(('/paths', 'is not an object'))
      return
    for path, item in paths.items():
      pointer = f'/paths/{_escape(path)}'
      item = self.expander.resolve(item)
      if path.startswith('x-'):
        continue
      if item is None:
        self.problems.append((pointer, 'is not a path item'))
        continue
      for method, place, operation in _methods(item):
        if not isinstance(operation, dict):
          self.problems.append((f'{pointer}/{place}', 'is not an operation'))
          continue
        yield self._operation(path, method, f'{pointer}/{place}', item, operation)

  def _operation(self, path: str, method: str, pointer: str, item: Mapping[str, JSON], operation: Mapping[str, JSON]) -> Operation:
    fallback = naming.slug(f'{method} {path}', method.lower())
    name = naming.valid_name(_text(operation.get('operationId')), fallback)
    arguments = _Arguments()
    for parameter in self._parameters(item, operation, pointer):
      self._add_parameter(arguments, parameter)
    self._add_body(arguments, operation)
    effect = effects.stated(operation.get('x-effect'))
    if effect is None:
      effect = effects.of_http(method, name, path, _description(operation, item))
      if 'x-effect' in operation:
        self.problems.append((f'{pointer}/x-effect', f'is none of {", ".join(effects.EFFECTS)}; {effect!r} is taken'))
    return Operation(
      server=self._server, domain=self._domain, name=name, description=_description(operation, item) or ' '.join(naming.words(name)),
      input_schema=arguments.schema(), output_schema=self._output(operation), effect=effect, pointer=pointer, method=method,
      path=path, locations=arguments.locations)

  def _parameters(self, item: Mapping[str, JSON], operation: Mapping[str, JSON], pointer: str) -> list[Mapping[str, Any]]:
    """The path's parameters overridden by the operation's of the same name and location."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for raw in [*_list(item.get('parameters')), *_list(operation.get('parameters'))]:
      parameter = self.expander.resolve(raw)
      if parameter is None or not isinstance(parameter.get('name'), str) or not isinstance(parameter.get('in'), str):
        self.problems.append((f'{pointer}/parameters', 'has a parameter without a name and a location; it is left out'))
        continue
      found[parameter['name'], parameter['in']] = parameter
    return list(found.values())

  def _add_parameter(self, arguments: _Arguments, parameter: Mapping[str, Any]) -> None:
    name, location = parameter['name'], parameter['in']
    required = parameter.get('required') is True or location == 'path'
    if location == 'header' and name.lower() in _UNSENT_HEADERS:
      return
    if location == 'body':
      schema = self.expander.expand(parameter.get('schema', {}), sending=True)
      arguments.add_body(_described(schema, parameter), 'body', required)
      return
    location = {'formData': 'form', 'querystring': 'query'}.get(location, location)
    schema = self.expander.expand(self._parameter_schema(parameter), sending=True)
    arguments.add(name, location, _described(schema, parameter), required)

  def _parameter_schema(self, parameter: Mapping[str, Any]) -> JSON:
    if self._swagger:
      return {k: v for k, v in parameter.items() if k not in ('name', 'in', 'required', 'readOnly')}
    if 'schema' in parameter:
      schema = parameter['schema']
    else:
      _, schema = _media(parameter.get('content'))
    example = {'example': parameter['example']} if 'example' in parameter else {}
    return {**example, **schema} if isinstance(schema, dict) else schema

  def _add_body(self, arguments: _Arguments, operation: Mapping[str, JSON]) -> None:
    if self._swagger or 'requestBody' not in operation:
      return
    body = self.expander.resolve(operation['requestBody'])
    if body is None:
      return
    kind, schema = _media(body.get('content'))
    if not kind:
      return
    expanded = self.expander.expand(schema if schema is not None else {'type': 'string'}, sending=True)
    arguments.add_body(_described(expanded, body), 'form' if kind in _FORMS else 'body', body.get('required') is True)

  def _output(self, operation: Mapping[str, JSON]) -> Schema | None:
    """The schema of the first success response that has one."""
    responses = _dict(operation.get('responses'))
    for code in [*sorted(c for c in responses if c.startswith('2')), 'default']:
      response = self.expander.resolve(responses[code]) if code in responses else None
      if response is None:
        continue
      if 'schema' in response:
        schema = response['schema']
      else:
        _, schema = _media(response.get('content'))
      if schema is not None and (expanded := self.expander.expand(schema, sending=False)):
        return expanded
    return None

  def _find_domain(self, info: Mapping[str, JSON]) -> str:
    """info.x-domain, info.x-apisguru-categories, the first tag, the host: the first of them that says something."""
    tags = [t.get('name') if isinstance(t, dict) else None for t in _list(self._document.get('tags'))]
    for item in _dict(self._document.get('paths')).values():
      for _, _, operation in _methods(_dict(item)):
        tags += _list(_dict(operation).get('tags'))
    servers = [_text(_dict(s).get('url')) for s in _list(self._document.get('servers'))]
    hosts = [_text(self._document.get('host')), *(_host(s) for s in servers)]
    for candidate in [info.get('x-domain'), *_list(info.get('x-apisguru-categories'))[:1], *tags[:1], *hosts]:
      if domain := naming.slug(_text(candidate)):
        return domain
    return 'other'


def _methods(item: Mapping[str, JSON]) -> Iterator[tuple[str, str, JSON]]:
  """(METHOD, place in the path item, operation) in document order; `additionalOperations` is OpenAPI 3.2's."""
  for key, operation in item.items():
    if key in METHODS:
      yield key.upper(), key, operation
    elif key == 'additionalOperations' and isinstance(operation, dict):
      for method, extra in operation.items():
        yield method.upper(), f'{key}/{_escape(method)}', extra


def _media(content: JSON) -> tuple[str, JSON]:
  """(media type, schema) of the entry that is nearest to JSON, then to a form; ('', None) without content."""
  kinds = [(k.split(';')[0].strip().lower(), v) for k, v in _dict(content).items()]
  kinds.sort(key=lambda kv: (not (kv[0].endswith(('/json', '+json'))), kv[0] not in _FORMS, kv[0] != '*/*'))
  if not kinds:
    return '', None
  kind, media = kinds[0]
  return kind, _dict(media).get('schema')


def _described(schema: Schema, holder: Mapping[str, Any]) -> Schema:
  """`schema` with the description of the parameter or body it belongs to, which says more than the type's."""
  description = naming.clean(holder.get('description'))
  return {**schema, 'description': description} if description else schema


def _description(operation: Mapping[str, JSON], item: Mapping[str, JSON]) -> str:
  summary = naming.clean(operation.get('summary')) or naming.clean(item.get('summary'))
  description = naming.clean(operation.get('description')) or naming.clean(item.get('description'))
  if not summary or description.lower().startswith(summary.lower().rstrip('.')):
    return description
  return f'{summary.rstrip(".")}. {description}' if description else summary


def _host(url: str) -> str:
  try:
    return urllib.parse.urlsplit(url).hostname or ''
  except ValueError:
    return ''


def _escape(token: str) -> str:
  return token.replace('~', '~0').replace('/', '~1')


def _dict(value: JSON) -> Mapping[str, Any]:
  return value if isinstance(value, dict) else {}


def _list(value: JSON) -> list[Any]:
  return value if isinstance(value, list) else []


def _text(value: JSON) -> str:
  return value if isinstance(value, str) else ''
