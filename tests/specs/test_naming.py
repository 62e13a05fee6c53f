import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.specs import naming

VALID = re.compile(r'[A-Za-z0-9_-]{1,64}')


@given(st.text(max_size=120))
def test_valid_name_is_valid_for_any_text(text):
  assert VALID.fullmatch(naming.valid_name(text, 'tool'))


@given(st.lists(st.tuples(st.text(max_size=90), st.text(max_size=90)), max_size=40))
def test_names_are_valid_and_unique_and_none_is_lost(wanted):
  names = naming.Names()
  given_names = [names.claim(naming.valid_name(name, 'tool'), naming.slug(server, 'server')) for name, server in wanted]
  assert len(set(given_names)) == len(wanted)
  assert all(VALID.fullmatch(name) for name in given_names)


def test_a_taken_name_gets_its_server_and_then_a_number():
  names = naming.Names()
  assert [names.claim('search', 'shop') for _ in range(4)] == ['search', 'shop_search', 'shop_search_2', 'shop_search_3']
  assert names.claim('search', 'bank') == 'bank_search'


def test_a_long_name_stays_distinct():
  first, second = naming.shorten('a' * 70 + 'x'), naming.shorten('a' * 70 + 'y')
  assert first != second and len(first) == len(second) == 64


@pytest.mark.parametrize(('text', 'words'), [
  ('getPetByID', ['get', 'pet', 'by', 'id']), ('HTTPServer', ['http', 'server']), ('Café-Menü v2', ['cafe', 'menu', 'v2']), ('', [])])
def test_words(text, words):
  assert naming.words(text) == words


@pytest.mark.parametrize(('plural', 'one'), [
  ('orders', 'order'), ('cities', 'city'), ('addresses', 'address'), ('boxes', 'box'),
  ('status', 'status'), ('news', 'news'), ('gas', 'gas')])
def test_singular(plural, one):
  assert naming.singular(plural) == one


def test_prose_loses_tags_but_not_placeholders():
  assert naming.clean('<p>Gets  a <b>pet</b>.</p>\n<id> stays') == 'Gets a pet . <id> stays'
  assert naming.clean(None) == ''


def test_first_sentence():
  assert naming.first_sentence('Gets e.g. one pet. Then another.') == 'Gets e.g. one pet.'
  assert naming.first_sentence('word ' * 100, 20) == 'word word word word'
