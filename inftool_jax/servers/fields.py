"""Values that fit a field's name: what a `customer_email`, a `departure_time` or a `price` looks like."""

from __future__ import annotations

import datetime
import functools
import random
from collections.abc import Callable, Mapping

from inftool_jax.servers import identifiers, words
from inftool_jax.servers.words import Pool
from inftool_jax.specs import naming

Maker = Callable[[random.Random, Pool], str]

_FIRST_DAY = datetime.date(2024, 1, 1)
_DAYS = 1400


def _day(rng: random.Random, pool: Pool) -> datetime.date:
  return words.held(pool, lambda: _FIRST_DAY + datetime.timedelta(days=rng.randrange(_DAYS)))


def date(rng: random.Random, pool: Pool) -> str:
  return _day(rng, pool).isoformat()


def loose_date(rng: random.Random, pool: Pool) -> str:
  """A date where no format is asked for: each pool writes dates in its own way."""
  day = _day(rng, pool)
  month = words.MONTHS[day.month - 1]
  return {'train': day.isoformat(), 'dev': f'{day.day} {month[:3]} {day.year}', 'test': f'{month} {day.day}, {day.year}'}[pool]


def clock(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: f'{rng.randrange(24):02}:{rng.randrange(0, 60, 5):02}')


def full_time(rng: random.Random, pool: Pool) -> str:
  return clock(rng, pool) + ':00'


def moment(rng: random.Random, pool: Pool) -> str:
  return f'{date(rng, pool)}T{clock(rng, pool)}:00Z'


def first_name(rng: random.Random, pool: Pool) -> str:
  return words.pick(rng, 'first_name', pool) if rng.random() < 0.4 else words.made_word(rng, pool, 2).capitalize()


def last_name(rng: random.Random, pool: Pool) -> str:
  return words.made_word(rng, pool).capitalize()


def person(rng: random.Random, pool: Pool) -> str:
  return f'{first_name(rng, pool)} {words.made_word(rng, pool, 2).capitalize()}'


def handle(rng: random.Random, pool: Pool) -> str:
  return words.made_word(rng, pool, 2) + words.held(pool, lambda: str(rng.randrange(10, 100)))


def email(rng: random.Random, pool: Pool) -> str:
  ending = rng.choice(('com', 'org', 'net', 'io'))
  return f'{words.made_word(rng, pool, 2)}@{words.made_word(rng, pool, 2)}.{ending}'


def phone(rng: random.Random, pool: Pool) -> str:
  shape = {'train': '+{} {} {}', 'dev': '+{}-{}-{}', 'test': '+{} ({}) {}'}[pool]
  return words.held(pool, lambda: shape.format(rng.randrange(20, 99), rng.randrange(200, 999), rng.randrange(1000, 9999)))


def host(rng: random.Random, pool: Pool) -> str:
  return f'{words.made_word(rng, pool)}.{rng.choice(("com", "org", "net", "dev"))}'


def url(rng: random.Random, pool: Pool) -> str:
  return f'https://{host(rng, pool)}/{words.made_word(rng, pool, 2)}'


def city(rng: random.Random, pool: Pool) -> str:
  return words.made_word(rng, pool, 2).capitalize() + rng.choice(('', '', 'ford', 'ville', 'burg', 'mouth'))


def street(rng: random.Random, pool: Pool) -> str:
  return f'{rng.randrange(2, 240)} {words.made_word(rng, pool, 2).capitalize()} {rng.choice(("Street", "Road", "Lane"))}'


def postcode(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: f'{rng.randrange(10000, 99999)}')


def company(rng: random.Random, pool: Pool) -> str:
  return f'{words.made_word(rng, pool, 2).capitalize()} {rng.choice(("Ltd", "Group", "Labs", "Works"))}'


def tag(rng: random.Random, pool: Pool) -> str:
  return words.pick(rng, 'noun', pool) if rng.random() < 0.4 else words.made_word(rng, pool, 2)


def phrase(rng: random.Random, pool: Pool) -> str:
  """A line of text of two or three words."""
  middle = f'{words.pick(rng, "adjective", pool)} ' if rng.random() < 0.5 else ''
  return f'{words.made_word(rng, pool, 2).capitalize()} {middle}{words.pick(rng, "noun", pool)}'


def code(rng: random.Random, pool: Pool) -> str:
  letters = 'ABCDEFGHJKLMNPQRSTUVWXYZ'
  return words.held(pool, lambda: f'{rng.choice(letters)}{rng.choice(letters)}{rng.randrange(100, 999)}')


def file_path(rng: random.Random, pool: Pool) -> str:
  return f'/{words.made_word(rng, pool, 2)}/{words.made_word(rng, pool, 2)}.{rng.choice(("txt", "csv", "md", "json"))}'


def file_name(rng: random.Random, pool: Pool) -> str:
  return f'{words.made_word(rng, pool, 2)}.{rng.choice(("txt", "csv", "md", "json"))}'


def hexadecimal(rng: random.Random, pool: Pool) -> str:
  return f'{rng.getrandbits(64):016x}'


def uuid(rng: random.Random, pool: Pool) -> str:
  text = f'{rng.getrandbits(128):032x}'
  return f'{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}'


def address_v4(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: '.'.join(str(rng.randrange(1, 255)) for _ in range(4)))


def address_v6(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: ':'.join(f'{rng.randrange(4096, 65536):x}' for _ in range(8)))


def duration(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: f'PT{rng.randrange(1, 20)}H{rng.randrange(1, 60)}M')


def version(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: f'{rng.randrange(1, 9)}.{rng.randrange(20)}.{rng.randrange(20)}')


def color(rng: random.Random, pool: Pool) -> str:
  return words.pick(rng, 'color', pool)


def country(rng: random.Random, pool: Pool) -> str:
  return words.pick(rng, 'country', pool)


def _one_of(vocabulary: list[str]) -> Maker:
  return lambda rng, pool: rng.choice(vocabulary)


def numeral(rng: random.Random, pool: Pool) -> str:
  return words.held(pool, lambda: str(rng.randrange(100, 9999)))


FORMATS: Mapping[str, Maker] = {
  'date': date, 'time': full_time, 'date-time': moment, 'duration': duration, 'email': email, 'idn-email': email, 'hostname': host,
  'idn-hostname': host, 'ipv4': address_v4, 'ipv6': address_v6, 'uri': url, 'url': url, 'uri-reference': url, 'iri': url, 'uuid': uuid,
  'phone': phone,
}

# Words of a name (or two joined) -> maker. The longest match nearest to the name's end decides.
_BY_MAKER: Mapping[Maker, str] = {
  email: 'email mail email_address',
  phone: 'phone mobile fax telephone phone_number',
  url: 'url uri link website webpage homepage href webhook',
  host: 'hostname domain',
  city: 'city town destination origin airport port station location place region province municipality county',
  country: 'country nation nationality',
  _one_of(words.COUNTRY_CODES): 'country_code',
  street: 'address street venue',
  postcode: 'zip zipcode postcode postal postal_code zip_code',
  loose_date: 'date day birthday deadline due until since',
  clock: 'time hour start_time end_time',
  moment: 'timestamp datetime created_at updated_at date_time',
  _one_of(words.TIMEZONES): 'timezone time_zone',
  _one_of(words.CURRENCIES): 'currency currency_code',
  _one_of(words.LANGUAGES): 'language lang locale language_code',
  _one_of(words.WEEKDAYS): 'weekday',
  _one_of(words.MONTHS): 'month',
  _one_of(words.UNITS): 'unit units',
  _one_of(words.STATES): 'status stage phase',
  color: 'color colour',
  first_name: 'first_name given_name firstname nickname',
  last_name: 'last_name family_name surname lastname',
  person: 'customer user person author owner assignee guest patient student teacher employee member contact doctor driver agent artist '
  'full_name reporter player passenger sender_name recipient_name attendee instructor manager buyer seller '
  'recipient sender host visitor client tenant operator',
  handle: 'username login handle user_name screen_name',
  company: 'company organization employer vendor supplier brand manufacturer publisher airline carrier',
  phrase: 'title subject description note notes message comment comments text content body summary reason headline caption question '
  'details instructions bio topic agenda purpose answer review feedback remarks',
  tag: 'tag label keyword category genre type kind topic_name department team state',
  code: 'code sku flight flight_number room seat plate isbn serial barcode model gate promo coupon ticker symbol reference',
  file_path: 'path folder directory filepath',
  file_name: 'file filename attachment',
  hexadecimal: 'hash sha commit checksum token signature etag',
  version: 'version release',
  numeral: 'number count amount quantity year age price total phone_extension',
}
_MAKERS: Mapping[str, Maker] = {word: maker for maker, names in _BY_MAKER.items() for word in names.split()}
# What the last word of a longer name says: 'order_state', 'pickup_on', 'begin_at'.
_ENDINGS: Mapping[str, Maker] = {'state': _one_of(words.STATES), 'on': loose_date, 'at': moment}
# Words that say little about a value when another word stands before them: 'city_name', 'email_value', 'flight_code'.
_VAGUE = frozenset({'name', 'value', 'text', 'code', 'number', 'string', 'type', 'key'})


@functools.lru_cache(maxsize=8192)
def maker(name: str) -> Maker:
  """The maker for a string field called `name`; a free name where the name says nothing we know."""
  parts = [naming.singular(w) for w in naming.words(name)]
  if identifiers.is_identifier(name):
    about = identifiers.stem(name)
    return lambda rng, pool: identifiers.opaque(about, str(rng.getrandbits(63)))
  if len(parts) > 1 and parts[-1] in _ENDINGS:
    return _ENDINGS[parts[-1]]
  if '_'.join(parts[-2:]) in _MAKERS:
    return _MAKERS['_'.join(parts[-2:])]
  told = [p for p in reversed(parts) if p not in _VAGUE] + [p for p in reversed(parts) if p in _VAGUE]
  known = next((p for p in told if p in _MAKERS), '')
  return _MAKERS.get(known, words.free_name)


# Word of a name -> (low, high, decimals) of a plausible number.
_BY_RANGE: Mapping[tuple[float, float, int], str] = {
  (5, 900, 2): 'price amount cost total balance fee fare salary budget subtotal tax payment value sum credit income revenue',
  (1, 9, 0): 'quantity guest adult passenger seat person people room night party copy attendee children serving step size',
  (1, 5, 1): 'rating score star stars',
  (0, 100, 0): 'percent percentage progress humidity battery level discount confidence probability brightness volume',
  (-90, 90, 4): 'latitude lat',
  (-180, 180, 4): 'longitude lon lng long',
  (-15, 38, 1): 'temperature temp celsius',
  (2024, 2030, 0): 'year',
  (1, 12, 0): 'month',
  (1, 28, 0): 'day',
  (0, 23, 0): 'hour',
  (5, 240, 0): 'minute duration min seconds second',
  (18, 80, 0): 'age',
  (1, 900, 1): 'distance weight height width length depth area speed radius calorie km mile kg',
  (0.2, 4, 3): 'rate ratio factor',
  (1, 10, 0): 'page limit offset index position rank priority floor gear',
  (1, 24, 0): 'platform coach table row shelf lane bay',
  (1_700_000_000, 1_900_000_000, 0): 'timestamp epoch',
  (2, 60, 0): 'count stock inventory point points',
}
_RANGES: Mapping[str, tuple[float, float, int]] = {word: bounds for bounds, names in _BY_RANGE.items() for word in names.split()}


@functools.lru_cache(maxsize=8192)
def number_range(name: str) -> tuple[float, float, int]:
  """(low, high, decimals) of a plausible number for a field called `name`."""
  if identifiers.is_identifier(name):
    return 100_000, 9_999_999, 0
  parts = [naming.singular(w) for w in naming.words(name)]
  known = next((p for p in reversed(parts) if p in _RANGES), '')
  return _RANGES.get(known, (2, 400, 0))
