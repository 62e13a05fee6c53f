import json

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax import specs
from inftool_jax.specs.compacting import length
from inftool_jax.types import Tool

TEXT = st.text('abc .', max_size=60)
LEAF = st.one_of(
  st.builds(lambda d: {'type': 'string', 'description': d, 'examples': ['x']}, TEXT),
  st.builds(lambda n: {'type': 'string', 'enum': [f'v{i}' for i in range(n)], 'default': f'v{n - 1}'}, st.integers(1, 20)))
SCHEMA = st.recursive(LEAF, lambda inner: st.one_of(
  st.dictionaries(st.sampled_from('abcdef'), inner, max_size=4).map(
    lambda p: {'type': 'object', 'properties': p, 'required': sorted(p)[:1]}),
  inner.map(lambda s: {'type': 'array', 'items': s}), st.lists(inner, min_size=2, max_size=4).map(lambda b: {'anyOf': b})), max_leaves=6)


@st.composite
def tools(draw):
  properties = draw(st.dictionaries(st.sampled_from([f'p{i}' for i in range(14)]), SCHEMA, max_size=14))
  required = [name for name in properties if draw(st.booleans())]
  return Tool('t', draw(TEXT), {'type': 'object', 'properties': properties, 'required': required}, None, 's', 'read', ())


@settings(max_examples=60)
@given(tools(), st.integers(50, 2000))
def test_compact_keeps_required_parameters_and_never_grows(tool, limit):
  out = specs.compact(tool, limit)
  jsonschema.Draft202012Validator.check_schema(out.input_schema)
  assert out.required == tool.required and set(tool.required) <= set(out.parameters) <= set(tool.parameters)
  assert length(out) <= length(tool)
  assert length(out) <= limit or out == specs.compact(tool, 0)
  assert out.name == tool.name and out.lineage == tool.lineage


def big():
  properties = {f'o{i}': {'type': 'string', 'description': 'Some words here. And more.'} for i in range(12)}
  properties['need'] = {'type': 'object', 'description': 'Needed. Yes.', 'required': ['x'], 'properties': {
    'x': {'type': 'string', 'description': 'In. Out.', 'enum': [f'value{i}' for i in range(30)]}, 'y': {'type': 'string'}}}
  schema = {'type': 'object', 'properties': properties, 'required': ['need']}
  return Tool('t', 'First sentence. ' + 'Word ' * 100, schema, None, 's', 'read', ())


def test_a_tool_that_fits_is_itself():
  assert specs.compact(big(), 10_000) is not None and specs.compact(big(), 10_000) == big()


def test_each_step_in_its_order():
  tool, forms = big(), []
  while (smaller := specs.compact(tool, length(tool) - 1)) != tool:
    forms.append(tool := smaller)
  described = [sum('description' in s for s in f.parameters.values()) for f in forms]
  assert [f.description for f in forms] == ['First sentence.'] * len(forms)
  assert described == sorted(described, reverse=True)
  assert [len(f.parameters) for f in forms] == [13, 13, 9, 9, 9, 4, 1, 1]
  sizes = [len(json.dumps(f.parameters['need'])) for f in forms]
  assert sizes == sorted(sizes, reverse=True)
  assert forms[0].parameters['o0']['description'] == 'Some words here.'
  assert 'description' not in forms[1].parameters['o0'] and forms[1].parameters['need']['description'] == 'Needed.'
  assert len(forms[3].parameters['need']['properties']['x']['enum']) == 8
  assert list(forms[4].parameters['need']['properties']) == ['x']
  assert forms[-1].parameters == {'need': {'type': 'object'}}


def test_parameters_that_a_choice_requires_stay():
  schema = {'type': 'object', 'properties': {'a': {}, 'b': {}, 'c': {}}, 'anyOf': [{'required': ['a']}, {'required': ['b']}]}
  assert list(specs.compact(Tool('t', '', schema, None, 's', 'read', ()), 0).parameters) == ['a', 'b']
