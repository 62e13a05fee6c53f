"""The vocabulary of the simulator: what entities a server keeps, and what each of its tools does to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from inftool_jax.servers.schemas import Document
from inftool_jax.types import JSON, Tool

Role = Literal[
  'create', 'get', 'find', 'list', 'update', 'delete', 'action', 'pure', 'read', 'write',
  'put', 'move', 'edit', 'open', 'below',  # of files (documents.py)
  'add_many', 'remove_many', 'extend', 'shorten', 'survey',  # of many records in one call (batches.py)
]
Test = Literal['equal', 'at_least', 'at_most', 'contains', 'limit', 'offset']
How = Literal['set', 'append', 'remove', 'increase', 'decrease']
Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Field:
  name: str
  schema: JSON
  document: Document  # what references in `schema` are resolved in
  optional: bool = False  # a create leaves it out when it is not told


@dataclasses.dataclass(frozen=True)
class Entity:
  """A kind of record. `key` is 'server/name', under which the state keeps it."""

  key: str
  name: str
  id_field: str
  aliases: frozenset[str]  # normal spellings under which tools speak of the id
  fields: Mapping[str, Field]  # the id's included, in schema order
  references: Mapping[str, str]  # field -> key of the entity whose id it holds
  targets: Mapping[str, tuple[JSON, ...]]  # field -> values that actions lead to; records start elsewhere if they can


@dataclasses.dataclass(frozen=True)
class Filter:
  parameter: str
  field: str
  test: Test


@dataclasses.dataclass(frozen=True)
class Assignment:
  parameter: str
  field: str
  how: How = 'set'


@dataclasses.dataclass(frozen=True)
class Operation:
  """What a tool does. Roles 'read', 'write' and 'pure' have no entity: an answer made from the arguments."""

  tool: Tool
  role: Role
  entity: str = ''  # key
  id_parameter: str = ''  # the parameter that holds the id of the record acted on
  lookup: tuple[tuple[str, str], ...] = ()  # (parameter, field) pairs that say which record is meant
  filters: tuple[Filter, ...] = ()
  assigns: tuple[Assignment, ...] = ()
  outcome: tuple[str, JSON] | None = None  # (field, value) that an action sets
  references: Mapping[str, str] = dataclasses.field(default_factory=dict)  # parameter -> key of the entity whose id it must be
  computed: frozenset[str] = frozenset()  # normal names that output and arguments share, but not the value
  record_path: Path = ()  # where the record stands in the output
  list_path: Path | None = None  # where the list of records stands in the output
  uses: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what documents.py and batches.py use a parameter for -> its name


@dataclasses.dataclass(frozen=True)
class Catalog:
  entities: Mapping[str, Entity]  # by key
  operations: Mapping[str, Operation]  # by tool name
