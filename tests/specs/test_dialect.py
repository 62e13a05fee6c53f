import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.specs import dialect

ANY = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6) | st.lists(
  st.text(max_size=3) | st.integers(), max_size=3) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
KEYS = ['type', 'format', 'enum', 'const', 'default', 'example', 'examples', 'minimum', 'exclusiveMinimum', 'maxLength', 'minItems',
        'multipleOf', 'pattern', 'uniqueItems', 'description', 'nullable', 'title', 'properties', 'items']


@given(st.dictionaries(st.sampled_from(KEYS), ANY, max_size=8))
def test_whatever_the_keywords_hold_the_result_is_a_valid_schema(schema):
  jsonschema.Draft202012Validator.check_schema(dialect.nullable(dialect.keywords(schema)))


@pytest.mark.parametrize(('schema', 'expected'), [
  ({'type': 'number', 'minimum': 1, 'exclusiveMinimum': True}, {'type': 'number', 'exclusiveMinimum': 1}),
  ({'type': 'number', 'maximum': 1, 'exclusiveMaximum': False}, {'type': 'number', 'maximum': 1}),
  ({'type': 'string', 'enum': [1.0, True, 'x']}, {'type': 'string', 'enum': ['1.0', 'true', 'x']}),
  ({'type': 'integer', 'enum': ['1', '2', 'x'], 'default': '2'}, {'type': 'integer', 'enum': [1, 2], 'default': 2}),
  ({'type': 'integer', 'default': 'ten'}, {'type': 'integer'}),
  ({'type': 'file'}, {'type': 'string', 'format': 'binary'}),
  ({'type': 'nonsense'}, {}),
  ({'properties': {}}, {'type': 'object'}),
  ({'type': 'string', 'pattern': r'\p{L}+'}, {'type': 'string'}),
  ({'type': 'string', 'example': 'x', 'minLength': '3'}, {'type': 'string', 'minLength': 3, 'examples': ['x']}),
])
def test_keywords(schema, expected):
  assert dialect.keywords(schema) == expected


def test_nullable():
  assert dialect.nullable({'type': 'string', 'enum': ['a']}) == {'type': ['string', 'null'], 'enum': ['a', None]}
  assert dialect.nullable({'anyOf': [{'type': 'string'}]}) == {'anyOf': [{'type': 'string'}, {'type': 'null'}]}
  assert dialect.nullable({}) == {}
