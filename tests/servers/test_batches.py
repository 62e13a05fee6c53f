"""Servers that change many records in one call: each of them is there, once, and shown by every read that lists its kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.servers.simulator import Simulator, SimulatorSession
from inftool_jax.types import Call, Tool

TEXT = {'type': 'string'}
TEXTS = {'type': 'array', 'items': TEXT}


def many(members: dict) -> dict:
  return {'type': 'array', 'items': {'type': 'object', 'properties': members, 'required': list(members)}}


NODES, LINKS = many({'name': TEXT, 'sort': TEXT, 'remarks': TEXTS}), many({'from': TEXT, 'to': TEXT})
GRAPH = {'nodes': NODES, 'links': LINKS}


def tool(name: str, effect: str, parameters: dict, output: dict) -> Tool:
  schema = {'type': 'object', 'properties': parameters, 'required': list(parameters)}
  answer = {'type': 'object', 'properties': output, 'required': list(output)}
  return Tool(name, '', schema, answer, 'graph', effect, ())  # type: ignore[arg-type]


DONE = {'success': {'type': 'boolean'}}
TOOLS = (
  tool('create_nodes', 'create', {'nodes': NODES}, {'nodes': NODES}), tool('create_links', 'create', {'links': LINKS}, {'links': LINKS}),
  tool('add_remarks', 'create', {'remarks': many({'nodeName': TEXT, 'texts': TEXTS})},
       {'results': many({'nodeName': TEXT, 'added': TEXTS})}),
  tool('delete_nodes', 'delete', {'nodeNames': TEXTS}, DONE), tool('delete_links', 'delete', {'links': LINKS}, DONE),
  tool('delete_remarks', 'delete', {'deletions': many({'nodeName': TEXT, 'remarks': TEXTS})}, DONE),
  tool('read_graph', 'read', {}, GRAPH), tool('open_nodes', 'read', {'names': TEXTS}, GRAPH),
  tool('search_nodes', 'read', {'query': TEXT}, GRAPH),
)
ADA, ENGINE = ({'name': n, 'sort': s, 'remarks': [f'about {n}']} for n, s in (('Ada', 'person'), ('Engine', 'machine')))


@pytest.fixture(scope='module')
def simulator() -> Simulator:
  return Simulator(TOOLS)


def do(session: SimulatorSession, name: str, /, **arguments) -> dict:
  result = session.execute(Call(name, arguments))
  assert not result.is_error, result.content
  return result.structured


def test_what_is_made_together_is_shown_apart(simulator):
  session = simulator.open(1, {})
  assert do(session, 'create_nodes', nodes=[ADA, ENGINE]) == {'nodes': [ADA, ENGINE]}
  assert do(session, 'create_nodes', nodes=[ADA]) == {'nodes': []}
  link = {'from': 'Ada', 'to': 'Engine'}
  do(session, 'create_links', links=[link])
  assert do(session, 'add_remarks', remarks=[{'nodeName': 'Ada', 'texts': ['a countess']}]) == {
    'results': [{'nodeName': 'Ada', 'added': ['a countess']}]}
  ada = {**ADA, 'remarks': ['about Ada', 'a countess']}
  assert do(session, 'read_graph') == {'nodes': [ada, ENGINE], 'links': [link]}
  assert do(session, 'open_nodes', names=['Ada']) == {'nodes': [ada], 'links': [link]}
  assert do(session, 'search_nodes', query='MACHINE') == {'nodes': [ENGINE], 'links': [link]}
  assert do(session, 'search_nodes', query='nothing of it') == {'nodes': [], 'links': []}
  do(session, 'delete_remarks', deletions=[{'nodeName': 'Ada', 'remarks': ['a countess']}])
  do(session, 'delete_links', links=[link])
  do(session, 'delete_nodes', nodeNames=['Engine'])
  assert do(session, 'read_graph') == {'nodes': [ADA], 'links': []}
  assert session.difference() == {'graph/node': {'Ada': ADA}}


def test_a_call_that_fails_in_part_changes_nothing(simulator):
  session = simulator.open(1, {})
  do(session, 'create_nodes', nodes=[ADA])
  before = session.digest()
  result = session.execute(Call('add_remarks', {'remarks': [{'nodeName': 'Ada', 'texts': ['x']}, {'nodeName': 'Bob', 'texts': ['y']}]}))
  assert result.is_error and 'Bob' in result.content and session.digest() == before


@given(st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from('abc'))), max_size=6))
def test_the_graph_is_the_set_that_calls_made(simulator, steps):
  session, expected = simulator.open(1, {}), set()
  for adds, chosen in steps:
    if adds:
      do(session, 'create_nodes', nodes=[{'name': n, 'sort': 's', 'remarks': []} for n in sorted(chosen)])
    else:
      do(session, 'delete_nodes', nodeNames=sorted(chosen))
    expected = expected | chosen if adds else expected - chosen
  assert {n['name'] for n in do(session, 'read_graph')['nodes']} == expected
