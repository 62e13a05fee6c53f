"""Laws of simulated servers, tried by the calls that their own tools suggest."""

from __future__ import annotations

import collections
import functools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax import specs
from inftool_jax.servers import laws, operations
from inftool_jax.servers.laws import LAWS, Found
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import Call, Origin, Tool

SPECS = os.environ.get('INFTOOL_SPECS', '')


@functools.cache
def bundled() -> dict[str, tuple[Tool, ...]]:
  by_server: dict[str, list[Tool]] = collections.defaultdict(list)
  for tool in specs.load(specs.bundled_path()).tools:
    by_server[tool.server].append(tool)
  return {server: tuple(tools) for server, tools in by_server.items()}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(bundled())), st.integers(0, 2**32))
def test_they_hold_of_every_bundled_server_whatever_its_seed(server, seed):
  found = laws.check(bundled()[server], seed)
  assert found.broken == [] and found.tried['replayed'] == 1 and found.tried['unchanged'] > 0


def test_all_of_them_are_tried(shop, bank):
  found = Found()
  for tools in (shop, bank, *bundled().values()):
    found.add(laws.check(tools, 1))
  assert found.broken == [] and all(found.tried[law] > 1 for law in LAWS), found.tried
  assert found.sorts['stateful'] > found.sorts['pure'] > 0 and found.sorts['opaque'] > 0


def test_a_server_that_forgets_breaks_them(shop, monkeypatch):
  from inftool_jax.servers.state import Store

  monkeypatch.setattr(Store, 'put', lambda *_: None)
  assert {'get_order', 'create_order', 'update_order'} & {tool for _, tool in laws.check(shop, 1).broken}


@pytest.mark.slow
@pytest.mark.skipif(not SPECS, reason='INFTOOL_SPECS names no folder of specifications')
def test_of_a_folder_of_real_specifications():
  by_server: dict[str, list[Tool]] = collections.defaultdict(list)
  for tool in specs.load(SPECS).tools:
    by_server[tool.server].append(tool)
  found = Found()
  for tools in by_server.values():
    found.add(laws.check(tools, 0))
  broken = collections.Counter(law for law, _ in found.broken)
  assert all(broken[law] == 0 for law in ('valid', 'gone', 'unchanged', 'replayed')), found.broken[:20]
  assert all(broken[law] <= 0.02 * found.tried[law] for law in LAWS), found.broken[:20]


# What the laws found in real specifications.

def rest(name: str, effect: str, method: str, path: str, inputs: dict, outputs: dict | None = None) -> Tool:
  schema = {'type': 'object', 'properties': inputs, 'required': list(inputs)}
  output = None if outputs is None else {'type': 'object', 'properties': outputs, 'required': list(outputs)}
  return Tool(name, '', schema, output, 'zoo', effect, (Origin('zoo.json', '/', 'zoo', 'nature', method, path),))  # type: ignore[arg-type]


TEXT, NUMBER = {'type': 'string'}, {'type': 'integer'}


def test_a_body_that_repeats_the_id_does_not_change_it():
  animal = {'Id': NUMBER, 'name': TEXT}
  tools = [rest('getAnimal', 'read', 'GET', '/animals/{id}', {'id': NUMBER}, animal),
           rest('putAnimal', 'update', 'PUT', '/animals/{id}', {'id': NUMBER, 'Id': NUMBER, 'name': TEXT}, animal)]
  session = Simulator(tools).open(1)
  key = next(iter(session.snapshot()['zoo/animal']))
  session.execute(Call('putAnimal', {'id': int(key), 'Id': int(key) + 1, 'name': 'Heron'}))
  assert session.execute(Call('getAnimal', {'id': int(key)})).structured == {'Id': int(key), 'name': 'Heron'}


def test_the_parents_id_in_the_path_is_not_the_new_records():
  tools = [rest('getProject', 'read', 'GET', '/projects/{id}', {'id': TEXT}, {'id': TEXT, 'title': TEXT}),
           rest('addKey', 'create', 'POST', '/projects/{id}/keys', {'id': TEXT, 'title': TEXT}, {'id': TEXT, 'title': TEXT}),
           rest('getKey', 'read', 'GET', '/keys/{id}', {'id': TEXT}, {'id': TEXT, 'title': TEXT})]
  session = Simulator(tools).open(1)
  project = next(iter(session.snapshot()['zoo/project']))
  made = [session.execute(Call('addKey', {'id': project, 'title': t})).structured for t in ('one', 'two')]
  assert made[0]['id'] != made[1]['id'] and session.execute(Call('getKey', {'id': made[1]['id']})).structured['title'] == 'two'


@pytest.mark.parametrize('shown', [NUMBER, {'type': 'string', 'pattern': '^AN[0-9a-f]{8}$'}, {'type': 'string', 'format': 'uuid'}])
def test_ids_are_shown_in_the_form_in_which_they_can_be_asked_for(shown):
  one = {'id': shown, 'name': TEXT}
  listed = {'animals': {'type': 'array', 'items': {'type': 'object', 'properties': one, 'required': ['id']}}}
  tools = [rest('listAnimals', 'read', 'GET', '/animals', {}, listed), rest('getAnimal', 'read', 'GET', '/animals/{id}', {'id': TEXT}, one)]
  session = Simulator(tools).open(1)
  for animal in session.execute(Call('listAnimals', {})).structured['animals']:
    assert session.execute(Call('getAnimal', {'id': str(animal['id'])})).structured == animal


def test_an_id_that_is_a_default_is_taken_for_one_that_exists():
  game = {'type': 'string', 'default': '20221212_NE@ARI'}
  schema = {'type': 'object', 'properties': {'game_id': game}}
  tools = [rest('getGame', 'read', 'GET', '/games/{game_id}', {'game_id': TEXT}, {'game_id': TEXT}),
           Tool('get_weather', '', schema, None, 'zoo', 'read', ())]
  assert operations.classify(tools).operations['get_weather'].references == {'game_id': 'zoo/game'}
  session = Simulator(tools).open(1)
  assert not session.execute(Call('get_weather', {})).is_error
  assert session.execute(Call('get_weather', {'game_id': 'nowhere'})).is_error
