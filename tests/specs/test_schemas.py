import json

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.specs import schemas

NAMES = ('A', 'B', 'C')
REF = st.sampled_from(NAMES).map(lambda n: {'$ref': f'#/defs/{n}'})
SCHEMA = st.recursive(
  REF | st.sampled_from([{'type': 'string'}, {'type': 'integer', 'nullable': True}, {}, True, False]),
  lambda inner: st.one_of(
    inner.map(lambda s: {'type': 'array', 'items': s}),
    st.dictionaries(st.sampled_from('xyz'), inner, max_size=3).map(lambda p: {'type': 'object', 'properties': p, 'required': list(p)}),
    st.lists(inner, min_size=1, max_size=3).map(lambda b: {'allOf': b}),
    st.lists(inner, min_size=1, max_size=3).map(lambda b: {'anyOf': b}),
    inner.map(lambda s: {'type': 'object', 'additionalProperties': s})),
  max_leaves=8)


def node_document():
  return {'defs': {'Node': {'type': 'object', 'description': 'A node.', 'required': ['value'], 'properties': {
    'value': {'type': 'string'}, 'children': {'type': 'array', 'items': {'$ref': '#/defs/Node'}}}}}}


def nodes(schema):
  if isinstance(schema, dict):
    return 1 + sum(nodes(v) for v in schema.values())
  return sum(nodes(v) for v in schema) if isinstance(schema, list) else 0


@settings(max_examples=60)
@given(st.fixed_dictionaries({n: SCHEMA for n in NAMES}), SCHEMA)
def test_any_web_of_references_becomes_a_small_self_contained_schema(defs, schema):
  expander = schemas.Expander({'defs': defs})
  out = expander.expand(schema, sending=True)
  jsonschema.Draft202012Validator.check_schema(out)
  assert '"$ref"' not in json.dumps(out)
  assert nodes(out) <= 4 * schemas.MAX_NODES
  assert expander.problems == ()


def test_a_recursive_reference_is_put_in_place_once_more_and_then_cut():
  out = schemas.Expander(node_document()).expand({'$ref': '#/defs/Node'}, sending=True)
  inner = out['properties']['children']['items']
  assert inner['properties']['value'] == {'type': 'string'}
  assert inner['properties']['children']['items'] == {'type': 'object', 'description': 'A node.'}


def test_references_that_only_lead_to_one_another_end():
  document = {'defs': {'A': {'$ref': '#/defs/B'}, 'B': {'$ref': '#/defs/A'}}}
  assert schemas.Expander(document).expand({'$ref': '#/defs/A'}, sending=True) == {}


def test_too_wide_a_schema_loses_depth_and_no_property():
  wide = {'type': 'object', 'properties': {f'p{i}': {'type': 'object', 'properties': {'x': {'type': 'string'}}} for i in range(400)}}
  out = schemas.Expander({}).expand(wide, sending=True)
  assert len(out['properties']) == 400
  assert out['properties']['p0'] == {'type': 'object'}


def test_a_reference_to_nowhere_is_any_value_and_told():
  expander = schemas.Expander({})
  schema = {'type': 'object', 'properties': {'a': {'$ref': 'other.yaml#/X'}, 'b': {'$ref': '#/x'}, 'c': {'$ref': '#/x'}}}
  assert expander.expand(schema, sending=True)['properties'] == {'a': {}, 'b': {}, 'c': {}}
  assert len(expander.problems) == 2 and 'other.yaml' in expander.problems[0]


def test_escaped_pointers():
  document = {'a/b': [{'x~y z': {'type': 'integer'}}]}
  assert schemas.Expander(document).expand({'$ref': '#/a~1b/0/x~0y%20z'}, sending=True) == {'type': 'integer'}


def test_all_of_is_merged():
  schema = {'allOf': [
    {'type': 'object', 'required': ['a', 'b'], 'properties': {'a': {'type': 'string', 'maxLength': 9}}, 'additionalProperties': False},
    {'properties': {'a': {'maxLength': 5, 'enum': ['x', 'y']}, 'b': {'type': 'integer'}}}]}
  assert schemas.Expander({}).expand(schema, sending=True) == {
    'type': 'object', 'required': ['a', 'b'],
    'properties': {'a': {'type': 'string', 'maxLength': 5, 'enum': ['x', 'y']}, 'b': {'type': 'integer'}}}


def test_two_choices_are_both_kept():
  one, two = [{'type': 'string'}, {'type': 'integer'}], [{'type': 'string'}, {'type': 'boolean'}]
  out = schemas.Expander({}).expand({'allOf': [{'oneOf': one}, {'oneOf': two}]}, sending=True)
  assert out == {'oneOf': one, 'allOf': [{'oneOf': two}]}


def test_optional_as_a_choice_with_null_is_a_nullable_type():
  schema = {'anyOf': [{'type': 'string'}, {'type': 'null'}], 'description': 'A name.'}
  assert schemas.Expander({}).expand(schema, sending=True) == {'type': ['string', 'null'], 'description': 'A name.'}


def test_siblings_of_a_reference():
  expander = schemas.Expander({'P': {'type': 'string', 'description': 'General.'}})
  assert expander.expand({'$ref': '#/P', 'description': 'Special.'}, sending=True) == {'type': 'string', 'description': 'Special.'}
  assert expander.expand({'$ref': '#/P', 'maxLength': 3}, sending=True)['maxLength'] == 3


def test_read_only_properties_are_not_sent_and_write_only_ones_not_received():
  schema = {'type': 'object', 'required': ['id', 'key'], 'properties': {
    'id': {'type': 'string', 'readOnly': True}, 'key': {'type': 'string', 'writeOnly': True}}}
  assert schemas.Expander({}).expand(schema, sending=True) == {
    'type': 'object', 'properties': {'key': {'type': 'string'}}, 'required': ['key']}
  assert list(schemas.Expander({}).expand(schema, sending=False)['properties']) == ['id']


def test_tuples_and_flags_of_old_drafts():
  schema = {'type': 'object', 'properties': {
    'pair': {'type': 'array', 'items': [{'type': 'string'}, {'type': 'integer'}], 'additionalItems': False}, 'must': {'required': True}}}
  assert schemas.Expander({}).expand(schema, sending=True) == {
    'type': 'object', 'required': ['must'], 'properties': {
      'pair': {'type': 'array', 'prefixItems': [{'type': 'string'}, {'type': 'integer'}], 'items': {'not': {}}}, 'must': {}}}


def multiplying(key, times, levels=14):
  """Each definition holds the next one several times."""
  inner = {f'a{i}': {key: [{'$ref': f'#/d/a{i + 1}'}] * times} for i in range(levels)}
  return {'d': {**inner, f'a{levels}': {'type': 'string'}}}


def test_references_that_multiply_stay_small():
  for key in ('allOf', 'anyOf', 'prefixItems'):
    out = schemas.Expander(multiplying(key, 9)).expand({'$ref': '#/d/a0'}, sending=True)
    assert nodes(out) <= 4 * schemas.MAX_NODES
    jsonschema.Draft202012Validator.check_schema(out)


def test_a_document_is_expanded_so_far_and_no_further(monkeypatch):
  monkeypatch.setattr(schemas, 'MAX_TOTAL', 2000)
  document = {'d': {f'a{i}': {'type': 'object', 'properties': {f'p{j}': {'type': 'string'} for j in range(200)}} for i in range(2)}}
  expander = schemas.Expander(document)
  sizes = [len(expander.expand({'$ref': '#/d/a0'}, sending=True).get('properties', {})) for _ in range(20)]
  assert sizes[0] == 200 and sizes[-1] == 0 and 'more than 2,000 subschemas' in expander.problems[0]


def test_a_reference_to_a_file_reads_none(tmp_path):
  secret = tmp_path / 'secret.json'
  secret.write_text('{"type": "string"}')
  for ref in (str(secret), f'file://{secret}', '../secret.json', f'{secret}#/type', '#/../secret.json', 'https://example.com/x.json'):
    expander = schemas.Expander({})
    assert expander.expand({'$ref': ref}, sending=True) == {}
    assert 'does not lead to anything in this file' in expander.problems[0]
