"""A hand-written server of each sort: a shop with related records, a bank, and a server of pure functions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from inftool_jax.types import JSON, Effect, Tool

ID = {'type': 'string'}
ORDER = {
  'order_id': ID, 'customer_id': ID, 'product': {'type': 'string'}, 'quantity': {'type': 'integer', 'minimum': 1, 'maximum': 20},
  'price': {'type': 'number', 'minimum': 0}, 'status': {'type': 'string', 'enum': ['open', 'shipped', 'cancelled']},
}


def schema(properties: Mapping[str, JSON], required: list[str] | None = None) -> dict[str, JSON]:
  return {'type': 'object', 'properties': dict(properties), 'required': list(properties) if required is None else required}


def tool(name: str, effect: Effect, inputs: Mapping[str, JSON], outputs: Mapping[str, JSON] | None = None,
         required: list[str] | None = None, server: str = 'shop') -> Tool:
  output = None if outputs is None else schema(outputs)
  return Tool(name, f'{name} of {server}', schema(inputs, required), output, server, effect, ())


@pytest.fixture(scope='session')
def shop() -> tuple[Tool, ...]:
  customer = {'customer_id': ID, 'name': {'type': 'string'}, 'email': {'type': 'string', 'format': 'email'}}
  listed = {'orders': {'type': 'array', 'items': schema(ORDER)}, 'count': {'type': 'integer'}}
  given = {'customer_id': ID, 'product': ORDER['product'], 'quantity': ORDER['quantity'], 'note': {'type': 'string'}}
  return (
    tool('create_customer', 'create', {'name': customer['name'], 'email': customer['email']}, customer),
    tool('get_customer', 'read', {'customer_id': ID}, customer),
    tool('find_customer', 'read', {'email': customer['email']}, customer),
    tool('create_order', 'create', given, ORDER, ['customer_id', 'product']),
    tool('get_order', 'read', {'order_id': ID}, ORDER),
    tool('list_orders', 'read', {'customer_id': ID, 'max_price': {'type': 'number'}, 'limit': {'type': 'integer'}}, listed, []),
    tool('update_order', 'update', {'order_id': ID, 'quantity': ORDER['quantity'], 'product': ORDER['product']}, ORDER, ['order_id']),
    tool('cancel_order', 'action', {'order_id': ID}, {'order_id': ID, 'status': ORDER['status']}),
    tool('ship_order', 'action', {'order_id': ID}),
    tool('delete_order', 'delete', {'order_id': ID}, {'order_id': ID, 'deleted': {'type': 'boolean'}}),
    tool('send_newsletter', 'action', {'subject': {'type': 'string'}}),
    tool('check_weather', 'read', {'city': {'type': 'string'}}, {'city': {'type': 'string'}, 'temperature': {'type': 'number'}}),
    tool('convert_currency', 'pure', {'amount': {'type': 'number'}, 'to': {'type': 'string', 'enum': ['EUR', 'USD']},
                                      'digits': {'type': 'integer', 'default': 2}},
         {'amount': {'type': 'number'}, 'converted': {'type': 'number', 'minimum': 0, 'maximum': 500}}, ['amount', 'to']),
  )


@pytest.fixture(scope='session')
def bank() -> tuple[Tool, ...]:
  account = {
    'account_id': ID, 'owner': {'type': 'string'}, 'balance': {'type': 'number', 'minimum': 10}, 'tags': {'type': 'array', 'items': ID},
    'frozen': {'type': 'boolean'},
  }
  return (
    tool('get_account', 'read', {'account_id': ID}, account, server='bank'),
    tool('deposit', 'action', {'account_id': ID, 'amount': {'type': 'number'}}, account, server='bank'),
    tool('withdraw', 'action', {'account_id': ID, 'amount': {'type': 'number'}}, account, server='bank'),
    tool('add_tag', 'action', {'account_id': ID, 'tag': {'type': 'string'}}, account, server='bank'),
    tool('remove_tag', 'action', {'account_id': ID, 'tag': {'type': 'string'}}, account, server='bank'),
    tool('freeze_account', 'action', {'account_id': ID}, {'account_id': ID, 'frozen': {'type': 'boolean', 'const': True}}, server='bank'),
  )
