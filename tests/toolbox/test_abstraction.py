"""The merged tool takes what its home took, and what the others took under its own names."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.toolbox.abstraction import SchemaUnion

TEXT = {'type': 'string'}


def test_parameters_are_united_under_the_names_of_the_first(tool):
  home = tool('find_flat', 'Finds flats.', {'city': TEXT, 'max_rent': {'type': 'integer', 'maximum': 900}}, ('city',))
  parameters = {'City': TEXT, 'maxRent': {'type': 'integer', 'maximum': 2000}, 'pets': {'type': 'boolean'}}
  other = tool('search_flat', 'Flats of a city.', parameters, ('City',), server='b', outputs={'flats': {'type': 'array'}})
  merged = SchemaUnion().merge([home, other])
  assert merged.tool.parameters == {'city': TEXT, 'max_rent': {'type': 'integer', 'maximum': 2000}, 'pets': {'type': 'boolean'}}
  assert (merged.tool.required, merged.tool.name, merged.tool.description) == (('city',), 'find_flat', 'Finds flats.')
  assert merged.tool.output_schema == other.output_schema
  assert merged.renamed == {'search_flat.City': 'city', 'search_flat.maxRent': 'max_rent'}
  assert (merged.added, merged.dropped) == (('pets',), ())
  assert merged.tool.lineage == home.lineage + other.lineage


def test_a_parameter_of_its_own_document_is_dropped_and_told(tool):
  other = tool('b', '', {'city': TEXT, 'place': {'$ref': '#/$defs/place'}}, ('city',))
  merged = SchemaUnion().merge([tool('a', '', {'city': TEXT}, ('city',)), other])
  assert (list(merged.tool.parameters), merged.dropped) == (['city'], ('b.place',))


def test_what_contradicts_is_not_merged(tool):
  two = [tool('a', '', {'n': TEXT}, ('n',)), tool('b', '', {'n': {'type': 'integer'}}, ('n',))]
  with pytest.raises(ValueError, match='a and b contradict each other'):
    SchemaUnion().merge(two)


scalars = st.one_of(
  st.builds(lambda low, more: {'type': 'integer', 'minimum': low, 'maximum': low + more}, st.integers(-5, 5), st.integers(0, 5)),
  st.builds(lambda values: {'enum': values}, st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True)),
  st.builds(lambda n: {'type': 'string', 'maxLength': n}, st.integers(0, 4)),
  st.just({'type': ['integer', 'null']}), st.just({'type': 'number'}), st.just({}), st.just({'const': 3}),
)
values = st.one_of(st.integers(-8, 12), st.text(alphabet='ab', max_size=5), st.none(), st.floats(-3, 3))


@given(ours=scalars, theirs=scalars, value=values)
def test_a_merged_parameter_takes_whatever_one_of_the_two_took(tool, ours, theirs, value):
  try:
    merged = SchemaUnion().merge([tool('a', '', {'x': ours}), tool('b', '', {'x': theirs})])
  except ValueError:
    return  # they contradict
  taken = [jsonschema.Draft202012Validator(s).is_valid(value) for s in (ours, theirs)]
  assert not any(taken) or jsonschema.Draft202012Validator(merged.tool.parameters['x']).is_valid(value)
