from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.servers.state import Store, digest

RECORDS = st.dictionaries(st.sampled_from('abc'), st.integers(0, 2) | st.booleans() | st.none(), max_size=3)
STATES = st.dictionaries(st.sampled_from(['s/x', 's/y']), st.dictionaries(st.sampled_from('123'), RECORDS, max_size=3), max_size=2)
WRITES = st.lists(st.tuples(st.sampled_from(['s/x', 's/y']), st.sampled_from('1234'), st.none() | RECORDS), max_size=6)


def test_difference_holds_what_changed_and_nothing_else():
  store = Store({'s/x': {'1': {'a': 1, 'b': 2}, '2': {'a': 1}, '3': {'a': 1}}})
  store.put('s/x', '1', {'a': 1, 'b': 3})
  store.put('s/x', '2', {'a': 1})
  store.delete('s/x', '3')
  store.put('s/x', '4', {'a': 9, 'b': [1]})
  store.put('s/x', '5', {})
  store.put('s/y', '6', {'a': 1})
  store.delete('s/y', '6')
  assert store.difference() == {'s/x': {'1': {'b': 3}, '3': None, '4': {'a': 9, 'b': [1]}, '5': {}}}


def test_true_is_not_one():
  store = Store({'s/x': {'1': {'a': 1}}})
  store.put('s/x', '1', {'a': True})
  assert store.difference()['s/x']['1']['a'] is True


@given(STATES, WRITES)
def test_writes_against_a_plain_dictionary(opening, writes):
  text = json.dumps(opening)
  store = Store(opening)
  plain = json.loads(text)
  for entity, key, record in writes:
    if record is None:
      store.delete(entity, key)
      plain.get(entity, {}).pop(key, None)
    else:
      store.put(entity, key, record)
      plain.setdefault(entity, {})[key] = record
  plain = {e: r for e, r in plain.items() if r}
  assert json.dumps(store.snapshot(), sort_keys=True) == json.dumps(plain, sort_keys=True)
  assert json.dumps(opening) == text
  again = Store(store.snapshot())
  assert again.digest() == store.digest() == digest(plain) and again.difference() == {}
  same = digest({e: r for e, r in opening.items() if r}) == store.digest()
  assert same == (store.difference() == {})


def test_what_is_read_out_is_a_copy():
  store = Store({'s/x': {'1': {'a': [1]}}})
  store.snapshot()['s/x']['1']['a'].append(2)
  store.put('s/x', '2', {'a': [1]})
  store.difference()['s/x']['2']['a'].append(2)
  assert store.snapshot() == {'s/x': {'1': {'a': [1]}, '2': {'a': [1]}}}
