from __future__ import annotations

from collections.abc import Callable

import pytest

from inftool_jax.types import Tool


def _tool(name: str, properties: dict, required: tuple[str, ...] = (), effect: str = 'read') -> Tool:
  schema = {'type': 'object', 'properties': properties, 'required': list(required), 'additionalProperties': False}
  return Tool(name, name.replace('_', ' ').capitalize(), schema, None, 'shop', effect, ())  # type: ignore[arg-type]


@pytest.fixture
def make_tool() -> Callable[..., Tool]:
  return _tool


@pytest.fixture
def booking() -> Tool:
  return _tool('book_room', {
    'room_id': {'type': 'string'},
    'start': {'type': 'string', 'format': 'date-time'},
    'end_date': {'type': 'string', 'format': 'date'},
    'seats': {'type': 'integer', 'default': 5},
    'price': {'type': 'number'},
    'layout': {'type': 'string', 'enum': ['Circle', 'rows']},
    'unit': {'enum': ['m', 'M']},
    'tags': {'type': 'array', 'items': {'type': 'string'}, 'uniqueItems': True},
    'route': {'type': 'array', 'items': {'type': 'integer'}},
    'quiet': {'type': 'boolean', 'default': False},
    'note': {'type': ['string', 'null'], 'default': 'none'},
    'owner': {'type': 'object', 'properties': {'name': {'type': 'string'}, 'vip': {'type': 'boolean', 'default': True}},
              'required': ['name']},
  }, ('room_id',), 'create')
