import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax import specs
from inftool_jax.types import Origin, Tool


def tool(name, server, origin=''):
  return Tool(name, '', {'type': 'object'}, None, server, 'read', (Origin('f', '', origin or server, 'd'),))


def servers(part):
  return {t.server for t in part}


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(0, 5))
def test_servers_stay_whole_and_no_tool_is_lost(numbers, seed):
  tools = [tool(f't{i}', f's{n}') for i, n in enumerate(numbers)]
  result = specs.split(tools, seed)
  parts = (result.train, result.dev, result.test)
  assert sorted(t.name for part in parts for t in part) == sorted(t.name for t in tools)
  assert sum(len(servers(part)) for part in parts) == len(set(numbers))
  assert sum(bool(part) for part in parts) == min(3, len(set(numbers)))


def test_proportions_and_seeds():
  tools = [tool(f't{i}', f's{i}') for i in range(100)]
  result = specs.split(tools, 1)
  assert [len(result.train), len(result.dev), len(result.test)] == [60, 15, 25]
  assert result == specs.split(tools, 1) != specs.split(tools, 2)


def test_stated_servers_go_where_they_are_stated():
  tools = [tool(f't{i}', f's{i}') for i in range(10)]
  stated = {f's{i}': ('train', 'dev', 'test')[i % 3] for i in range(10)}
  result = specs.split(tools, 0, stated)
  assert servers(result.train) == {'s0', 's3', 's6', 's9'} and servers(result.dev) == {'s1', 's4', 's7'}


@given(st.integers(0, 50))
def test_two_versions_of_one_document_stay_together(seed):
  tools = [tool('a', 'pets', 'pets'), tool('b', 'pets_v2', 'pets'), *(tool(f't{i}', f's{i}') for i in range(6))]
  result = specs.split(tools, seed)
  assert any({'pets', 'pets_v2'} <= servers(part) for part in (result.train, result.dev, result.test))
  assert {'pets', 'pets_v2'} <= servers(specs.split(tools, seed, {'pets': 'test'}).test)


def test_stating_them_apart_is_an_error():
  with pytest.raises(ValueError, match='pets_v2'):
    specs.split([tool('a', 'pets', 'pets'), tool('b', 'pets_v2', 'pets')], 0, {'pets': 'train', 'pets_v2': 'test'})
