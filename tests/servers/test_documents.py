"""Servers of files: what was written at a path is there until it is moved or deleted, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.servers.simulator import Simulator, SimulatorSession
from inftool_jax.types import Call, Result, Tool

TEXT = {'type': 'string'}


def tool(name: str, effect: str, parameters: dict) -> Tool:
  schema = {'type': 'object', 'properties': parameters, 'required': list(parameters)}
  return Tool(name, '', schema, {'type': 'object', 'properties': {'content': TEXT}, 'required': ['content']}, 'disk', effect, ())  # type: ignore[arg-type]


EDITS = {'type': 'array', 'items': {'type': 'object', 'properties': {'oldText': TEXT, 'newText': TEXT}, 'required': ['oldText', 'newText']}}
TOOLS = (
  tool('write_file', 'update', {'path': TEXT, 'content': TEXT}), tool('read_text_file', 'read', {'path': TEXT}),
  tool('edit_file', 'update', {'path': TEXT, 'edits': EDITS}), tool('delete_file', 'delete', {'path': TEXT}),
  tool('move_file', 'update', {'source': TEXT, 'destination': TEXT}), tool('create_directory', 'create', {'path': TEXT}),
  tool('list_directory', 'read', {'path': TEXT}), tool('search_files', 'read', {'path': TEXT, 'pattern': TEXT}),
)


@pytest.fixture(scope='module')
def simulator() -> Simulator:
  return Simulator(TOOLS)


def do(session: SimulatorSession, name: str, /, **arguments) -> Result:
  before = session.digest()
  result = session.execute(Call(name, arguments))
  assert not result.is_error or session.digest() == before
  assert result.is_error or not TOOLS[0].output_schema or isinstance(result.structured['content'], str)
  return result


def test_life_of_a_file(simulator):
  session = simulator.open(3)
  assert do(session, 'read_text_file', path='/a/one.txt').is_error
  do(session, 'write_file', path='/a/one.txt', content='The heron is grey.')
  assert do(session, 'edit_file', path='/a/one.txt', edits=[{'oldText': 'white', 'newText': 'blue'}]).is_error
  do(session, 'edit_file', path='/a/one.txt', edits=[{'oldText': 'grey', 'newText': 'blue'}])
  assert do(session, 'read_text_file', path='/a/one.txt').structured == {'content': 'The heron is blue.'}
  do(session, 'move_file', source='/a', destination='/b')  # with all that is below
  assert do(session, 'read_text_file', path='/a/one.txt').is_error and do(session, 'list_directory', path='/a').is_error
  assert do(session, 'read_text_file', path='/b/one.txt').structured == {'content': 'The heron is blue.'}
  assert do(session, 'search_files', path='/', pattern='one*').structured == {'content': '/b/one.txt'}
  assert session.difference() == {'disk/file': {'/b/one.txt': {'path': '/b/one.txt', 'content': 'The heron is blue.'}}}
  do(session, 'delete_file', path='/b/one.txt')
  assert do(session, 'read_text_file', path='/b/one.txt').is_error and session.difference() == {}


def test_a_folder_lists_the_next_names(simulator):
  session = simulator.open(3)
  do(session, 'create_directory', path='/notes/')
  assert not do(session, 'list_directory', path='/notes').is_error
  for name in ('one', 'two', 'deep/three'):
    do(session, 'write_file', path=f'/notes/{name}', content=name)
  assert do(session, 'list_directory', path='/notes').structured['content'].split('\n') == ['deep', 'one', 'two']
  assert do(session, 'move_file', source='/notes/one', destination='/notes/two').is_error


paths = st.sampled_from(['/a', '/a/b', '/c.txt', '/a/d.txt'])
calls = st.one_of(
  st.builds(lambda p, c: ('write_file', {'path': p, 'content': c}), paths, st.text('xy', max_size=3)),
  st.builds(lambda p: ('delete_file', {'path': p}), paths), st.builds(lambda p: ('create_directory', {'path': p}), paths),
  st.builds(lambda p, q: ('move_file', {'source': p, 'destination': q}), paths, paths))


@given(st.lists(calls, max_size=8))
def test_replays_are_identical_and_reads_show_what_the_state_has(simulator, made):
  one, other = simulator.open(1), simulator.open(1)
  for name, arguments in made:
    assert do(one, name, **arguments) == do(other, name, **arguments)
  assert one.digest() == other.digest()
  kept = one.snapshot()['disk/file']
  for path in ('/a', '/a/b', '/c.txt', '/a/d.txt'):
    read = do(one, 'read_text_file', path=path)
    assert read.structured['content'] == kept[path]['content'] if path in kept else read.is_error
