from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.toolbox import graph
from inftool_jax.types import Origin, Tool

ID = {'type': 'string'}


def tool(name, server='shop', inputs=None, outputs=None, path='', effect='read', required=()):
  output = None if outputs is None else {'type': 'object', 'properties': outputs}
  schema = {'type': 'object', 'properties': inputs or {}, 'required': list(required)}
  return Tool(name, '', schema, output, server, effect, (Origin('f', '', server, 'd', 'GET', path),))


def pairs(edges):
  return [(e.source_tool, e.path, e.target_tool, e.parameter, e.score) for e in edges]


def test_an_identifier_flows_to_where_it_is_asked_for():
  tools = (
    tool('create_order', outputs={'id': ID, 'status': ID}, effect='create'),
    tool('list_orders', outputs={'orders': {'type': 'array', 'items': {'type': 'object', 'properties': {'order_id': ID}}}}),
    tool('get_invoice', outputs={'invoice': {'type': 'object', 'properties': {'id': ID}}}),
    tool('cancel_order', inputs={'order_id': ID, 'status': ID}, required=['order_id']),
  )
  assert pairs(graph.edges(tools)) == [
    ('create_order', '$.id', 'cancel_order', 'order_id', 1.0),
    ('list_orders', '$.orders[*].order_id', 'cancel_order', 'order_id', 1.0),
    ('create_order', '$.status', 'cancel_order', 'status', 0.8)]


def test_the_collection_in_the_path_tells_what_an_id_is_of():
  tools = (
    tool('a', outputs={'id': ID}, path='/orders', effect='create'), tool('b', outputs={'id': ID}, path='/pets', effect='create'),
    tool('c', inputs={'id': ID}, path='/orders/{id}/items'))
  assert pairs(graph.edges(tools)) == [('a', '$.id', 'c', 'id', 1.0)]


def test_the_same_server_comes_first_and_others_may_be_left_out():
  other, own = tool('find_city', 'maps', outputs={'city': ID}), tool('find_address', outputs={'city': ID})
  target = tool('ship', inputs={'city': ID})
  assert pairs(graph.edges((other, own, target))) == [
    ('find_address', '$.city', 'ship', 'city', 0.8), ('find_city', '$.city', 'ship', 'city', 0.4)]
  assert [e.source_tool for e in graph.edges((other, own, target), across_servers=False)] == ['find_address']
  assert [e.source_tool for e in graph.edges((other, own, target), per_parameter=1)] == ['find_address']


def test_what_cannot_flow_makes_no_edge():
  source = {
    'city': {'type': 'boolean'}, 'weight': {'type': 'number'}, 'color': ID, 'when': {'type': 'string', 'format': 'date'}, 'name': ID}
  target = tool('ship', inputs={
    'city': ID, 'weight': {'type': 'integer'}, 'color': {'type': 'string', 'enum': ['red']}, 'when': {'type': 'string', 'format': 'email'},
    'name': ID})
  assert graph.edges((tool('get_city', outputs=source), target)) == ()


def test_an_integer_fills_a_number():
  assert [e.score for e in graph.edges((
    tool('get_box', outputs={'weight': {'type': 'integer'}}), tool('ship', inputs={'weight': {'type': 'number'}})))] == [0.8]


def test_deleted_things_and_echoed_arguments_feed_nothing():
  tools = (
    tool('delete_order', inputs={'order_id': ID}, outputs={'order_id': ID}, effect='delete', required=['order_id']),
    tool('get_order', inputs={'order_id': ID}, outputs={'order_id': ID}, required=['order_id']),
    tool('pay_order', inputs={'order_id': ID}, required=['order_id']))
  assert graph.edges(tools) == ()


def test_a_date_of_the_same_thing_fits_by_its_format():
  day = {'type': 'string', 'format': 'date'}
  tools = (
    tool('get_flight', outputs={'flight': {'type': 'object', 'properties': {'departs': day}}}),
    tool('find_flights', inputs={'day': day}))
  assert [e.score for e in graph.edges(tools)] == [0.4]


NAMES = st.sampled_from(['id', 'order_id', 'pet_id', 'city', 'name', 'orderId', 'a.b', ''])
SCHEMAS = st.sampled_from([ID, {'type': 'integer'}, {'type': ['string', 'null']}, {}, True, {'type': 'array', 'items': ID}])
PROPERTIES = st.dictionaries(NAMES, SCHEMAS, max_size=3)
MADE = st.lists(st.tuples(st.sampled_from(['shop', 'zoo']), PROPERTIES, PROPERTIES), max_size=8)


@given(MADE)
def test_edges_are_deterministic_ordered_and_between_what_exists(made):
  tools = [tool(f't{i}', server, inputs, outputs) for i, (server, inputs, outputs) in enumerate(made)]
  edges = graph.edges(tools, per_parameter=3)
  assert edges == graph.edges(tuple(tools), per_parameter=3)
  by_name = {t.name: t for t in tools}
  into: dict[tuple[str, str], list[float]] = {}
  for edge in edges:
    assert edge.source_tool != edge.target_tool and 0 < edge.score <= 1
    assert edge.parameter in by_name[edge.target_tool].parameters
    into.setdefault((edge.target_tool, edge.parameter), []).append(edge.score)
  assert all(scores == sorted(scores, reverse=True) and len(scores) <= 3 for scores in into.values())
