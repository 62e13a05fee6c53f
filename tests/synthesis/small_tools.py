"""A handful of tools, written by hand: two CRUD families, one look-alike family and two servers of pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from inftool_jax.types import JSON, Effect, Origin, Tool


def tool(
  name: str,
  description: str,
  properties: Mapping[str, JSON],
  required: tuple[str, ...],
  effect: Effect,
  server: str,
  output: Mapping[str, JSON],
) -> Tool:
  schema = {'type': 'object', 'properties': dict(properties), 'required': list(required), 'additionalProperties': False}
  origin = Origin('small.json', f'/{name}', server, server)
  return Tool(name, description, schema, {'type': 'object', 'properties': dict(output)}, server, effect, (origin,))


TEXT = {'type': 'string'}
DATE = {'type': 'string', 'format': 'date'}
EMAIL = {'type': 'string', 'format': 'email'}
COUNT = {'type': 'integer', 'minimum': 1, 'maximum': 90}
ORDER_STATUS = {'type': 'string', 'enum': ['open', 'packed', 'shipped', 'returned']}
ORDER = {'id': TEXT, 'customer_email': EMAIL, 'item': TEXT, 'quantity': COUNT, 'status': ORDER_STATUS}
ROOM = {'id': TEXT, 'name': TEXT, 'city': TEXT, 'seats': COUNT}
GUEST = {'id': TEXT, 'name': TEXT, 'email': EMAIL, 'phone': TEXT, 'nights': COUNT}


def listing(of: str, properties: Mapping[str, JSON]) -> Mapping[str, JSON]:
  return {of: {'type': 'array', 'items': {'type': 'object', 'properties': dict(properties)}}}


ORDERS = (
  tool(
    'create_order', 'Create an order.', {'customer_email': EMAIL, 'item': TEXT, 'quantity': COUNT}, ('customer_email', 'item'), 'create', 'shop', ORDER
  ),
  tool('get_order', 'Get an order by its id.', {'order_id': TEXT}, ('order_id',), 'read', 'shop', ORDER),
  tool('find_orders', 'Find orders of a customer.', {'customer_email': EMAIL, 'status': ORDER_STATUS}, ('customer_email',), 'read', 'shop',
       listing('orders', ORDER)),
  tool('update_order', 'Update an order.', {'order_id': TEXT, 'quantity': COUNT, 'status': ORDER_STATUS}, ('order_id',), 'update', 'shop', ORDER),
  tool('delete_order', 'Delete an order.', {'order_id': TEXT}, ('order_id',), 'delete', 'shop', {'deleted': {'type': 'boolean'}, 'id': TEXT}),
)  # fmt: skip

ROOMS = (
  tool('createRoom', 'Adds a meeting room.', {'name': TEXT, 'city': TEXT, 'seats': COUNT}, ('name', 'city'), 'create', 'rooms', ROOM),
  tool('getRoomById', 'Returns a meeting room.', {'roomId': TEXT}, ('roomId',), 'read', 'rooms', ROOM),
  tool('findRooms', 'Finds meeting rooms in a city.', {'city': TEXT, 'seats': COUNT}, ('city',), 'read', 'rooms', listing('rooms', ROOM)),
  tool('updateRoom', 'Changes a meeting room.', {'roomId': TEXT, 'seats': COUNT, 'city': TEXT}, ('roomId', 'seats'), 'update', 'rooms', ROOM),
  tool('deleteRoom', 'Removes a meeting room.', {'roomId': TEXT}, ('roomId',), 'delete', 'rooms', {'deleted': {'type': 'boolean'}, 'id': TEXT}),
)

GUESTS = (
  tool('add_guest', 'Add a guest.', {'name': TEXT, 'email': EMAIL, 'nights': COUNT}, ('name', 'email'), 'create', 'inn', GUEST),
  tool('get_guest', 'Look up a guest.', {'guest_id': TEXT}, ('guest_id',), 'read', 'inn', GUEST),
  tool('search_guests', 'Search guests by email.', {'email': EMAIL}, ('email',), 'read', 'inn', listing('guests', GUEST)),
  tool('update_guest', 'Update a guest.', {'guest_id': TEXT, 'phone': TEXT, 'nights': COUNT}, ('guest_id', 'phone'), 'update', 'inn', GUEST),
)

PURE = (
  tool(
    'convert_length', 'Convert a length between units.',
    {'value': {'type': 'number', 'minimum': 0, 'maximum': 900}, 'from_unit': {'type': 'string', 'enum': ['m', 'km', 'mile', 'foot']},
     'to_unit': {'type': 'string', 'enum': ['m', 'km', 'mile', 'foot']}},
    ('value', 'from_unit', 'to_unit'), 'pure', 'units', {'result': {'type': 'number'}, 'unit': TEXT},
  ),
  tool(
    'loan_payment', 'Calculate the monthly payment of a loan.', {'amount': COUNT, 'years': COUNT, 'fixed': {'type': 'boolean'}}, ('amount', 'years'),
    'pure', 'finance', {'payment': {'type': 'number'}, 'total_interest': {'type': 'number'}},
  ),
  tool('days_between', 'Count the days between two dates.', {'start_date': DATE, 'end_date': DATE}, ('start_date', 'end_date'), 'pure', 'calendar',
       {'days': {'type': 'integer'}}),
)  # fmt: skip

ALL = ORDERS + ROOMS + GUESTS + PURE
BY_NAME = {t.name: t for t in ALL}
