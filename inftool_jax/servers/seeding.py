"""Opening states: a few records per entity, made from a seed, whose references lead to one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from inftool_jax import seeds
from inftool_jax.servers import identifiers, values
from inftool_jax.servers.catalog import Catalog, Entity
from inftool_jax.servers.words import Pool
from inftool_jax.types import JSON

State = dict[str, dict[str, dict[str, JSON]]]


def new_id(entity: Entity, pool: Pool, *parts: str) -> JSON:
  """An id for a record of `entity`, told by `parts` alone."""
  field = entity.fields[entity.id_field]
  if identifiers.is_identifier(entity.id_field):
    return values.opaque_id(field.schema, field.document, entity.name, entity.id_field, *parts)
  return values.draw(field.document, field.schema, entity.id_field, seeds.derive(0, entity.key, *parts), pool)


def opening(catalog: Catalog, seed: int, pool: Pool, servers: Collection[str] | None = None) -> State:
  """Two or three records for every entity of `servers` (all if None): entity key -> id -> record."""
  chosen = [e for k, e in sorted(catalog.entities.items()) if servers is None or k.rsplit('/', 1)[0] in servers]
  ids: dict[str, list[JSON]] = {e.key: _ids(e, seed, pool) for e in chosen}
  out: State = {}
  for entity in chosen:
    records = {str(key): _record(entity, key, i, ids, seed, pool) for i, key in enumerate(ids[entity.key])}
    out[entity.key] = dict(sorted(records.items()))
  return out


def _ids(entity: Entity, seed: int, pool: Pool) -> list[JSON]:
  count = 2 + seeds.derive(seed, entity.key, 'count') % 2
  found = {str(key): key for i in range(count) if (key := new_id(entity, pool, str(seed), entity.key, str(i))) is not None}
  return list(found.values())


def _record(entity: Entity, key: JSON, index: int, ids: Mapping[str, list[JSON]], seed: int, pool: Pool) -> dict[str, JSON]:
  record: dict[str, JSON] = {}
  for name in entity.fields:
    others = ids.get(entity.references.get(name, ''))
    if name == entity.id_field:
      record[name] = key
    elif others:
      # One after the other, so that every record is referred to where there are enough to do so.
      record[name] = others[(index + seeds.derive(seed, entity.key, name)) % len(others)]
    else:
      record[name] = field_value(entity, name, seeds.derive(seed, entity.key, str(key)), pool)
  return record


def field_value(entity: Entity, name: str, seed: int, pool: Pool) -> JSON:
  """A value for a field, away from where actions lead if the field has other values."""
  field, targets = entity.fields[name], entity.targets.get(name, ())
  node = field.document.resolve(field.schema)
  known = [True, False] if values.type_of(node) == 'boolean' else node.get('enum', [])
  elsewhere = [v for v in known if v not in targets and v is not None]
  if targets and elsewhere:
    return seeds.rng(seed, name).choice(elsewhere)
  return values.draw(field.document, field.schema, name, seeds.derive(seed, name), pool)
