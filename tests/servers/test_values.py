from __future__ import annotations

import re

import pytest

from inftool_jax import seeds
from inftool_jax.servers import identifiers, schemas, values, words

FREE = ('name', 'title', 'product_name', 'email', 'phone', 'city', 'author', 'description', 'url', 'code', 'tag', 'username', 'street')
SCHEMAS = {
  'price': {'type': 'number', 'minimum': 5, 'maximum': 6},
  'quantity': {'type': 'integer', 'exclusiveMinimum': 2, 'exclusiveMaximum': 4},
  'share': {'type': 'number', 'multipleOf': 0.25, 'minimum': 0, 'maximum': 1},
  'start': {'type': 'string', 'format': 'date'},
  'sku': {'type': 'string', 'pattern': '^[A-Z]{3}-[0-9]{4}$'},
  'short': {'type': 'string', 'minLength': 3, 'maxLength': 5},
  'long': {'type': 'string', 'minLength': 60},
  'level': {'enum': ['low', 'high']},
  'version': {'const': 3},
  'maybe': {'type': ['null', 'string']},
  'tags': {'type': 'array', 'items': {'type': 'string'}, 'minItems': 2, 'uniqueItems': True},
  'pair': {'type': 'array', 'prefixItems': [{'type': 'number'}, {'type': 'boolean'}], 'items': False, 'minItems': 2},
  'payer': {'oneOf': [{'type': 'object', 'properties': {'iban': {'type': 'string'}}, 'required': ['iban'], 'additionalProperties': False},
                      {'type': 'integer', 'minimum': 10}]},
  'both': {'allOf': [{'type': 'object', 'properties': {'a': {'type': 'string'}}, 'required': ['a']},
                     {'properties': {'b': {'type': 'integer'}}, 'required': ['b']}]},
  'extra': {'type': 'object', 'additionalProperties': {'type': 'integer'}},
  'tree': {'$ref': '#/$defs/node', '$defs': {'node': {'type': 'object', 'required': ['label'], 'properties': {
    'label': {'type': 'string'}, 'children': {'type': 'array', 'items': {'$ref': '#/$defs/node'}}}}}},
}


@pytest.mark.parametrize('name', sorted(SCHEMAS))
@pytest.mark.parametrize('pool', words.POOLS)
def test_values_are_valid_and_repeatable(name, pool):
  for seed in range(12):
    value = values.generate(SCHEMAS[name], name, seed, pool)
    assert schemas.compiled(SCHEMAS[name]).accepts(value), value
    assert values.generate(SCHEMAS[name], name, seed, pool) == value


@pytest.mark.parametrize('name', FREE)
def test_pools_share_no_free_string(name):
  drawn = {pool: {values.generate({'type': 'string'}, name, seed, pool) for seed in range(150)} for pool in words.POOLS}
  assert all(len(found) > 100 for found in drawn.values())
  assert not drawn['train'] & drawn['test'] and not drawn['train'] & drawn['dev'] and not drawn['dev'] & drawn['test']


@pytest.mark.parametrize(('name', 'schema'), [
  ('price', {'type': 'number'}),
  ('thing', {'type': 'integer', 'minimum': 0, 'maximum': 500}), ('day', {'type': 'string', 'format': 'date'}),
  ('at', {'type': 'string', 'format': 'date-time'}), ('start', {'type': 'string', 'format': 'time'}),
])
def test_pools_share_no_number_or_date_where_there_is_room(name, schema):
  drawn = {pool: {values.generate(schema, name, seed, pool) for seed in range(80)} for pool in ('train', 'test')}
  assert len(drawn['test']) > 20 and not drawn['train'] & drawn['test']


def test_made_words_have_one_decomposition():
  syllable = re.compile(r'[bdfghjklmnprstvwz](?:ai|ea|ou|io|[aeiou])(?:[lmnrskt](?![aeiou]))?')
  for pool in words.POOLS:
    for seed in range(100):
      rng = seeds.rng(seed, pool)
      word = words.made_word(rng, pool)
      parts = syllable.findall(word)
      assert ''.join(parts) == word and all(words.pool_of(p) == pool for p in parts)


def test_free_names_are_short_and_varied():
  names = {values.generate({'type': 'string'}, 'label_of_thing', seed, 'train') for seed in range(200)}
  drawn = {values.generate({'type': 'string'}, 'thing', seed, 'train') for seed in range(300)}
  assert len(drawn) > 280 and len(names) > 150
  assert all(4 <= len(d) <= 14 and len(d.split()) <= 2 for d in drawn)


def test_every_stock_has_something_for_every_pool():
  assert all(len(words.share(stock, pool)) >= 3 for stock in words.STOCKS for pool in words.POOLS)


def test_ids_are_opaque():
  ids = [identifiers.opaque('shop/order', '1', str(i)) for i in range(100)]
  assert len(set(ids)) == 100 and all(re.fullmatch(r'ord_[a-z2-7]{6}', i) for i in ids) and ids != sorted(ids)


def test_endless_references_end():
  schema = {'type': 'object', 'properties': {'a': {'$ref': '#/$defs/a'}}, 'required': ['a'],
            '$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#/$defs/a'}}}
  assert isinstance(values.generate(schema, 'x', 1, 'train'), dict)
