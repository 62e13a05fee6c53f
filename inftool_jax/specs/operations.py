"""What a reader of one format hands over: operations and problems, before servers and tools get their final names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping

from inftool_jax.types import JSON, Effect


@dataclasses.dataclass(frozen=True)
class Problem:
  """Something in a file that could not be used; what is named by `pointer` was skipped or simplified."""

  file: str
  pointer: str  # JSON pointer into the file, '' for the file as a whole
  reason: str

  def __str__(self) -> str:
    return f'{self.file}{"#" + self.pointer if self.pointer else ""}: {self.reason}'


@dataclasses.dataclass(frozen=True)
class Operation:
  """One raw operation. `server` and `name` are the document's own words made valid, not yet unique."""

  server: str
  domain: str
  name: str
  description: str
  input_schema: Mapping[str, JSON]
  output_schema: Mapping[str, JSON] | None
  effect: Effect
  pointer: str
  method: str = ''
  path: str = ''
  locations: Mapping[str, str] = dataclasses.field(default_factory=dict)
  repeats: tuple[str, ...] = ()  # pointers of the same operation, told again


@dataclasses.dataclass(frozen=True)
class Reading:
  """One file as read: its format's name, what it offers, and (pointer, reason) pairs."""

  format: str
  operations: tuple[Operation, ...]
  problems: tuple[tuple[str, str], ...] = ()


def repeats_merged(operations: Iterable[Operation]) -> tuple[Operation, ...]:
  """The operations in their order; one that differs from an earlier one in nothing but its place becomes a repeat of it."""
  found: dict[str, list[Operation]] = {}
  for operation in operations:
    found.setdefault(json.dumps(dataclasses.asdict(dataclasses.replace(operation, pointer=''))), []).append(operation)
  return tuple(dataclasses.replace(same[0], repeats=tuple(o.pointer for o in same[1:])) for same in found.values())
