import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.synthesis.slots import Slot, may_be_unnamed, spoken, value_class, whole_words
from inftool_jax.synthesis.wording import families, lexicon, phrases
from inftool_jax.synthesis.wording.compose import Need, Part, word
from tests.synthesis.small_tools import BY_NAME, TEXT, tool

VALUES = {
  'customer_email': 'maro@tilden.net', 'item': 'Dusk Lantern', 'quantity': 4, 'order_id': 'ord_4f9k2a', 'status': 'shipped',
  'city': 'Velora',
  'seats': 12, 'name': 'Corvin', 'roomId': 'roo_zz91xk', 'value': 12.5, 'from_unit': 'km', 'to_unit': 'mile', 'amount': 52, 'years': 7,
  'fixed': False, 'start_date': '2031-04-17', 'end_date': '2031-05-02', 'guest_id': 'gue_77aaz2', 'phone': '+44 555 0199',
  'email': 'tia@lund.org', 'nights': 3,
}  # fmt: skip


def slots_of(one):
  return tuple(Slot(0, one, name, VALUES[name]) for name in one.parameters)


@pytest.mark.parametrize('split', families.SPLITS)
@pytest.mark.parametrize('name', sorted(BY_NAME))
def test_every_value_is_said_in_every_family(name, split):
  tool = BY_NAME[name]
  need = Need((Part(tool, slots_of(tool)),), ('status',))
  for seed in range(25):
    said = word(need, split, seed)
    assert said.family in {f.name for f in families.of_split(split)}
    assert {parameter for _, parameter in said.provenance} == set(tool.parameters)
    for (_, parameter), provenance in said.provenance.items():
      assert whole_words(said.opening, provenance.path), said.opening
      expected = 'without fixed' if parameter == 'fixed' else spoken(VALUES[parameter])
      assert provenance.path == expected
    assert whole_words(said.opening, 'status'), said.opening
    assert '{' not in said.opening and len(said.opening.split()) <= 60


def test_about_half_of_the_arguments_go_without_their_name():
  named = []
  for one in BY_NAME.values():
    for seed in range(20):
      named += [p.named for p in word(Need((Part(one, slots_of(one)),)), 'train', seed).provenance.values()]
  assert 0.35 < sum(named) / len(named) < 0.65


def test_families_are_many_and_held_out_whole():
  names = {split: {f.name for f in families.of_split(split)} for split in families.SPLITS}
  assert len(names['train']) >= 8 and len(names['dev']) == 2 and len(names['test']) >= 3
  assert sum(map(len, names.values())) == len(families.FAMILIES) >= 12
  frames = {split: {x for f in families.of_split(split) for x in (*f.frames, *f.asking, *f.direct)} for split in families.SPLITS}
  assert not frames['train'] & frames['test'] and not frames['train'] & frames['dev'] and not frames['dev'] & frames['test']


def test_test_wording_has_verbs_of_its_own():
  train, test = (set(lexicon.synonyms('cancel', held_out)) for held_out in (False, True))
  assert train < test


def test_two_unnamed_values_of_one_class_are_never_said():
  loan = BY_NAME['loan_payment']
  need = Need((Part(loan, slots_of(loan)),))
  for seed in range(60):
    said = word(need, 'train', seed)
    assert any(said.provenance[0, name].named for name in ('amount', 'years')), said.opening


def test_an_optional_rival_of_the_same_class_forces_the_name():
  either = tool('note', 'Note.', {'motto': TEXT, 'slogan': TEXT}, ('motto',), 'pure', 's', {})
  assert may_be_unnamed(Slot(0, either, 'motto', 'x'), frozenset())  # the other one need not be there
  assert not may_be_unnamed(Slot(0, either, 'slogan', 'x'), frozenset())
  assert may_be_unnamed(Slot(0, either, 'slogan', 'x'), frozenset({'motto'}))


def test_one_slot_more_changes_nothing_else():
  room = BY_NAME['createRoom']
  slots = slots_of(room)
  for seed in range(20):
    more, less = word(Need((Part(room, slots),)), 'train', seed), word(Need((Part(room, slots[1:]),)), 'train', seed)
    assert (more.family, more.register) == (less.family, less.register)


@pytest.mark.parametrize(
  ('name', 'description', 'effect', 'verb', 'noun'),
  [
    ('getUserById', '', 'read', 'get', 'user'),
    ('find_pets_by_status', '', 'read', 'find', 'pets'),
    ('orders_create', '', 'create', 'create', 'orders'),
    ('switch_off_lamp', 'Lamps go dark.', 'action', 'run', 'switch off lamp'),
    ('switch_off_lamp', 'Switch off a lamp at home.', 'action', 'switch off', 'lamp'),
    ('hire_employee', 'Hire an employee.', 'create', 'hire', 'employee'),
    ('distance', 'The distance between two towns.', 'pure', 'calculate', 'distance'),
    ('rent_bike', 'Create a bike rental for a renter', 'create', 'create', 'bike rental'),
    ('search', 'Search the catalog.', 'read', 'search', 'catalog'),
  ],
)
def test_phrases(name, description, effect, verb, noun):
  assert phrases.phrase(tool(name, description, {}, (), effect, 's', {})) == phrases.Phrase(verb, noun)


@pytest.mark.parametrize(
  ('verb', 'gerund', 'participle'),
  [('cancel', 'canceling', 'canceled'), ('call off', 'calling off', 'called off'),
   ('set', 'setting', 'set'), ('file', 'filing', 'filed'),
   ('copy', 'copying', 'copied'), ('get rid of', 'getting rid of', 'gotten rid of'), ('tie', 'tying', 'tied'),
   ('ship', 'shipping', 'shipped'), ('log', 'logging', 'logged')],
)  # fmt: skip
def test_inflections(verb, gerund, participle):
  assert (lexicon.gerund(verb), lexicon.participle(verb)) == (gerund, participle)


@pytest.mark.parametrize('split', families.SPLITS)
def test_a_pronoun_stands_before_the_particle(split):
  erase = BY_NAME['delete_order']
  openings = [word(Need((Part(erase, (), 'it'),)), split, seed).opening for seed in range(80)]
  assert not any(f'{ending} it' in opening for opening in openings for ending in (' out', ' up'))
  if split == 'test':
    assert any('it out' in opening for opening in openings)  # wipe it out


def test_value_classes():
  assert value_class('customerEmail', {'type': 'string'}) == 'email'
  assert value_class('when', {'type': 'string', 'format': 'date'}) == 'date'
  assert value_class('city_name', {'type': 'string'}) == 'title'
  assert value_class('size', {'type': 'string', 'enum': ['s', 'm']}) == 'enum'
  assert value_class('x', {'type': ['null', 'integer']}) == 'number'


odd = st.text(alphabet=string.ascii_letters + string.digits + '_-', min_size=1, max_size=64)
scalar = st.one_of(st.integers(-999, 999), st.booleans(), st.from_regex(r'[A-Za-z0-9{}$\\.]{1,12}', fullmatch=True))


@settings(max_examples=120, deadline=None)
@given(odd, st.text(max_size=60), st.dictionaries(odd, scalar, max_size=4), st.sampled_from(families.SPLITS), st.integers(0, 10**9))
def test_wording_is_total(name, description, values, split, seed):
  kinds = {bool: 'boolean', int: 'integer', str: 'string'}
  properties = {parameter: {'type': kinds[type(value)]} for parameter, value in values.items()}
  one = tool(name, description, properties, tuple(properties), 'action', 'srv', {})
  said = word(Need((Part(one, tuple(Slot(0, one, p, v) for p, v in values.items())),), ('odd {f}',)), split, seed)
  assert said.opening.strip()
  assert all(p.path in said.opening for p in said.provenance.values())
