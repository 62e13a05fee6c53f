"""A simulator is like itself, and every way in which a server can be unlike it lowers a share of that tool."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax import specs, types
from inftool_jax.servers import fidelity
from inftool_jax.servers.fidelity import Conformance, Recorded, compare
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import Call, Result


@pytest.fixture(scope='module')
def session(shop) -> list[Recorded]:
  """A customer who orders, changes the order and looks at it, with one error; of a server that opened with another seed."""
  server = Simulator(shop).open(99)

  def done(tool: str, /, **arguments) -> Recorded:
    call = Call(tool, arguments)
    return Recorded(call, server.execute(call))

  customer = done('create_customer', name='Ada Lovelace', email='ada@example.org')
  order = done('create_order', customer_id=customer.result.structured['customer_id'], product='tolmi', quantity=3)
  key = order.result.structured['order_id']
  return [
    customer, order, done('update_order', order_id=key, quantity=5), done('get_order', order_id=key),
    done('get_order', order_id='nowhere'), done('convert_currency', amount=2.0, to='EUR'),
  ]


def of(found: Sequence[Conformance], tool: str) -> Conformance:
  return next(c for c in found if c.tool == tool)


def changed(session: Sequence[Recorded], number: int, result: Result) -> list[Recorded]:
  return [dataclasses.replace(r, result=result) if n == number else r for n, r in enumerate(session)]


def test_a_simulator_is_like_itself_whatever_ids_it_gave_out(shop, session):
  found = compare(shop, session, seed=1)
  assert [(c.tool, c.calls) for c in found] == [
    ('create_customer', 1), ('create_order', 1), ('update_order', 1), ('get_order', 2), ('convert_currency', 1)]
  assert {c.least for c in found} == {1.0}
  read = of(found, 'get_order')
  assert (read.agreement, read.schema, read.fields, read.state) == (1.0, 1.0, 1.0, 1.0)


def test_answers_that_are_json_as_text_only_are_compared_as_well(shop, session):
  texts = [dataclasses.replace(r, result=dataclasses.replace(r.result, structured=None)) for r in session]
  assert compare(shop, texts, seed=1) == compare(shop, session, seed=1)


def test_one_that_refuses_what_the_other_serves_disagrees(shop, session):
  assert of(compare(shop, changed(session, 3, Result('gone', is_error=True))), 'get_order').agreement == 0.5


def test_other_fields_count_as_such(shop, session):
  body = {'order_id': session[3].result.structured['order_id'], 'colour': 'red'}
  found = of(compare(shop, changed(session, 3, Result(json.dumps(body), body))), 'get_order')
  assert found.fields == pytest.approx(1 / 7)  # order_id of six fields and colour
  assert found.schema == 1.0  # no worse than the real answer


def test_a_state_that_only_the_real_server_shows_is_missed(shop, session):
  body = {**session[5].result.structured, 'last_product': 'tolmi'}
  assert of(compare(shop, changed(session, 5, Result(json.dumps(body), body))), 'convert_currency').state == 0.0


def test_only_ids_are_exchanged_for_the_simulators(shop, session):
  said = {'city': 'EUR', 'temperature': 3.5}  # where the simulator will say Oslo
  weather = Recorded(Call('check_weather', {'city': 'Oslo'}), Result(json.dumps(said), said))
  assert of(compare(shop, [weather, session[5]]), 'convert_currency').agreement == 1.0  # EUR is still EUR


def test_plain_text_has_no_fields_to_compare(shop, session):
  found = of(compare(shop, changed(session, 5, Result('2 USD are some EUR'))), 'convert_currency')
  assert (found.agreement, found.fields, found.state) == (1.0, None, None)


def test_a_tool_that_the_server_does_not_list_is_refused_by_the_simulator(shop, session):
  extra = Recorded(Call('fly', {}), Result('done'))
  assert of(compare(shop, [*session, extra]), 'fly').agreement == 0.0


def test_no_call_no_conformance(shop):
  assert compare(shop, []) == []


def test_paths_of_fields_are_those_of_all_members():
  assert sorted(set(fidelity.paths({'a': [{'b': 1}, {'c': {'d': 2}}], 'e': []}))) == ['a', 'a.b', 'a.c', 'a.c.d', 'e']


json_values = st.recursive(
  st.none() | st.booleans() | st.integers() | st.text(max_size=4),
  lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3), max_leaves=8)


@given(content=st.text(max_size=20), structured=json_values, is_error=st.booleans())
def test_whatever_a_server_answers_the_shares_are_shares(shop, session, content, structured, is_error):
  for found in compare(shop, changed(session, 1, Result(content, structured, is_error))):
    assert all(0 <= share <= 1 for share in (found.agreement, found.schema, found.fields, found.state) if share is not None)


RECORDED = pathlib.Path(__file__).parent / 'data' / 'recorded'


@pytest.mark.parametrize(('server', 'calls', 'unlike'), [
  ('memory', 13, set()), ('filesystem', 16, set()), ('everything', 7, set()), ('time', 6, set()),
  ('git', 11, {'git_log', 'git_checkout', 'git_branch', 'git_show'}),
])
def test_five_real_servers_as_recorded(server, calls, unlike):
  tools = specs.load(RECORDED / server / 'tools.json').tools
  lines = (RECORDED / server / 'recording.jsonl').read_text().splitlines()
  found = compare(tools, [types.from_json(Recorded, json.loads(line)) for line in lines])
  assert sum(c.calls for c in found) == len(lines) == calls
  assert {c.tool for c in found if c.least < 0.8} == unlike
