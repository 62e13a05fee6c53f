"""Faults: the same ones each time, no trace in the state, and each of its own kind."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.servers import faults
from inftool_jax.servers.faults import DAMAGES, KINDS, LONG, REFUSALS, FaultyServer, FaultySession
from inftool_jax.servers.simulator import Simulator, SimulatorSession
from inftool_jax.types import Call, Result


@pytest.fixture(scope='module')
def simulator(shop) -> Simulator:
  return Simulator(shop)


@pytest.fixture
def opened(simulator, shop):
  return lambda seed=7, **rates: FaultyServer(simulator, shop, rates).open(seed)


def ask(session: FaultySession | SimulatorSession, tool: str, **arguments) -> Result:
  return asyncio.run(session.call(Call(tool, arguments)))


def order(session: FaultySession | SimulatorSession) -> str:
  return sorted(session.snapshot()['shop/order'])[0]


@pytest.mark.parametrize('kind', REFUSALS)
def test_a_refused_call_does_nothing_and_is_served_when_it_is_asked_again(opened, kind):
  session = opened(**{kind: 1.0})
  key, before = order(session), session.digest()
  refused = ask(session, 'update_order', order_id=key, quantity=5)
  assert refused.is_error and REFUSALS[kind] in refused.content and json.loads(refused.content) == refused.structured
  assert session.digest() == before and session.difference() == {}
  served = ask(session, 'update_order', order_id=key, quantity=5)
  assert served.structured['quantity'] == 5 and session.digest() != before


def test_a_rate_limit_says_how_long_to_wait(opened):
  limited = ask(opened(rate_limit=1.0), 'list_orders')
  assert 1 <= limited.structured['retry_after'] <= 60
  assert f'retry after {limited.structured["retry_after"]} seconds' in limited.structured['error']


def test_a_partial_answer_lacks_the_end_of_its_list(opened, simulator):
  whole, part = ask(simulator.open(7), 'list_orders').structured, ask(opened(partial=1.0), 'list_orders').structured
  assert len(whole['orders']) > 1
  assert part == {**whole, 'orders': whole['orders'][: (len(whole['orders']) + 1) // 2]}


def test_a_stale_read_is_one_write_behind_and_writes_are_not_lost(opened):
  session = opened(stale=1.0)
  key = order(session)
  first = ask(session, 'get_order', order_id=key).structured
  for quantity in (first['quantity'] % 20 + 1, (first['quantity'] + 1) % 20 + 1):
    behind = ask(session, 'get_order', order_id=key).structured
    assert ask(session, 'update_order', order_id=key, quantity=quantity).structured['quantity'] == quantity
    assert ask(session, 'get_order', order_id=key).structured['quantity'] != quantity
    assert session.snapshot()['shop/order'][key]['quantity'] == quantity
  assert behind == first


def test_a_malformed_answer_is_no_json_and_a_long_one_is_very_long(opened):
  broken, long = ask(opened(malformed=1.0), 'list_orders'), ask(opened(long=1.0), 'list_orders')
  assert broken.structured is None and not broken.is_error
  with pytest.raises(ValueError):
    json.loads(broken.content)
  assert len(long.content) > LONG and json.loads(long.content) == long.structured


@pytest.mark.parametrize('kind', DAMAGES)
def test_an_error_of_the_server_stays_what_it_is(opened, simulator, kind):
  assert ask(opened(**{kind: 1.0}), 'get_order', order_id='nowhere') == ask(simulator.open(7), 'get_order', order_id='nowhere')


def test_calls_fail_at_their_rate_the_same_ones_each_time_in_any_order(opened):
  cities = [f'City {n}' for n in range(400)]

  def failing(order) -> set[str]:
    session = opened(timeout=0.2, unavailable=0.1)
    return {city for city in order if ask(session, 'check_weather', city=city).is_error}

  found = failing(cities)
  assert found == failing(cities[::-1])
  assert 80 <= len(found) <= 160  # 120 expected
  assert found != {c for c in cities if ask(opened(8, timeout=0.3), 'check_weather', city=c).is_error}


def test_no_rates_no_faults(opened, simulator):
  assert ask(opened(), 'list_orders') == ask(simulator.open(7), 'list_orders')


nonsense = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=3), max_leaves=5)


@settings(max_examples=60, deadline=None)
@given(tool=st.one_of(nonsense, st.just('get_order')), arguments=st.one_of(nonsense, st.dictionaries(st.text(max_size=8), nonsense)))
def test_no_call_raises(simulator, shop, tool, arguments):
  session = FaultyServer(simulator, shop, dict.fromkeys(KINDS, 1 / len(KINDS))).open(1)
  assert isinstance(asyncio.run(session.call(Call(tool, arguments))), Result)


def test_rates_are_read_and_checked():
  assert faults.parse('timeout=0.1, stale=0.05') == {'timeout': 0.1, 'stale': 0.05}
  assert faults.parse('') == {}
  for text, said in [
    ('timeout', 'expected KIND=RATE'), ('slow=0.1', "no fault 'slow'; choose from timeout, unavailable"),
    ('timeout=2', 'between 0 and 1'), ('timeout=nan', 'between 0 and 1'), ('timeout=0.6,stale=0.6', 'add up to 1.2')]:
    with pytest.raises(ValueError, match=said):
      faults.parse(text)
