"""Stocks of words, and pools: train, dev and test draw from disjoint parts of every stock.

What belongs to which pool is told from the text itself (a checksum), so the parts are disjoint without being listed.
Made-up words are chains of syllables consonant-vowel(-consonant). Every such word has one decomposition (a consonant
before a vowel opens a syllable), so words over disjoint sets of syllables are disjoint.
"""

from __future__ import annotations

import functools
import random
import zlib
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

Pool = Literal['train', 'dev', 'test']
POOLS: tuple[Pool, ...] = ('train', 'dev', 'test')

# Tries before a draw from a range too narrow to be shared is let through; an open range never needs as many.
MAX_TRIES = 200

def listed(text: str) -> list[str]:
  """The words of a table that is written as one string."""
  return text.split()


_ONSETS = listed('b d f g h j k l m n p r s t v w z')
_VOWELS = listed('a e i o u ai ea ou io')
_CODAS = ['', '', '', 'l', 'm', 'n', 'r', 's', 'k', 't']

NOUNS = listed(
  'amber anchor aspen beacon birch boulder brook cactus canyon cedar cinder cliff clover comet copper coral cove crater creek crystal '
  'delta dune echo ember falcon fern field fjord flint forest fountain fox garnet glacier granite grove harbor hawk hazel heron hill '
  'hollow island ivy jade jasper juniper lagoon lake lantern larch laurel lily linden lotus maple marble marsh meadow mesa mint moss '
  'nectar nest oak oasis ocean olive onyx opal orbit orchard otter palm pearl pebble pepper pine planet plume pond poplar prairie quartz '
  'quill raven reef ridge river robin rose ruby saffron sage sand sequoia shadow shell shore silver sparrow spruce star stone storm '
  'summit sun swan thistle thorn tide tiger timber topaz trail tulip tundra valley velvet violet walnut wave willow wren zephyr'
)
ADJECTIVES = listed(
  'able bold brave bright brisk broad calm clear clever cool crisp daily deep dusty eager early easy fair fancy fast final firm fresh '
  'gentle giant glad golden grand green happy hidden humble icy keen kind large late light little lively lone loud lucky mellow mild '
  'modern narrow neat new noble north open plain polite prime proud pure quick quiet rapid rare ready royal rustic sharp short silent '
  'simple sleek slim slow small smart smooth soft solid south steady still stout subtle sunny swift tall tidy tiny true urban vast warm '
  'west wide wild wise young'
)
FIRST_NAMES = listed(
  'Ada Aidan Alma Amir Anika Anton Bela Bruno Carla Cyrus Dana Dario Edith Elias Emre Esther Farah Felix Fiona Gita Greta Hana Hugo Ida '
  'Igor Ines Ivan Jonas Judit Kenji Lara Leon Lina Lucia Malik Marta Mila Nadia Nils Nora Omar Oscar Petra Priya Quentin Rafael Rosa '
  'Samir Selma Sofia Tariq Tessa Theo Uma Vera Victor Wanda Yara Yusuf Zoe'
)
COUNTRIES = listed(
  'Albania Argentina Austria Belgium Bolivia Brazil Bulgaria Canada Chile Colombia Croatia Cyprus Denmark Ecuador Egypt Estonia Fiji '
  'Finland France Georgia Germany Ghana Greece Hungary Iceland India Ireland Italy Jamaica Japan Jordan Kenya Latvia Lithuania Malta '
  'Mexico Morocco Nepal Norway Oman Panama Peru Poland Portugal Qatar Romania Senegal Serbia Slovenia Spain Sweden Tunisia Turkey Uruguay '
  'Vietnam Zambia'
)
COLORS = listed(
  'apricot azure beige black blue bronze brown burgundy crimson cyan gold gray green indigo khaki lavender lemon lilac lime magenta '
  'maroon mauve navy ochre orange peach pink plum purple red rust salmon scarlet sienna tan teal turquoise white yellow'
)
# Closed vocabularies: no pool can hold any of these out without leaving its readers without a value.
CURRENCIES = listed('USD EUR GBP JPY CHF SEK NOK CAD AUD INR BRL PLN')
LANGUAGES = listed('en de fr es it pt nl sv pl tr ja ko')
COUNTRY_CODES = listed('US DE FR ES IT PT NL SE PL TR JP KR CA BR IN NO')
TIMEZONES = listed('UTC Europe/Berlin Europe/Madrid America/New_York America/Lima Asia/Tokyo Asia/Kolkata Africa/Cairo')
WEEKDAYS = listed('Monday Tuesday Wednesday Thursday Friday Saturday Sunday')
MONTHS = listed('January February March April May June July August September October November December')
STATES = listed('open active pending new')
UNITS = listed('kg g km m cm mile liter hour minute piece')

Stock = Literal['noun', 'adjective', 'first_name', 'country', 'color']
STOCKS: Mapping[Stock, list[str]] = {
  'noun': NOUNS, 'adjective': ADJECTIVES, 'first_name': FIRST_NAMES, 'country': COUNTRIES, 'color': COLORS,
}
_STOCKED = frozenset(w.lower() for stock in STOCKS.values() for w in stock)

T = TypeVar('T')


def pool_of(text: str) -> Pool:
  """The pool that owns a text: three fifths of all texts are train's, one fifth dev's, one fifth test's."""
  bucket = zlib.crc32(text.lower().encode('utf-8', 'replace')) % 5
  return 'train' if bucket < 3 else 'dev' if bucket == 3 else 'test'


def held(pool: Pool, draw: Callable[[], T]) -> T:
  """The first draw whose text `pool` owns; the last draw if the pool owns none that could be found."""
  value = draw()
  for _ in range(MAX_TRIES):
    if pool_of(str(value)) == pool:
      break
    value = draw()
  return value


@functools.cache
def _syllables(pool: Pool, open_ended: bool) -> tuple[str, ...]:
  codas = [''] if open_ended else _CODAS
  return tuple(s for o in _ONSETS for v in _VOWELS for c in codas if pool_of(s := o + v + c) == pool)


@functools.cache
def share(stock: Stock, pool: Pool) -> tuple[str, ...]:
  """The pool's part of a stock."""
  return tuple(w for w in STOCKS[stock] if pool_of(w) == pool)


def pick(rng: random.Random, stock: Stock, pool: Pool) -> str:
  """A word from the pool's part of a stock."""
  return rng.choice(share(stock, pool))


def made_word(rng: random.Random, pool: Pool, syllables: int = 0) -> str:
  """A pronounceable word of 2 or 3 syllables (or as many as told), 4 to 12 letters, that is in no stock."""
  count = syllables or rng.choice((2, 2, 3))
  inner, last = _syllables(pool, True), _syllables(pool, False)
  while True:
    word = ''.join(rng.choice(inner) for _ in range(count - 1)) + rng.choice(last)
    if word not in _STOCKED and len(word) <= 12:
      return word


def free_name(rng: random.Random, pool: Pool) -> str:
  """A name of one or two words, 4 to 14 characters, mostly made up: it can be copied but not guessed."""
  shape = rng.random()
  if shape < 0.5:
    return made_word(rng, pool).capitalize()
  second = made_word(rng, pool, 2)
  if shape < 0.8:
    first = short_word(rng, pool, 13 - len(second))
    return f'{first.capitalize()} {second.capitalize()}'
  return (short_word(rng, pool, 14 - len(second)) + second).capitalize()


def short_word(rng: random.Random, pool: Pool, limit: int) -> str:
  """A stock noun or adjective of at most `limit` letters; limits under 5 are taken as 5."""
  stock = share('noun' if rng.random() < 0.5 else 'adjective', pool)
  return rng.choice([w for w in stock if len(w) <= max(limit, 5)])
