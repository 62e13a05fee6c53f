import pytest

from inftool_jax.specs import openapi

PETS = {
  'openapi': '3.0.1', 'info': {'title': 'Pet Store', 'x-domain': 'Animals'}, 'servers': [{'url': 'https://api.pets.example/v1'}],
  'tags': [{'name': 'pets'}],
  'paths': {
    '/pets/{petId}': {
      'parameters': [
        {'name': 'petId', 'in': 'path', 'required': True, 'schema': {'type': 'string'}}, {'$ref': '#/components/parameters/Trace'}],
      'get': {
        'operationId': 'get pet!', 'summary': 'One pet.', 'description': '<p>Finds it.</p>',
        'parameters': [{'name': 'petId', 'in': 'path', 'description': 'Its id.', 'schema': {'type': 'integer'}}],
        'responses': {'404': {}, '200': {'content': {
          'text/plain': {'schema': {'type': 'string'}},
          'application/json; charset=utf-8': {'schema': {'$ref': '#/components/schemas/Pet'}}}}}},
      'put': {
        'x-effect': 'action',
        'requestBody': {'content': {'application/json': {'schema': {'$ref': '#/components/schemas/Pet'}}}}},
      'post': {
        'x-effect': 'sometimes', 'operationId': 'feed',
        'requestBody': {'required': True, 'content': {'application/json': {'schema': {'type': 'array', 'items': {'type': 'string'}}}}}}}},
  'components': {
    'parameters': {'Trace': {'name': 'X-Trace', 'in': 'header', 'schema': {'type': 'string', 'nullable': True}}},
    'schemas': {'Pet': {'type': 'object', 'required': ['id', 'petId', 'name'], 'properties': {
      'id': {'type': 'integer', 'readOnly': True}, 'petId': {'type': 'string'}, 'name': {'type': 'string'}, 'tag': {'type': 'string'}}}}},
}


def test_operations_in_order_with_all_their_parts():
  reading = openapi.read(PETS, 'pets')
  get, put, post = reading.operations
  assert (get.server, get.domain, get.name, get.effect, get.method, get.path) == (
    'pet_store', 'animals', 'get_pet', 'read', 'GET', '/pets/{petId}')
  assert get.description == 'One pet. Finds it.'
  assert get.pointer == '/paths/~1pets~1{petId}/get'
  assert get.input_schema == {'type': 'object', 'required': ['petId'], 'properties': {
    'petId': {'type': 'integer', 'description': 'Its id.'}, 'X-Trace': {'type': ['string', 'null']}}}
  assert get.output_schema is not None and list(get.output_schema['properties']) == ['id', 'petId', 'name', 'tag']
  assert put.name == 'put_pets_pet_id'
  assert put.locations == {'petId': 'path', 'X-Trace': 'header', 'body_petId': 'body', 'name': 'body', 'tag': 'body'}
  assert put.input_schema['required'] == ['petId', 'body_petId', 'name']
  assert put.effect == 'action'
  assert post.input_schema['properties']['body'] == {'type': 'array', 'items': {'type': 'string'}}
  assert post.input_schema['required'] == ['petId', 'body']
  assert [pointer for pointer, _ in reading.problems] == ['/paths/~1pets~1{petId}/post/x-effect']


def test_swagger_body_form_and_response():
  document = {
    'swagger': '2.0', 'info': {'title': 'Shop', 'x-apisguru-categories': ['Commerce']}, 'host': 'shop.example',
    'paths': {'/items': {
      'post': {'operationId': 'addItem', 'parameters': [
        {'name': 'item', 'in': 'body', 'required': True, 'schema': {'type': 'object', 'required': ['n'], 'properties': {
          'n': {'type': 'integer', 'minimum': 0, 'exclusiveMinimum': True}}}}],
        'responses': {'201': {'schema': {'type': 'object', 'properties': {'id': {'type': 'string', 'x-nullable': True}}}}}},
      'put': {'operationId': 'upload', 'parameters': [
        {'name': 'photo', 'in': 'formData', 'type': 'file', 'required': True},
        {'name': 'tags', 'in': 'query', 'type': 'array', 'items': {'type': 'string'}, 'collectionFormat': 'csv'}]}}}}
  add, upload = openapi.read(document, 'shop').operations
  assert add.domain == 'commerce'
  assert add.input_schema == {'type': 'object', 'properties': {'n': {'type': 'integer', 'exclusiveMinimum': 0}}, 'required': ['n']}
  assert add.output_schema == {'type': 'object', 'properties': {'id': {'type': ['string', 'null']}}}
  assert upload.locations == {'photo': 'form', 'tags': 'query'}
  assert upload.input_schema['properties'] == {
    'photo': {'type': 'string', 'format': 'binary'}, 'tags': {'type': 'array', 'items': {'type': 'string'}}}


@pytest.mark.parametrize(('change', 'domain'), [
  ({'info': {'title': 'x'}, 'tags': [{'name': 'Big Cats'}]}, 'big_cats'),
  ({'info': {'title': 'x'}, 'tags': []}, 'api_pets_example'),
  ({'info': {'title': 'x'}, 'tags': [], 'servers': []}, 'other'),
])
def test_domain_falls_back(change, domain):
  assert openapi.read({**PETS, **change}, 'x').operations[0].domain == domain


def test_the_query_method_and_additional_operations_of_3_2():
  document = {'openapi': '3.2.0', 'info': {}, 'paths': {'/pets': {
    'query': {}, 'additionalOperations': {'COPY': {'operationId': 'copyPet'}}}}}
  operations = openapi.read(document, 'My file').operations
  assert [(o.server, o.name, o.method, o.effect) for o in operations] == [
    ('my_file', 'query_pets', 'QUERY', 'read'), ('my_file', 'copyPet', 'COPY', 'create')]
  assert operations[1].pointer == '/paths/~1pets/additionalOperations/COPY'


def test_broken_parts_are_told_and_the_rest_is_read():
  document = {'openapi': '3.1.0', 'paths': {
    '/a': None, '/b': {'get': 'x'}, '/c': {'get': {'parameters': [{'$ref': '#/nowhere'}, {'name': 'q', 'in': 'query'}]}}}}
  reading = openapi.read(document, 'x')
  assert [o.path for o in reading.operations] == ['/c']
  assert list(reading.operations[0].input_schema['properties']) == ['q']
  assert [p for p, _ in reading.problems] == ['/paths/~1a', '/paths/~1b/get', '/paths/~1c/get/parameters', '']


def test_another_version_is_refused_by_name():
  with pytest.raises(ValueError, match='1.2'):
    openapi.read({'swagger': '1.2'}, 'x')
