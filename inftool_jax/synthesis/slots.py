"""What a parameter's value is to a speaker: its class (date, email, place, ...) and its role (from, until, at least).

Two unnamed values may stand in one utterance only if a listener can tell them apart by class or role.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

from inftool_jax.servers import schemas
from inftool_jax.synthesis.wording.lexicon import split_name
from inftool_jax.types import JSON, Tool


def _inverted(table: Mapping[str, str]) -> dict[str, str]:
  return {word: name for name, words in table.items() for word in words.split()}


# Formats, words of a parameter's name -> class of its values; words of its name -> role.
FORMATS = _inverted(
  {
    'date': 'date',
    'time': 'time',
    'datetime': 'date-time datetime',
    'email': 'email',
    'url': 'uri url',
    'id': 'uuid',
    'phone': 'phone',
  }
)
HEADS = _inverted(
  {
    'email': 'email mail',
    'url': 'url link website',
    'phone': 'phone telephone mobile',
    'date': 'date day',
    'time': 'time',
    'place': 'city country location place destination origin region town station airport venue area district',
    'title': 'name title label subject',
    'person': 'author owner assignee guest customer recipient member patient person driver host',
    'id': 'id uuid key',
    'reason': 'reason',
    'message': 'message body comment note text content',
    'query': 'query keyword term topic q',
  }
)
ROLES = _inverted(
  {
    'from': 'from start since after begin source origin departure checkin',
    'to': 'to target destination recipient',
    'until': 'end until before expiry checkout',
    'by': 'due deadline author',
    'min': 'min minimum',
    'max': 'max maximum limit',
    'count': 'quantity count copies',
  }
)
_WEAK = frozenset(('id', 'the', 'is', 'has', 'of', 'a', 'in', 'on', 'to', 'by', 'for', 'at', 'no'))


@dataclasses.dataclass(frozen=True, eq=False)
class Slot:
  """One argument to be voiced: the value that call number `call` gives to `parameter`."""

  call: int
  tool: Tool
  parameter: str
  value: JSON

  @property
  def schema(self) -> Mapping[str, JSON]:
    return resolved(self.tool, self.parameter)

  @property
  def words(self) -> str:
    return ' '.join(split_name(self.parameter)) or self.parameter

  @property
  def key(self) -> str:
    """Class and role; unnamed values of one utterance have different keys."""
    return slot_key(self.parameter, self.schema)


def resolved(tool: Tool, parameter: str) -> Mapping[str, JSON]:
  """The parameter's schema with its references followed; {} where the tool says nothing of it."""
  document = schemas.compiled(tool.input_schema)
  return document.resolve(document.resolve(document.root).get('properties', {}).get(parameter, {}))


def type_of(schema: JSON) -> str:
  """The JSON type a schema asks for; 'string' when it does not say."""
  if not isinstance(schema, Mapping):
    return 'string'
  declared = schema.get('type')
  if isinstance(declared, list):
    declared = next((t for t in declared if t != 'null'), 'string')
  if isinstance(declared, str):
    return declared
  if 'properties' in schema:
    return 'object'
  return 'array' if 'items' in schema else 'string'


def value_class(parameter: str, schema: Mapping[str, JSON]) -> str:
  """email, date, place, number, enum, boolean, list, object, ... or 'text'."""
  if isinstance(schema, Mapping) and schema.get('enum'):
    return 'enum'
  kind = type_of(schema)
  if kind in ('boolean', 'object'):
    return kind
  if kind == 'array':
    return 'list'
  if kind in ('integer', 'number'):
    return 'number'
  if schema.get('format') in FORMATS:
    return FORMATS[schema['format']]
  words = split_name(parameter)
  return next((HEADS[word] for word in reversed(words) if word in HEADS), 'text')


def role(parameter: str) -> str:
  """from, to, until, by, min, max, count or ''."""
  joined = ''.join(split_name(parameter))
  return ROLES.get(joined) or next((ROLES[word] for word in split_name(parameter) if word in ROLES), '')


def slot_key(parameter: str, schema: Mapping[str, JSON]) -> str:
  found = value_class(parameter, schema)
  if found == 'enum':
    return 'enum:' + json.dumps(schema['enum'], sort_keys=True, default=str)
  spoken_as_text = {'text': 'text', 'title': 'text', 'message': 'text', 'query': 'text', 'reason': 'text'}
  return f'{spoken_as_text.get(found, found)}:{role(parameter)}'


def spoken(value: JSON) -> str:
  """The value's own words: strings as they are, numbers and flags as in JSON, flat lists joined by commas."""
  if isinstance(value, str):
    return value
  if isinstance(value, list) and value and all(isinstance(v, (str, int, float)) and not isinstance(v, bool) for v in value):
    return ', '.join(spoken(v) for v in value)
  return json.dumps(value, ensure_ascii=False)


def strong_words(parameter: str) -> frozenset[str]:
  """The words of a parameter's name that name it: 'quantity' of quantity, 'order' of order_id."""
  return frozenset(word for word in split_name(parameter) if word not in _WEAK)


def may_be_unnamed(slot: Slot, named: frozenset[str]) -> bool:
  """Whether a listener can tell the parameter from the bare value, given the tool's parameters that are `named` beside it.

  Another parameter of the same key that is not named would be as good a reading, unless it is optional and this one is
  required.
  """
  if value_class(slot.parameter, slot.schema) in ('boolean', 'object', 'list'):
    return False
  others = {name: resolved(slot.tool, name) for name in slot.tool.parameters if name != slot.parameter}
  mates = [name for name, schema in others.items() if name not in named and slot_key(name, schema) == slot.key]
  return not mates or (slot.parameter in slot.tool.required and not any(name in slot.tool.required for name in mates))


def whole_words(text: str, words: str) -> bool:
  """Whether `words` stand in `text`, not as part of longer words."""
  return re.search(rf'(?<!\w){re.escape(words)}(?!\w)', text, re.IGNORECASE) is not None


def speaks_of(text: str, slot: Slot) -> bool:
  """Whether a text states the slot's value or a word of its name."""
  return any(whole_words(text, words) for words in (spoken(slot.value), slot.words, *strong_words(slot.parameter)))
