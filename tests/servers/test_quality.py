from __future__ import annotations

import pathlib

import pytest

from inftool_jax.errors import SpecError
from inftool_jax.servers import kinds, operations, quality
from inftool_jax.servers.kinds import Reading
from inftool_jax.types import Effect, Origin, Tool

DATA = pathlib.Path(__file__).parent / 'data'


def test_two_hundred_operations_of_thirty_servers_are_labelled():
  tools, labelled = quality.read(DATA / 'labelled.jsonl')
  assert len(labelled) == 200 and len({x.tool.server for x in labelled}) == len({t.server for t in tools}) == 30
  other, held_out = quality.read(DATA / 'held_out.jsonl')
  assert len(held_out) == 60 and not {t.server for t in other} & {t.server for t in tools}


@pytest.mark.parametrize(('file', 'aspect', 'precision', 'recall'), [
  ('labelled', 'class', 0.96, 0.96), ('labelled', 'entity', 0.95, 0.91), ('labelled', 'key', 0.99, 0.98),
  ('held_out', 'class', 0.96, 0.96), ('held_out', 'entity', 0.87, 0.86), ('held_out', 'key', 0.93, 0.94),
])
def test_operations_are_understood_as_well_as_was_measured(file, aspect, precision, recall):
  score = quality.measure(*quality.read(DATA / f'{file}.jsonl'))[aspect]
  assert score.precision >= precision and score.recall >= recall, score.wrong


def rest(name: str, effect: Effect, method: str, path: str, required: list[str], output: dict | None = None) -> Tool:
  schema = {'type': 'object', 'properties': {p: {'type': 'string'} for p in required}, 'required': required}
  return Tool(name, '', schema, output, 'zoo', effect, (Origin('zoo.json', '/', 'zoo', 'nature', method, path),))


@pytest.mark.parametrize(('tool', 'expected'), [
  (rest('getKeeper', 'read', 'GET', '/keepers/{username}', ['username']), Reading('read', 'keeper', 'username')),
  (rest('x', 'read', 'GET', '/animals', []), Reading('list', 'animal')),
  (rest('x', 'read', 'GET', '/animals/search', ['q']), Reading('search', 'animal')),
  (rest('x', 'read', 'GET', '/animals/{animalId}/visits', ['animalId']), Reading('list', 'visit')),
  (rest('x', 'read', 'OPTIONS', '/animals/{id}', ['id']), Reading('read')),
  (rest('screenshot', 'read', 'GET', '/pages/screenshot', ['url']), Reading('read')),
  (rest('patchAnimal', 'update', 'PATCH', '/animals/{id}', ['id']), Reading('patch', 'animal', 'id')),
  (rest('creators_list', 'read', '', '', []), Reading('list', 'creator')),
  (rest('trial_getter', 'read', '', '', ['nct_id']), Reading('read', 'trial', 'nct_id')),
  (rest('get_statistics', 'read', '', '', []), Reading('read')),
  (rest('encode', 'pure', 'GET', '/encode', ['text']), Reading('pure')),
])
def test_what_an_operation_says_of_itself(tool, expected):
  catalog = operations.classify([tool])
  assert kinds.reading(catalog.operations[tool.name], catalog) == expected


def test_credentials_that_every_tool_asks_for_are_no_keys():
  tools = [rest(n, 'read', '', '', ['shop_uuid', *more]) for n, more in [
    ('get_cart', ['cart_id']), ('get_item', ['item_id']), ('list_items', []), ('get_order', ['order_id']), ('list_orders', [])]]
  catalog = operations.classify(tools)
  assert kinds.reading(catalog.operations['get_item'], catalog) == Reading('read', 'item', 'item_id')
  assert not any(e.name == 'shop' for e in catalog.entities.values())


def test_a_line_that_is_no_operation_is_named(tmp_path):
  (tmp_path / 'bad.jsonl').write_text('{"server": "zoo"}\n')
  with pytest.raises(SpecError, match=r'bad\.jsonl:1'):
    quality.read(tmp_path / 'bad.jsonl')
