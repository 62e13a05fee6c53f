from __future__ import annotations

import asyncio
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.servers import schemas, values
from inftool_jax.servers.simulator import Simulator, SimulatorSession, seed_state
from inftool_jax.types import Call, Result, Tool


@pytest.fixture(scope='module')
def simulator(shop, bank) -> Simulator:
  return Simulator((*shop, *bank))


def first(session: SimulatorSession, entity: str) -> str:
  return sorted(session.snapshot()[entity])[0]


def body(result: Result) -> dict:
  assert not result.is_error, result.content
  assert json.loads(result.content) == result.structured
  return result.structured


def test_life_of_a_record(simulator):
  session = simulator.open(7)
  customer = first(session, 'shop/customer')
  made = body(session.execute(Call('create_order', {'customer_id': customer, 'product': 'tolmi', 'quantity': 3})))
  key = made['order_id']
  assert (made['customer_id'], made['product'], made['quantity'], made['status']) == (customer, 'tolmi', 3, 'open')
  assert body(session.execute(Call('get_order', {'order_id': key}))) == made
  assert body(session.execute(Call('update_order', {'order_id': key, 'quantity': 5})))['quantity'] == 5
  assert body(session.execute(Call('get_order', {'order_id': key}))) == {**made, 'quantity': 5}
  assert body(session.execute(Call('cancel_order', {'order_id': key}))) == {'order_id': key, 'status': 'cancelled'}
  assert session.difference() == {'shop/order': {key: {**made, 'quantity': 5, 'status': 'cancelled'}}}
  assert body(session.execute(Call('delete_order', {'order_id': key}))) == {'order_id': key, 'deleted': True}
  gone = session.execute(Call('get_order', {'order_id': key}))
  assert gone.is_error and 'order_id' in gone.content
  assert session.difference() == {}


def test_find_by_natural_key(simulator):
  session = simulator.open(7)
  record = session.snapshot()['shop/customer'][first(session, 'shop/customer')]
  assert body(session.execute(Call('find_customer', {'email': record['email']}))) == record
  missing = session.execute(Call('find_customer', {'email': 'nobody@nowhere.org'}))
  assert missing.is_error and 'email' in missing.content


def test_time_zones_and_times_of_day_that_do_not_exist_are_refused():
  text = {'type': 'string'}
  parameters = {'source_timezone': text, 'time': {**text, 'description': 'as HH:MM'}}
  tool = Tool('convert_time', '', {'type': 'object', 'properties': parameters}, None, 'clock', 'pure', ())
  session = Simulator([tool]).open(1)
  assert not session.execute(Call('convert_time', {'source_timezone': 'Asia/Tokyo', 'time': '9:15'})).is_error
  for wrong in ({'source_timezone': 'Mars/Olympus'}, {'time': '25:99'}):
    result = session.execute(Call('convert_time', wrong))
    assert result.is_error and next(iter(wrong)) in result.content


def test_list_filters_and_limits(simulator):
  session = simulator.open(7)
  orders = session.snapshot()['shop/order']
  customer = next(iter(orders.values()))['customer_id']
  found = body(session.execute(Call('list_orders', {'customer_id': customer})))
  assert {o['order_id'] for o in found['orders']} == {k for k, o in orders.items() if o['customer_id'] == customer}
  assert found['count'] == len(found['orders'])
  prices = sorted(o['price'] for o in orders.values())
  cheap = body(session.execute(Call('list_orders', {'max_price': prices[0]})))
  assert [o['price'] for o in cheap['orders']] == prices[:1]
  assert len(body(session.execute(Call('list_orders', {'limit': 1})))['orders']) == 1
  assert session.difference() == {}


def test_references_exist_in_seeded_states_and_are_checked(simulator):
  session = simulator.open(11)
  state = session.snapshot()
  assert all(o['customer_id'] in state['shop/customer'] for o in state['shop/order'].values())
  wrong = session.execute(Call('create_order', {'customer_id': 'cus_aaaaaa', 'product': 'tolmi'}))
  assert wrong.is_error and 'customer_id' in wrong.content and session.difference() == {}


def test_action_without_output_schema_says_what_it_did(simulator):
  session = simulator.open(7)
  key = first(session, 'shop/order')
  assert body(session.execute(Call('ship_order', {'order_id': key}))) == {'order_id': key, 'status': 'shipped'}
  assert session.difference() == {'shop/order': {key: {'status': 'shipped'}}}


def test_a_write_without_a_record_is_logged(simulator):
  session = simulator.open(7)
  body(session.execute(Call('send_newsletter', {'subject': 'Harvest'})))
  (entry,) = session.difference()['shop/actions'].values()
  assert entry == {'tool': 'send_newsletter', 'arguments': {'subject': 'Harvest'}}


def test_actions_move_balances_append_and_set_flags(simulator):
  session = simulator.open(3)
  key = first(session, 'bank/account')
  before = session.snapshot()['bank/account'][key]
  assert before['frozen'] is False  # where actions lead is not where records start
  body(session.execute(Call('deposit', {'account_id': key, 'amount': 12.5})))
  body(session.execute(Call('withdraw', {'account_id': key, 'amount': 2})))
  body(session.execute(Call('add_tag', {'account_id': key, 'tag': 'vip'})))
  body(session.execute(Call('freeze_account', {'account_id': key})))
  assert session.difference() == {
    'bank/account': {key: {'balance': round(before['balance'] + 10.5, 6), 'tags': [*before['tags'], 'vip'], 'frozen': True}}}
  body(session.execute(Call('remove_tag', {'account_id': key, 'tag': 'vip'})))
  assert session.snapshot()['bank/account'][key]['tags'] == before['tags']
  poor = session.execute(Call('withdraw', {'account_id': key, 'amount': 10**6}))
  assert poor.is_error and 'amount' in poor.content


def test_pure_functions_depend_on_canonical_arguments_alone(shop, simulator):
  call = Call('convert_currency', {'amount': 5, 'to': 'EUR'})
  result = simulator.open(1).execute(call)
  assert body(result)['amount'] == 5 and 0 <= body(result)['converted'] <= 500
  alone = Simulator([t for t in shop if t.name == 'convert_currency'], pool='test')
  same = Call('convert_currency', {'digits': 2, 'to': 'EUR', 'amount': 5.0}, id='x')
  assert alone.open(99, {}).execute(same) == result
  assert simulator.open(1).execute(Call('convert_currency', {'amount': 6, 'to': 'EUR'})).content != result.content


def test_reads_are_repeatable_and_depend_on_the_seed(simulator):
  call = Call('check_weather', {'city': 'Tolmi'})
  assert body(simulator.open(1).execute(call))['city'] == 'Tolmi'
  assert simulator.open(1).execute(call) == simulator.open(1).execute(call)
  assert len({simulator.open(seed).execute(call).content for seed in range(5)}) > 1


def test_same_seed_same_digest(shop, bank, simulator):
  tools = (*shop, *bank)
  assert simulator.open(5).digest() == Simulator(tools).open(5).digest() != simulator.open(6).digest()
  assert simulator.open(5).snapshot() == seed_state(tools, 5, 'train')


def test_creates_commute(simulator):
  start = simulator.open(5).snapshot()
  customer = sorted(start['shop/customer'])[0]
  one = Call('create_order', {'customer_id': customer, 'product': 'tolmi'})
  two = Call('create_order', {'customer_id': customer, 'product': 'vanto'})
  digests, ids = set(), []
  for order in ([one, one, two], [two, one, one], [one, two, one]):
    session = simulator.open(5, start)
    ids.append(sorted(body(session.execute(c))['order_id'] for c in order))
    digests.add(session.digest())
  assert len(digests) == 1 and len(set(ids[0])) == 3 and ids[0] == ids[1] == ids[2]
  assert all(len(i) == 10 and i.startswith('ord_') for i in ids[0])


def test_restore_from_snapshot_goes_on_alike(simulator):
  session = simulator.open(5)
  customer = first(session, 'shop/customer')
  session.execute(Call('create_order', {'customer_id': customer, 'product': 'tolmi'}))
  text = json.dumps(session.snapshot())
  restored = simulator.open(5, json.loads(text))
  assert restored.digest() == session.digest() and restored.difference() == {}
  again = Call('create_order', {'customer_id': customer, 'product': 'tolmi'})
  assert restored.execute(again) == session.execute(again)
  assert restored.digest() == session.digest()


def test_given_state_is_not_changed(simulator):
  state = simulator.open(5).snapshot()
  text = json.dumps(state)
  session = simulator.open(5, state)
  for key in state['shop/order']:
    session.execute(Call('delete_order', {'order_id': key}))
  assert json.dumps(state) == text and session.difference() == {'shop/order': dict.fromkeys(state['shop/order'])}


def test_canonical_equals_have_equal_effects(simulator):
  start = simulator.open(5).snapshot()
  customer = sorted(start['shop/customer'])[0]
  outcomes = set()
  for arguments in ({'product': 'tolmi', 'quantity': 2}, {'quantity': 2.0, 'product': 'tolmi', 'note': None}):
    session = simulator.open(5, start)
    session.execute(Call('create_order', {'customer_id': customer, **arguments}))
    outcomes.add(json.dumps(session.difference()))
  assert len(outcomes) == 1


@pytest.mark.parametrize(('arguments', 'named'), [
  ({'product': 'tolmi'}, 'customer_id'),
  ({'customer_id': 5, 'product': 'tolmi'}, 'customer_id'),
  ({'customer_id': 'cus_x', 'product': 'tolmi', 'colour': 'red'}, 'colour'),
  ({'customer_id': 'cus_x', 'product': 'tolmi', 'quantity': 'two'}, 'quantity'),
  ({'customer_id': 'cus_x', 'product': 'tolmi', 'quantity': 900}, 'quantity'),
  ({'customer_id': 'cus_x', 'product': float('nan')}, 'product'),
  ({'customer_id': 'cus_x', 'product': '\ud800'}, 'product'),
  ({'customer_id': 'cus_x', 'product': 'x' * 10**6}, 'product'),
  ([], 'arguments'),
])
def test_invalid_arguments_are_named(simulator, arguments, named):
  session = simulator.open(1)
  result = session.execute(Call('create_order', arguments))
  assert result.is_error and named in result.structured['error'] and len(result.content) < 300
  assert session.difference() == {}


def test_enum_and_unknown_tool(simulator):
  session = simulator.open(1)
  wrong = session.execute(Call('convert_currency', {'amount': 1, 'to': 'XYZ'}))
  assert wrong.is_error and '"to"' in wrong.structured['error'] and 'EUR' in wrong.structured['error']
  unknown = session.execute(Call('drop_tables', {}))
  assert unknown.is_error and 'drop_tables' in unknown.structured['error']


def test_call_is_the_same_asynchronously(simulator):
  call = Call('check_weather', {'city': 'Tolmi'})
  assert asyncio.run(simulator.open(1).call(call)) == simulator.open(1).execute(call)


def test_two_tools_of_one_name_are_refused(shop):
  with pytest.raises(ValueError, match='same name'):
    Simulator([shop[0], shop[0]])


def test_speed(simulator):
  state = simulator.open(5).snapshot()
  key = sorted(state['shop/order'])[0]
  simulator.open(5, state).execute(Call('get_order', {'order_id': key}))
  spans = []
  for _ in range(50):
    start = time.perf_counter()
    simulator.open(5, state).execute(Call('get_order', {'order_id': key}))
    spans.append(time.perf_counter() - start)
  assert sorted(spans)[5] < 0.002  # 0.3 ms on an idle machine


JSONS = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_mutants_never_raise_and_errors_change_nothing(simulator, data):
  name = data.draw(st.sampled_from(sorted(simulator.catalog.operations)))
  tool = simulator.catalog.operations[name].tool
  keys = st.sampled_from([*tool.parameters, 'surplus'])
  session = simulator.open(2)
  result = session.execute(Call(name, data.draw(st.dictionaries(keys, JSONS, max_size=4) | JSONS)))
  if result.is_error:
    assert session.difference() == {}
  elif tool.output_schema is not None:
    assert schemas.compiled(tool.output_schema).accepts(result.structured)


def test_absurd_nesting_is_an_error(simulator):
  deep: dict = {}
  for _ in range(100_000):
    deep = {'a': deep}
  session = simulator.open(1)
  assert session.execute(Call('send_newsletter', {'subject': deep})).is_error
  assert session.execute(Call('send_newsletter', deep)).is_error


NAMES = st.sampled_from([
  'get_order', 'createUser', 'list_items', 'delete', 'cancelOrder', 'x', 'pets', 'add_item_to_cart', 'mark_task_as_done'])
FIELDS = st.sampled_from(['id', 'order_id', 'userId', 'name', 'status', 'price', 'date', 'items', 'query', 'limit', 'tags'])
TYPES = st.sampled_from(['string', 'integer', 'number', 'boolean', 'array', 'object', 'null', 'any', 5, ['string', 'null']])
KEYWORDS = st.fixed_dictionaries({}, optional={
  'type': TYPES, 'enum': st.lists(JSONS, max_size=3), 'minimum': st.integers(-5, 5) | st.booleans(), 'maximum': st.integers(-5, 5),
  'pattern': st.sampled_from(['^[a-z]{3}$', '(', '[0-9]+-[A-F]', '(?=x)y', '.*']), 'format': st.sampled_from(['date', 'email', 'zzz']),
  'required': st.lists(FIELDS, max_size=2) | st.booleans(), '$ref': st.sampled_from(['#', '#/$defs/a', '#/properties/id', 'other.json']),
  'minLength': st.integers(-1, 9), 'maxLength': st.integers(-1, 9), 'uniqueItems': st.booleans(), 'default': JSONS,
  'minItems': st.integers(0, 4), 'maxItems': st.integers(0, 4), 'multipleOf': st.sampled_from([0, 0.5, 3])})
SCHEMAS = st.recursive(KEYWORDS, lambda inner: st.builds(lambda a, b: {**a, **b}, KEYWORDS, st.fixed_dictionaries({}, optional={
  'properties': st.dictionaries(FIELDS, inner, max_size=4), 'items': inner | st.booleans(), 'anyOf': st.lists(inner, max_size=2),
  'oneOf': st.lists(inner, max_size=2), 'allOf': st.lists(inner, max_size=2), 'additionalProperties': inner | st.booleans(),
  '$defs': st.fixed_dictionaries({'a': inner})})), max_leaves=6)
EFFECTS = st.sampled_from(['read', 'create', 'update', 'delete', 'action', 'pure'])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NAMES, EFFECTS, SCHEMAS, st.none() | SCHEMAS), min_size=1, max_size=3), st.data())
def test_any_tool_can_be_called(specs, data):
  tools = [Tool(f'{n}_{i}' if i else n, '', {**s, 'type': 'object'}, o, 'srv', e, ()) for i, (n, e, s, o) in enumerate(specs)]
  session = Simulator(tools).open(1)
  tool = data.draw(st.sampled_from(tools))
  arguments = values.generate(tool.input_schema, tool.name, 1, 'train')
  for content in (arguments, data.draw(st.dictionaries(FIELDS, JSONS, max_size=3))):
    result = session.execute(Call(tool.name, content))
    assert isinstance(result.content, str) and session.digest()
