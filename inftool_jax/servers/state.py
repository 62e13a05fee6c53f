"""The typed store of one session: entity key -> id -> record, over an opening state that is never changed."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping

from inftool_jax.types import JSON

Record = Mapping[str, JSON]
# Where calls are logged whose effect no field shows; one per server: 'server/actions'.
LOG = 'actions'


class Store:
  """Records as written so far. Records are replaced, never changed in place."""

  def __init__(self, opening: Mapping[str, Mapping[str, Record]]) -> None:
    self._opening = opening
    self._written: dict[str, dict[str, Record | None]] = {}

  def get(self, entity: str, key: str) -> Record | None:
    """The record with id `key`, or None."""
    written = self._written.get(entity, {})
    if key in written:
      return written[key]
    return self._opening.get(entity, {}).get(key)

  def records(self, entity: str) -> dict[str, Record]:
    """Id -> record, in the order of ids, which no order of writing can change."""
    merged = {**self._opening.get(entity, {}), **self._written.get(entity, {})}
    return {k: r for k in sorted(merged) if (r := merged[k]) is not None}

  def opening_ids(self, entity: str) -> list[str]:
    return sorted(self._opening.get(entity, {}))

  def opening_record(self, entity: str, key: str) -> Record | None:
    return self._opening.get(entity, {}).get(key)

  def put(self, entity: str, key: str, record: Record) -> None:
    self._written.setdefault(entity, {})[key] = dict(record)

  def delete(self, entity: str, key: str) -> None:
    self._written.setdefault(entity, {})[key] = None

  def snapshot(self) -> dict[str, dict[str, dict[str, JSON]]]:
    """The whole state as plain JSON of its own, in a stable order; empty entities are left out."""
    keys = sorted({*self._opening, *self._written})
    kept = {k: self.records(k) for k in keys}
    return {k: {i: copy.deepcopy(dict(r)) for i, r in records.items()} for k, records in kept.items() if records}

  def difference(self) -> dict[str, dict[str, dict[str, JSON] | None]]:
    """What differs from the opening state: new records whole, changed fields alone, None for what was deleted."""
    out: dict[str, dict[str, dict[str, JSON] | None]] = {}
    for entity in sorted(self._written):
      for key in sorted(self._written[entity]):
        before, now = self._opening.get(entity, {}).get(key), self._written[entity][key]
        if before is None and now is None:
          continue
        change = None if now is None else _changed(before or {}, now)
        if now is None or change or before is None:
          out.setdefault(entity, {})[key] = copy.deepcopy(change)
    return out

  def digest(self) -> str:
    """SHA-256 of the snapshot's canonical text."""
    return digest(self.snapshot())


def _changed(before: Record, now: Record) -> dict[str, JSON]:
  """Fields of `now` that `before` has not, or has otherwise (true is not 1, though Python says so); None for fields gone."""
  changed = {f: v for f, v in now.items() if f not in before or _text(before[f]) != _text(v)}
  return {**changed, **{f: None for f in before if f not in now}}


def _text(value: JSON) -> str:
  return json.dumps(value, sort_keys=True)


def digest(snapshot: JSON) -> str:
  """SHA-256 of a snapshot's canonical text; equal for equal states."""
  return hashlib.sha256(_text(snapshot).encode()).hexdigest()
