"""Seeded values for any JSON Schema: the same (schema, name, seed, pool) gives the same value, in every process.

Every leaf draws from a generator of its own, keyed by its JSON path, so that a field keeps its value when another one
is added. Free strings are made so that they can be copied but not guessed. The pools ('train', 'dev', 'test') share
no free string and, where the schema leaves room, no number, date or time; enums, constants and closed vocabularies
(currencies, weekdays) are everyone's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from inftool_jax import seeds
from inftool_jax.servers import fields, identifiers, patterns, schemas, words
from inftool_jax.servers.schemas import Document, Node
from inftool_jax.servers.words import Pool
from inftool_jax.types import JSON

MAX_FIELDS = 6
MAX_ITEMS = 3
# Below this depth objects have only what they must have; below twice of it nothing is made any more.
SHALLOW = 4
ATTEMPTS = 4
# Ranges with fewer values than this are not shared out among the pools.
MIN_SHARED = 30


def generate(schema: JSON, name: str, seed: int, pool: Pool) -> JSON:
  """A value for a field called `name`; valid under `schema` unless the schema allows nothing we can find."""
  document = schemas.compiled(schema)
  return draw(document, document.root, name, seed, pool)


def draw(document: Document, node: JSON, name: str, seed: int, pool: Pool) -> JSON:
  """`generate` for a schema inside a document."""
  value: JSON = None
  for attempt in range(ATTEMPTS):
    value = _Drawing(document, seed if not attempt else seeds.derive(seed, attempt), pool).value(node, name, '$', 0)
    if document.accepts(value, node):
      break
  return value


def shown_fields(node: Node, wanted: frozenset[str] = frozenset(), limit: int = MAX_FIELDS) -> list[str]:
  """The properties of a compact object, in schema order: required ones, wanted ones, then others up to `limit`."""
  declared = list(node.get('properties', {}))
  kept = {n for n in declared if n in wanted} | set(node.get('required', ()))
  for name in declared:
    if len(kept) >= limit:
      break
    kept.add(name)
  return [n for n in declared if n in kept] + [n for n in node.get('required', ()) if n not in declared]


def type_of(node: Node) -> str:
  """The JSON type to draw for a resolved schema: stated, or told from its keywords; null only when nothing else may be."""
  stated = node.get('type')
  listed = [stated] if isinstance(stated, str) else list(stated or ())
  for kind in listed:
    if kind != 'null':
      return str(kind)
  if listed:
    return 'null'
  if 'properties' in node or 'required' in node:
    return 'object'
  if 'items' in node or 'prefixItems' in node:
    return 'array'
  if any(k in node for k in ('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf')):
    return 'number'
  return 'string'


class _Drawing:
  """One value being made: what stays the same at all of its paths."""

  def __init__(self, document: Document, seed: int, pool: Pool) -> None:
    self.document, self.seed, self.pool = document, seed, pool

  def value(self, node: JSON, name: str, path: str, depth: int) -> JSON:
    schema = self.document.resolve(node)
    rng = seeds.rng(self.seed, path)
    if 'const' in schema:
      return schema['const']
    if 'enum' in schema:
      return rng.choice([v for v in schema['enum'] if v is not None] or [None])
    for key in ('oneOf', 'anyOf'):
      if key in schema and depth < 2 * SHALLOW:
        return self._branch(schema, key, name, path, depth, rng)
    kind = type_of(schema)
    if kind == 'object':
      return self._object(schema, path, depth)
    if kind == 'array':
      return self._array(schema, name, path, depth, rng)
    if kind == 'boolean':
      return rng.random() < 0.5
    if kind in ('number', 'integer'):
      return number(schema, name, rng, self.pool)
    return text(schema, name, rng, self.pool) if kind == 'string' else None

  def _branch(self, schema: Node, key: str, name: str, path: str, depth: int, rng: random.Random) -> JSON:
    """One branch of a union with the keywords beside it; the first in random order whose value the union accepts."""
    beside = {k: v for k, v in schema.items() if k != key}
    branches = [b for b in schema[key] if self.document.resolve(b).get('type') != 'null'] or list(schema[key])
    rng.shuffle(branches)
    value: JSON = None
    for branch in branches[:ATTEMPTS if depth < 2 else 1]:  # a union may contain itself: no tries of tries
      value = self.value({'allOf': [beside, branch]}, name, path, depth + 1)
      if self.document.accepts(value, schema):
        break
    return value

  def _object(self, schema: Node, path: str, depth: int) -> dict[str, JSON]:
    if depth > 2 * SHALLOW:
      return {}
    declared = schema.get('properties', {})
    limit = 0 if depth > SHALLOW else MAX_FIELDS if depth == 0 else MAX_ITEMS
    out = {n: self.value(declared.get(n, {}), n, f'{path}.{n}', depth + 1) for n in shown_fields(schema, limit=limit)}
    rest = schema.get('additionalProperties')
    if not out and isinstance(rest, Mapping) and depth <= SHALLOW:
      key = fields.tag(seeds.rng(self.seed, path, 'key'), self.pool)
      out[key] = self.value(rest, key, f'{path}.{key}', depth + 1)
    return out

  def _array(self, schema: Node, name: str, path: str, depth: int, rng: random.Random) -> list[JSON]:
    prefix = schema.get('prefixItems', [])
    items = schema.get('items', {})
    most = min(schema.get('maxItems', MAX_ITEMS), max(MAX_ITEMS, schema.get('minItems', 0)))
    least = schema.get('minItems', 0 if depth > SHALLOW else min(1, most))
    count = least if depth > SHALLOW or items is False else rng.randint(min(least, most), max(least, most))
    count = max(count, len(prefix)) if most >= len(prefix) else count
    out: list[JSON] = []
    for i in range(min(count, 64)):
      value = self.value(prefix[i] if i < len(prefix) else items, name, f'{path}[{i}]', depth + 1)
      if not (schema.get('uniqueItems') and value in out):
        out.append(value)
    return out


def number(schema: Node, name: str, rng: random.Random, pool: Pool) -> float:
  """A number within the schema's bounds, near what the name suggests where both agree."""
  low, high, decimals = fields.number_range(name)
  whole = type_of(schema) == 'integer' or 'integer' in _listed(schema)
  step = 10.0 ** -decimals
  bottom = max(schema.get('minimum', -math.inf), schema.get('exclusiveMinimum', -math.inf))
  top = min(schema.get('maximum', math.inf), schema.get('exclusiveMaximum', math.inf))
  if whole or (decimals == 0 and top - bottom >= 2):
    step, whole = 1, True
  if max(low, bottom) > min(high, top) or (min(high, top) - max(low, bottom)) < step:
    low, high = _outside(low, high, bottom, top)  # the schema wants other numbers than the name suggests
  low, high = max(low, bottom), min(high, top)
  if 'multipleOf' in schema:
    step = schema['multipleOf']
  first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  first += first * step <= schema.get('exclusiveMinimum', -math.inf)
  last -= last * step >= schema.get('exclusiveMaximum', math.inf)
  if last < first:
    return low + (high - low) / 2 if not whole else math.ceil(low)

  def draw_one() -> float:
    return _scaled(rng.randint(first, last), step)

  return words.held(pool, draw_one) if last - first >= MIN_SHARED else draw_one()


def _listed(schema: Node) -> list[str]:
  stated = schema.get('type', [])
  return [stated] if isinstance(stated, str) else list(stated)


def _outside(low: float, high: float, bottom: float, top: float) -> tuple[float, float]:
  width = max(high - low, 1)
  if math.isfinite(bottom):
    return bottom, min(top, bottom + width)
  return (top - width if math.isfinite(top) else low), (top if math.isfinite(top) else high)


def _scaled(count: int, step: float) -> float:
  value = count * step
  if float(step).is_integer():
    return int(value)
  return round(value, max(0, -math.floor(math.log10(step))) + 2)


def text(schema: Node, name: str, rng: random.Random, pool: Pool) -> str:
  """A string that fits format, pattern and length, in the form that the field's name suggests."""
  stated = schema.get('format', '')
  make = fields.FORMATS.get(stated) or fields.maker(name)
  if make is fields.loose_date and _wants_iso(schema):
    make = fields.date
  least, most = schema.get('minLength', 0), schema.get('maxLength', 10_000)
  pattern = schema.get('pattern')
  value = ''
  for _ in range(ATTEMPTS):
    value = _sized(make(rng, pool), least, most, rng, pool)
    if pattern is None or patterns.fits(pattern, value):
      return value
  for _ in range(ATTEMPTS):
    value = words.held(pool, lambda: patterns.matching(pattern or '', rng))
    if patterns.fits(pattern or '', value) and least <= len(value) <= most:
      break
  return value


def _wants_iso(schema: Node) -> bool:
  described = schema.get('description', '').lower()
  return 'pattern' in schema or any(hint in described for hint in ('yyyy', 'iso', 'rfc'))


def _sized(value: str, least: int, most: int, rng: random.Random, pool: Pool) -> str:
  while len(value) < min(least, 10_000):
    value += ('' if not value or value.endswith(' ') else ' ' if most - len(value) > 3 else '') + words.made_word(rng, pool, 2)
  if len(value) <= most:
    return value
  short = words.made_word(rng, pool, 2)
  return (short if least <= len(short) <= most else value)[:most]


def opaque_id(schema: JSON, document: Document, entity: str, name: str, *parts: str) -> JSON:
  """An opaque id in the form its schema asks for: our own form for plain strings, else a drawn value of that type."""
  node = document.resolve(schema)
  free = not any(k in node for k in ('enum', 'const', 'pattern', 'format', 'maxLength', 'minLength', 'oneOf', 'anyOf'))
  if type_of(node) == 'string' and free:
    return identifiers.opaque(entity, *parts)
  return draw(document, schema, name, seeds.derive(0, 'id', entity, *parts), 'train')
