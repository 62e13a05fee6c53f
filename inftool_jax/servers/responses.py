"""Results: an output schema filled with what is known, and with seeded values where nothing is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from inftool_jax import seeds
from inftool_jax.servers import names, values
from inftool_jax.servers.catalog import Operation, Path
from inftool_jax.servers.schemas import Document, Node
from inftool_jax.servers.words import Pool
from inftool_jax.types import JSON, Result

MAX_ECHOED = 4
MAX_SHOWN = 80
_YES = frozenset({'success', 'ok', 'done', 'acknowledged', 'succeeded'})
_NO = frozenset({'error', 'failed'})


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known when a result is written: normal name -> value, for the result and for each record of a list."""

  known: Mapping[str, JSON]
  plain: Mapping[str, JSON]  # the whole body where the tool does not say what it returns
  items: tuple[Mapping[str, JSON], ...] = ()
  optional: frozenset[str] = frozenset()  # fields that a record may lack
  seed: int = 0  # of the values that are not known


def failure(message: str, **more: JSON) -> Result:
  body: dict[str, JSON] = {'error': message, **more}
  return Result(_dumps(body), body, is_error=True)


def success(body: JSON) -> Result:
  return Result(_dumps(body), body)


def _dumps(body: JSON) -> str:
  return json.dumps(body, ensure_ascii=False, separators=(', ', ': '))


def spelled(record: Mapping[str, JSON]) -> dict[str, JSON]:
  """A record or arguments under normal names."""
  return {names.normal(n): v for n, v in record.items()}


def acknowledgements(operation: Operation) -> dict[str, JSON]:
  """What a write that worked says about itself, under the usual names."""
  tool = operation.tool
  verb = tool.effect if operation.role in ('update', 'delete', 'create') else names.phrase(tool.name, tool.server).verb
  state = names.participle(verb) if verb else 'done'
  out: dict[str, JSON] = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False), state: True, f'is_{state}': True}
  if operation.role == 'delete':
    out.update(deleted=True, removed=True)
  if operation.role in ('delete', 'write'):
    out['status'] = state
  return out


def written(operation: Operation, document: Document | None, facts: Facts, pool: Pool) -> JSON:
  """The body of a result; valid under the output schema if there is one."""
  if document is None:
    return {n: short(v) for n, v in list(facts.plain.items())[:values.MAX_FIELDS + 1]}
  body = _Writer(operation, document, facts, pool).node(document.resolve(document.root), operation.tool.name, ())
  return body if document.accepts(body) else values.draw(document, document.root, operation.tool.name, facts.seed, pool)


def short(value: JSON) -> JSON:
  return value[:MAX_SHOWN] if isinstance(value, str) else value


def echoed(arguments: Mapping[str, JSON]) -> dict[str, JSON]:
  """The first few scalar arguments, long text cut."""
  scalars = [(n, short(v)) for n, v in arguments.items() if isinstance(v, (str, int, float, bool))]
  return dict(scalars[:MAX_ECHOED])


class _Writer:
  """Writes one result; what stays the same at all of its paths."""

  def __init__(self, operation: Operation, document: Document, facts: Facts, pool: Pool) -> None:
    self.operation, self.document, self.facts, self.pool = operation, document, facts, pool

  def node(self, schema: Node, name: str, path: Path) -> JSON:
    if self.operation.list_path == path and values.type_of(schema) == 'array':
      items = self.document.resolve(schema.get('items', {}))
      most = min(schema.get('maxItems', values.MAX_ITEMS), max(values.MAX_ITEMS, schema.get('minItems', 0)))
      return [self._object(items, (*path, str(i)), facts) for i, facts in enumerate(self.facts.items[:most])]
    if values.type_of(schema) == 'object' and 'properties' in schema:
      return self._object(schema, path, self.facts.known)
    return self._drawn(schema, name, path)

  def _object(self, schema: Node, path: Path, known: Mapping[str, JSON]) -> dict[str, JSON]:
    declared = schema.get('properties', {})
    deep = len(path)
    spots = (self.operation.record_path, self.operation.list_path or ())
    inner = {spot[deep] for spot in spots if len(spot) > deep and spot[:deep] == path}
    out: dict[str, JSON] = {}
    for name in values.shown_fields(schema, frozenset(inner)):
      plain = names.normal(name)
      if name in inner:
        out[name] = self.node(self.document.resolve(declared[name]), name, (*path, name))
      elif plain in known and (fitting := self._fitting(known[plain], declared.get(name, {}))):
        out[name] = fitting[0]
      elif name in schema.get('required', ()) or not self._left_out(plain, known):
        out[name] = self._drawn(declared.get(name, {}), name, (*path, name))
    return out

  def _left_out(self, name: str, known: Mapping[str, JSON]) -> bool:
    """Whether a field is known to be empty: null, or an optional one that the record was never given."""
    return known[name] is None if name in known else name in self.facts.optional

  def _fitting(self, value: JSON, schema: JSON) -> list[JSON]:
    """`value` and the same in another type, as far as the schema accepts them."""
    candidates = [value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
      candidates.append(str(value))
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
      candidates.append(int(value))
    return [c for c in candidates if self.document.accepts(c, schema)]

  def _drawn(self, schema: JSON, name: str, path: Path) -> JSON:
    return values.draw(self.document, schema, name, seeds.derive(self.facts.seed, *path), self.pool)
