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


BUYER = {'customer_email': EMAIL, 'item': TEXT, 'quantity': COUNT}
FOUND = {'customer_email': EMAIL, 'status': ORDER_STATUS}
CHANGE = {'order_id': TEXT, 'quantity': COUNT, 'status': ORDER_STATUS}
DELETED = {'deleted': {'type': 'boolean'}, 'id': TEXT}
UNIT = {'type': 'string', 'enum': ['m', 'km', 'mile', 'foot']}
LENGTH = {'value': {'type': 'number', 'minimum': 0, 'maximum': 900}, 'from_unit': UNIT, 'to_unit': UNIT}
LOAN = {'amount': COUNT, 'years': COUNT, 'fixed': {'type': 'boolean'}}
SPAN = {'start_date': DATE, 'end_date': DATE}
PAYMENT = {'payment': {'type': 'number'}, 'total_interest': {'type': 'number'}}

ORDERS = (
  tool('create_order', 'Create an order.', BUYER, ('customer_email', 'item'), 'create', 'shop', ORDER),
  tool('get_order', 'Get an order by its id.', {'order_id': TEXT}, ('order_id',), 'read', 'shop', ORDER),
  tool('find_orders', 'Find orders of a customer.', FOUND, ('customer_email',), 'read', 'shop', listing('orders', ORDER)),
  tool('update_order', 'Update an order.', CHANGE, ('order_id',), 'update', 'shop', ORDER),
  tool('delete_order', 'Delete an order.', {'order_id': TEXT}, ('order_id',), 'delete', 'shop', DELETED),
)

ROOM_TASKS = {'roomId': TEXT, 'seats': COUNT, 'city': TEXT}
ROOMS = (
  tool('createRoom', 'Adds a meeting room.', {'name': TEXT, 'city': TEXT, 'seats': COUNT}, ('name', 'city'), 'create', 'rooms', ROOM),
  tool('getRoomById', 'Returns a meeting room.', {'roomId': TEXT}, ('roomId',), 'read', 'rooms', ROOM),
  tool('findRooms', 'Finds meeting rooms.', {'city': TEXT, 'seats': COUNT}, ('city',), 'read', 'rooms', listing('rooms', ROOM)),
  tool('updateRoom', 'Changes a meeting room.', ROOM_TASKS, ('roomId', 'seats'), 'update', 'rooms', ROOM),
  tool('deleteRoom', 'Removes a meeting room.', {'roomId': TEXT}, ('roomId',), 'delete', 'rooms', DELETED),
)

NEW_GUEST = {'name': TEXT, 'email': EMAIL, 'nights': COUNT}
GUEST_CHANGE = {'guest_id': TEXT, 'phone': TEXT, 'nights': COUNT}
GUESTS = (
  tool('add_guest', 'Add a guest.', NEW_GUEST, ('name', 'email'), 'create', 'inn', GUEST),
  tool('get_guest', 'Look up a guest.', {'guest_id': TEXT}, ('guest_id',), 'read', 'inn', GUEST),
  tool('search_guests', 'Search guests by email.', {'email': EMAIL}, ('email',), 'read', 'inn', listing('guests', GUEST)),
  tool('update_guest', 'Update a guest.', GUEST_CHANGE, ('guest_id', 'phone'), 'update', 'inn', GUEST),
)

RESULT = {'result': {'type': 'number'}, 'unit': TEXT}
DAYS = {'days': {'type': 'integer'}}
PURE = (
  tool('convert_length', 'Convert a length between units.', LENGTH, ('value', 'from_unit', 'to_unit'), 'pure', 'units', RESULT),
  tool('loan_payment', 'Calculate the monthly payment of a loan.', LOAN, ('amount', 'years'), 'pure', 'finance', PAYMENT),
  tool('days_between', 'Count the days between two dates.', SPAN, ('start_date', 'end_date'), 'pure', 'calendar', DAYS),
)

ALL = ORDERS + ROOMS + GUESTS + PURE
BY_NAME = {t.name: t for t in ALL}
