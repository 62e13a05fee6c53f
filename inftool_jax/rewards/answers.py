"""Whether a closing answer says a value, in one of the forms in which people write it, and says little else."""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from inftool_jax.rewards.canonical import canonical_text, canonical_value
from inftool_jax.types import JSON, Answer, Result

# An answer may be this long: a sentence for the first value, a shorter one for each further, and room for the values
# themselves. A dumped result is longer, or it is recognized as such.
SENTENCE_CHARS = 60
FURTHER_CHARS = 30
CHARS_PER_VALUE_CHAR = 3

_TRUE, _FALSE = frozenset({'true', 'yes'}), frozenset({'false', 'no', 'not'})
_NOTHING = frozenset({'none', 'null', 'nothing', 'empty', 'no'})
# Not part of a word, id, date or version; a unit of up to three letters may stick to it.
_NUMBER = re.compile(
  r'(?<![\w.,-])(?<!\d[:/])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?(?=[A-Za-z%°]{0,3}(?![\w-]|[.,:/]\d))', re.ASCII)
_MOMENT = re.compile(r'\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?', re.ASCII)
_LONGEST_NUMBER = 400  # digits; a longer one says no value and would be slow to read


def says(text: str, *values: JSON) -> bool:
  """Whether `text` states every one of `values`: 5 as '5', '5.0' or '5.00'; a date in digits or in words; true as 'yes';
  a list or object by stating every value in it. A text with both yes and no states neither, unless both are wanted."""
  leaves = [leaf for value in values for leaf in _leaves(value)]
  truths = {leaf for leaf in leaves if isinstance(leaf, bool)}
  others = [leaf for leaf in leaves if not isinstance(leaf, bool)]
  if truths:
    rest = _plain(text)
    for leaf in others:  # a name that happens to hold a 'no' is not a no
      rest = rest.replace(_plain(leaf), ' ') if isinstance(leaf, str) and leaf.strip() else rest
    found = _letters(rest)
    if {truth for truth, said in ((True, _TRUE), (False, _FALSE)) if found & said} != truths:
      return False
  return all(_says_one(text, leaf) for leaf in others)


def _leaves(value: JSON) -> list[JSON]:
  if isinstance(value, Mapping) and value:
    return [leaf for v in value.values() for leaf in _leaves(v)]
  if isinstance(value, (list, tuple)) and value:
    return [leaf for v in value for leaf in _leaves(v)]
  return [value]


def _says_one(text: str, value: JSON) -> bool:
  if isinstance(value, (int, float)):
    return any(_is_number(n.replace(',', ''), value) for n in _NUMBER.findall(text))
  if isinstance(value, str) and value.strip():
    return _says_string(text, value)
  return bool(_letters(text) & _NOTHING)  # null, '', [] or {}


def _letters(text: str) -> set[str]:
  return set(re.findall(r'[a-z]+', text.casefold()))


def answered(text: str, answers: Sequence[Answer], results: Sequence[Result]) -> bool:
  """Whether a closing turn is an answer: not empty, no raw result in it, every value stated, within `length_bound`.

  Without values to state (a task that only writes, or declines) any other text will do, of any length.
  """
  squeezed = ''.join(text.split())
  dumps = (''.join(r.content.split()) for r in results)
  if not squeezed or any(dump[:1] in ('{', '[') and dump in squeezed for dump in dumps):
    return False
  return not answers or (len(text.strip()) <= length_bound(answers) and says(text, *(a.value for a in answers)))


def length_bound(answers: Sequence[Answer]) -> int:
  """Characters an answer with these values may have."""
  leaves = [leaf for a in answers for leaf in _leaves(a.value)]
  said = sum(len(leaf) if isinstance(leaf, str) else len(canonical_text(leaf)) for leaf in leaves)
  return SENTENCE_CHARS + FURTHER_CHARS * (len(answers) - 1) + CHARS_PER_VALUE_CHAR * said


def _is_number(text: str, value: float) -> bool:
  if len(text) > _LONGEST_NUMBER:
    return False
  return float(text) == value if isinstance(value, float) else Decimal(text) == value


def _says_string(text: str, value: str) -> bool:
  if _MOMENT.fullmatch(value):
    return _says_moment(text, value)
  plain, wanted = _plain(text), _plain(value)
  return any(_stands_in(t, v) for t, v in ((plain, wanted), (plain.replace('_', ' '), wanted.replace('_', ' '))))


def _says_moment(text: str, value: str) -> bool:
  schema = {'format': 'date-time' if len(value) > len('YYYY-MM-DD') else 'date'}
  form = canonical_value(value, schema)
  if any(canonical_value(m, schema) == form for m in _MOMENT.findall(text)):
    return True
  return len(value) == len('YYYY-MM-DD') and any(_stands_in(_plain(text), _plain(w)) for w in _in_words(value))


def _in_words(date: str) -> list[str]:
  try:
    day = datetime.date.fromisoformat(date)
  except ValueError:  # digits that are no day of the calendar are only ever said as they are
    return [date]
  months = (calendar.month_name[day.month], calendar.month_abbr[day.month])
  return [form for m in months for form in (f'{m} {day.day}, {day.year}', f'{m} {day.day} {day.year}', f'{day.day} {m} {day.year}')]


def _plain(text: str) -> str:
  return ' '.join(text.casefold().split())


def _stands_in(text: str, value: str) -> bool:
  """Whether `value` occurs as whole words."""
  at = text.find(value)
  while at >= 0:
    end = at + len(value)
    before, after = text[at - 1:at], text[end:end + 1]
    glued_before = value[0].isalnum() and (before.isalnum() or before == '_')
    glued_after = value[-1].isalnum() and (after.isalnum() or after == '_')
    if not glued_before and not glued_after:
      return True
    at = text.find(value, at + 1)
  return False
