"""Schemas of a document made self-contained: local `$ref`s put in place, `allOf` merged, 2020-12 keywords only.

Rules, in one place:
- A `$ref` inside its own expansion is put in place once more (`REPEATS`); the next time only its type and description stay.
- A schema is expanded to the deepest of `DEPTHS` levels at which it has at most `MAX_NODES` subschemas; what lies deeper keeps
  its own keywords and loses its children. So width is never lost to depth. At the smallest depth `MAX_WIDTH` subschemas are
  expanded, and `MAX_TOTAL` in all schemas of a document together; what comes after keeps its own keywords alone. So no document
  grows without bound, whatever its references multiply.
- A `$ref` that leads out of the document or nowhere becomes the schema of any value, and is reported.
- Loosened on purpose: if/then/else, dependent*, unevaluated*, discriminators; `additionalProperties: false` across `allOf`.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from inftool_jax.specs import dialect
from inftool_jax.specs.dialect import Schema
from inftool_jax.types import JSON

DEPTHS = (8, 6, 4, 3, 2, 1)
MAX_NODES = 300
MAX_WIDTH = 10_000
MAX_TOTAL = 10_000_000  # a hundred characters of description count as one more
REPEATS = 1
_MAX_HOPS = 32
_ANNOTATIONS = frozenset(
  {'description', 'title', 'summary', 'default', 'example', 'examples', 'nullable', 'x-nullable', 'readOnly', 'writeOnly'})


class _TooLarge(Exception):
  """The expansion at this depth has more than MAX_NODES subschemas."""


class Expander:
  """Expands schemas of one document. `problems` gathers each bad `$ref` once."""

  def __init__(self, document: JSON) -> None:
    self._document = document
    self._missing: dict[str, None] = {}
    self._left = MAX_TOTAL

  @property
  def problems(self) -> tuple[str, ...]:
    found = [f'$ref {ref!r} does not lead to anything in this file; any value is accepted there' for ref in self._missing]
    if self._left <= 0:
      found.append(f'its references grow to more than {MAX_TOTAL:,} subschemas; the last operations are read without most of theirs')
    return tuple(found)

  def expand(self, schema: JSON, sending: bool) -> Schema:
    """`schema` self-contained. `sending`: as a request has it (no readOnly properties), else as a response has it (no writeOnly)."""
    for depth in DEPTHS[:-1]:
      if self._left <= 0:
        break
      try:
        return self._walked(schema, sending, depth, MAX_NODES, cut=False)
      except _TooLarge:
        continue
    return self._walked(schema, sending, DEPTHS[-1], min(MAX_WIDTH, max(self._left, 0)), cut=True)

  def _walked(self, schema: JSON, sending: bool, depth: int, budget: int, cut: bool) -> Schema:
    walk = _Walk(self, sending, budget, cut)
    try:
      return walk.schema(schema, depth, ())
    finally:
      self._left -= walk.spent

  def resolve(self, value: JSON) -> JSON:
    """`value`, or what its chain of `$ref`s leads to: an object, or None when it leads nowhere. For parameters, bodies and the like."""
    for _ in range(_MAX_HOPS):
      if not isinstance(value, dict):
        return None
      if not isinstance(value.get('$ref'), str):
        return value
      value = self.lookup(value['$ref'])
    return None

  def lookup(self, ref: str) -> JSON:
    """What a local `$ref` points at; None (and a problem) when it points at nothing."""
    found = _follow(self._document, ref)
    if found is None:
      self._missing[ref] = None
    return found


class _Walk:
  """One expansion. Beyond `budget` subschemas it raises _TooLarge, or, told to `cut`, gives only keywords."""

  def __init__(self, expander: Expander, sending: bool, budget: int, cut: bool) -> None:
    self._expander = expander
    self._hidden = 'readOnly' if sending else 'writeOnly'
    self._budget = budget
    self._cut = cut
    self.spent = 0

  def schema(self, schema: JSON, depth: int, stack: tuple[str, ...]) -> Schema:
    """`schema` with children down to `depth` more levels; `stack` holds the `$ref`s it stands in."""
    out = self._merged(schema, depth, stack)
    if 'properties' in out and 'required' in out:  # names no property has, such as hidden ones
      out['required'] = [r for r in out['required'] if r in out['properties']]
      if not out['required']:
        del out['required']
    return out

  def _merged(self, schema: JSON, depth: int, stack: tuple[str, ...]) -> Schema:
    self._budget -= 1
    self.spent += 1
    if self._budget < 0 and not self._cut:
      raise _TooLarge
    if schema is False:
      return {'not': {}}
    if not isinstance(schema, dict):
      return {}
    if self._budget < 0:
      return dialect.keywords(schema)
    schema, depth, stack = self._deref(schema, depth, stack)
    out = dialect.keywords(schema)
    self.spent += len(out.get('description', '')) // 100
    if depth > 0:
      self._object(schema, out, depth, stack)
      self._array(schema, out, depth, stack)
      self._branches(schema, out, depth, stack)
    for part in _list(schema.get('allOf')):
      out = merge(out, self._merged(part, depth, stack))
    out = _flat(out)
    return dialect.nullable(out) if dialect.is_nullable(schema) else out

  def _deref(self, schema: Mapping[str, JSON], depth: int, stack: tuple[str, ...]) -> tuple[Mapping[str, JSON], int, tuple[str, ...]]:
    """Follows `$ref`s. Siblings that annotate override the target's; siblings that constrain are merged with it."""
    while isinstance(ref := schema.get('$ref'), str):
      siblings = {k: v for k, v in schema.items() if k != '$ref'}
      if len(stack) >= 2 * _MAX_HOPS:
        return siblings, 0, stack
      target = self._expander.lookup(ref)
      if not isinstance(target, dict):
        return siblings, depth, stack
      if stack.count(ref) > REPEATS:
        depth = 0
        if stack.count(ref) > REPEATS + 1:  # a cycle of nothing but references
          return siblings, 0, stack
      stack = (*stack, ref)
      if siblings.keys() <= _ANNOTATIONS:
        schema = {**target, **siblings}
      else:
        schema = {**siblings, 'allOf': [target, *_list(siblings.get('allOf'))]}
    return schema, depth, stack

  def _object(self, schema: Mapping[str, JSON], out: Schema, depth: int, stack: tuple[str, ...]) -> None:
    properties = schema.get('properties')
    required = [r for r in _list(schema.get('required')) if isinstance(r, str)]
    if isinstance(properties, dict):
      shown = {}
      for name, child in properties.items():
        seen = self._expander.resolve(child) if isinstance(child, dict) and '$ref' in child else child
        if any(isinstance(c, dict) and c.get(self._hidden) is True for c in (seen, child)):
          required = [r for r in required if r != name]
          continue
        shown[name] = self.schema(child, depth - 1, stack)
        if isinstance(seen, dict) and seen.get('required') is True:  # draft 3 puts the flag on the property
          required.append(name)
      out['properties'] = shown
    if required:
      out['required'] = list(dict.fromkeys(required))
    extra = schema.get('additionalProperties')
    if isinstance(extra, dict) and extra:
      out['additionalProperties'] = self.schema(extra, depth - 1, stack)
    elif extra is False:
      out['additionalProperties'] = False

  def _array(self, schema: Mapping[str, JSON], out: Schema, depth: int, stack: tuple[str, ...]) -> None:
    items, prefix = schema.get('items'), schema.get('prefixItems')
    if isinstance(items, list):  # a tuple before 2020-12
      prefix, items = items, schema.get('additionalItems')
    if isinstance(prefix, list) and prefix:
      out['prefixItems'] = [self.schema(p, depth - 1, stack) for p in prefix]
    if isinstance(items, dict) or items is False:
      out['items'] = self.schema(items, depth - 1, stack)

  def _branches(self, schema: Mapping[str, JSON], out: Schema, depth: int, stack: tuple[str, ...]) -> None:
    for key in ('anyOf', 'oneOf'):
      if branches := [self.schema(b, depth - 1, stack) for b in _list(schema.get(key))]:
        out[key] = branches
    if isinstance(schema.get('not'), dict):
      out['not'] = self.schema(schema['not'], depth - 1, stack)


def merge(a: Schema, b: Schema) -> Schema:
  """One schema that accepts what `a` and `b` both accept, as far as that can be said without `allOf`; `a`'s annotations win."""
  out, left_over = dict(a), {}
  for key, value in b.items():
    if key not in out or out[key] == value:
      out[key] = value
    elif key == 'properties':
      out[key] = out[key] | {n: merge(out[key][n], s) if n in out[key] else s for n, s in value.items()}
    elif key == 'required':
      out[key] = list(dict.fromkeys([*out[key], *value]))
    elif key == 'type':
      out[key] = _common_type(out[key], value)
    elif key == 'enum':
      out[key] = [v for v in out[key] if v in value] or out[key]
    elif key in ('minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'):
      out[key] = max(out[key], value)
    elif key in ('maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties'):
      out[key] = min(out[key], value)
    elif key == 'items':
      out[key] = merge(out[key], value)
    elif key in ('anyOf', 'oneOf', 'not', 'pattern', 'multipleOf'):
      left_over[key] = value
    elif key == 'allOf':
      out[key] = [*out[key], *value]
  if a.get('additionalProperties') is False or b.get('additionalProperties') is False:
    _open(out, a, b)
  if left_over:
    out['allOf'] = [*out.get('allOf', []), left_over]
  return out


def _open(out: Schema, a: Schema, b: Schema) -> None:
  """`additionalProperties: false` forbids the other part's properties, which nobody means: it goes when both parts have some."""
  if a.get('properties') and b.get('properties'):
    out.pop('additionalProperties', None)


def _common_type(a: JSON, b: JSON) -> JSON:
  first, second = ([t] if isinstance(t, str) else t for t in (a, b))
  both = [t for t in first if t in second]
  if not both and {'integer', 'number'} <= {*first, *second}:
    both = ['integer']
  if not both:
    return a
  return both[0] if len(both) == 1 else both


def _flat(schema: Schema) -> Schema:
  """A choice with one branch is that branch; a choice between one type and null is that type, nullable."""
  for key in ('anyOf', 'oneOf'):
    if key not in schema:
      continue
    rest = {k: v for k, v in schema.items() if k != key}
    branches = [b for b in schema[key] if b != {'type': 'null'}]
    if len(branches) != 1 or (len(branches) < len(schema[key]) and 'type' not in branches[0]):
      continue
    if len(branches) == len(schema[key]):
      return merge(rest, branches[0])
    return merge({k: v for k, v in rest.items() if k != 'type'}, dialect.nullable(branches[0]))
  return schema


def _follow(document: JSON, ref: str) -> JSON:
  """The value at a local reference (`#/a/b`, `#`), None if there is none or the reference is to another file."""
  if not ref.startswith('#'):
    return None
  value = document
  for token in ref[1:].split('/')[1:]:
    token = urllib.parse.unquote(token).replace('~1', '/').replace('~0', '~')
    if isinstance(value, dict):
      value = value.get(token)
    elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
      value = value[int(token)]
    else:
      return None
  return value if ref == '#' or ref.startswith('#/') else None


def _list(value: JSON) -> list[JSON]:
  return value if isinstance(value, list) else []
