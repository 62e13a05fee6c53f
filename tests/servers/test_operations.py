from __future__ import annotations

import pytest

from inftool_jax.servers import names
from inftool_jax.servers.operations import classify
from inftool_jax.types import Origin, Tool


def test_roles_of_the_shop(shop):
  operations = classify(shop).operations
  assert {n: o.role for n, o in operations.items()} == {
    'create_customer': 'create', 'get_customer': 'get', 'find_customer': 'find', 'create_order': 'create', 'get_order': 'get',
    'list_orders': 'list', 'update_order': 'update', 'cancel_order': 'action', 'ship_order': 'action', 'delete_order': 'delete',
    'send_newsletter': 'write', 'check_weather': 'read', 'convert_currency': 'pure'}
  assert operations['get_order'].id_parameter == 'order_id'
  assert operations['find_customer'].lookup == (('email', 'email'),)
  assert operations['create_order'].references == {'customer_id': 'shop/customer'}
  assert operations['ship_order'].outcome == ('status', 'shipped')
  assert [(f.parameter, f.field, f.test) for f in operations['list_orders'].filters] == [
    ('customer_id', 'customer_id', 'equal'), ('max_price', 'price', 'at_most'), ('limit', '', 'limit')]


def test_entities_of_the_shop(shop):
  entities = classify(shop).entities
  assert sorted(entities) == ['shop/customer', 'shop/order']
  order = entities['shop/order']
  assert list(order.fields) == ['order_id', 'customer_id', 'product', 'quantity', 'price', 'status', 'note']
  assert order.id_field == 'order_id' and order.references == {'customer_id': 'shop/customer'}
  assert order.fields['note'].optional and not order.fields['product'].optional
  assert order.targets == {'status': ('cancelled', 'shipped')}


def rest(name: str, effect: str, method: str, path: str, inputs: list[str], outputs: dict) -> Tool:
  schema = {'type': 'object', 'properties': {p: {'type': 'string'} for p in inputs}, 'required': inputs}
  return Tool(name, '', schema, outputs, 'zoo', effect, (Origin('zoo.json', '/', 'zoo', 'nature', method, path),))  # type: ignore[arg-type]


def test_records_in_paths_and_envelopes():
  animal = {'type': 'object', 'properties': {'id': {'type': 'string'}, 'species': {'type': 'string'}}}
  envelope = {'type': 'object', 'properties': {'data': {'type': 'object', 'properties': {'animal': animal}}}}
  catalog = classify([
    rest('addAnimal', 'create', 'POST', '/animals', ['species'], envelope),
    rest('fetchOne', 'read', 'GET', '/animals/{animalId}', ['animalId'], envelope),
    rest('everything', 'read', 'GET', '/animals', [], {'type': 'array', 'items': animal}),
    rest('moveAnimal', 'action', 'POST', '/animals/{animalId}/keeper', ['animalId', 'keeper_id'], animal),
  ])
  operations = catalog.operations
  assert {o.entity for o in operations.values()} == {'zoo/animal'}
  assert operations['addAnimal'].record_path == ('data', 'animal')
  assert operations['everything'].role == 'list' and operations['everything'].list_path == ()
  assert operations['moveAnimal'].id_parameter == 'animalId'


def test_a_server_with_a_record_named_by_a_natural_key():
  user = {'type': 'object', 'properties': {'username': {'type': 'string'}, 'city': {'type': 'string'}}}
  operations = classify([
    rest('createUser', 'create', 'POST', '/users', ['username', 'city'], user),
    rest('getUser', 'read', 'GET', '/users/{username}', ['username'], user),
  ]).operations
  assert operations['getUser'].role == 'get' and operations['getUser'].lookup == (('username', 'username'),)


def test_what_is_looked_up_for_its_id_is_an_entity():
  vessel = {'type': 'object', 'properties': {'vessel_id': {'type': 'string'}, 'vessel_name': {'type': 'string'}}}
  catalog = classify([
    rest('find_vessel', 'read', 'GET', '/vessels', ['vessel_name'], vessel),
    rest('assign_vessel', 'action', 'POST', '/shipments/{shipment_id}/vessel', ['shipment_id', 'vessel_id'], vessel),
  ])
  assert catalog.operations['find_vessel'].role == 'find' and catalog.operations['find_vessel'].entity == 'zoo/vessel'
  assert catalog.operations['assign_vessel'].entity == 'zoo/shipment'
  assert catalog.operations['assign_vessel'].references == {'shipment_id': 'zoo/shipment', 'vessel_id': 'zoo/vessel'}


@pytest.mark.parametrize(('name', 'expected'), [
  ('mark_task_as_done', ('mark', 'task', 'done', False)), ('list_open_orders', ('list', 'open_order', '', True)),
  ('createUser', ('create', 'user', '', False)), ('shop_get_order', ('get', 'order', '', False)),
  ('movie_search', ('search', 'movie', '', False)), ('check_in_guest', ('check', 'guest', '', False)),
])
def test_phrases(name, expected):
  said = names.phrase(name, 'shop')
  assert (said.verb, said.noun, said.target, said.plural) == expected


@pytest.mark.parametrize(('verb', 'target', 'allowed', 'expected'), [
  ('cancel', '', ['open', 'canceled'], 'canceled'), ('start', '', ['idle', 'in_progress'], 'in_progress'),
  ('mark', 'done', ['todo', 'done'], 'done'), ('archive', '', ['live', 'ARCHIVED'], 'ARCHIVED'), ('send', '', ['red', 'green'], None),
])
def test_nearest_state(verb, target, allowed, expected):
  assert names.nearest(verb, target, allowed) == expected
