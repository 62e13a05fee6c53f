"""How well operations are understood: what is inferred against labels given by hand.

  class    create, read, list, ... (`kinds.Kind`)
  entity   the kind of record that an operation makes, reads or changes
  key      the parameter that says which record

Precision is the share of what is said that is right, recall the share of what there is to say that is said rightly. Nothing said is no
error: an operation whose record is not known is opaque, and is never verified by its state.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from inftool_jax.errors import SpecError
from inftool_jax.servers import kinds, operations
from inftool_jax.servers.catalog import Catalog, Operation
from inftool_jax.specs import effects
from inftool_jax.types import JSON, Effect, Origin, Tool

ASPECTS = ('class', 'entity', 'key')
NOTHING = '-'


@dataclasses.dataclass(frozen=True)
class Labelled:
  """What may be said of a tool; any of the words of an aspect is right, the first is the best. '-': there is none."""

  tool: Tool
  words: Mapping[str, tuple[str, ...]]  # aspect -> right words


@dataclasses.dataclass(frozen=True)
class Score:
  """`wrong` tells (tool, said, right words) for what is wrong or missing."""

  said: int
  there: int
  right: int  # of what was said
  found: int  # of what there is
  wrong: tuple[tuple[str, str, str], ...]

  @property
  def precision(self) -> float:
    return self.right / self.said if self.said else 1.0

  @property
  def recall(self) -> float:
    return self.found / self.there if self.there else 1.0


def read(path: Path) -> tuple[list[Tool], list[Labelled]]:
  """(all tools of the file's servers, the labelled ones). Raises SpecError for a line that is none."""
  tools: list[Tool] = []
  labelled: list[Labelled] = []
  for number, line in enumerate(path.read_text().splitlines(), 1):
    try:
      row = json.loads(line)
      tools.append(_tool(row))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
      raise SpecError(f'{path}:{number}: is no operation ({type(e).__name__}: {e})') from None
    if 'class' in row:
      labelled.append(Labelled(tools[-1], {aspect: tuple(row[aspect].split('|')) for aspect in ASPECTS}))
  return tools, labelled


def measure(tools: Sequence[Tool], labelled: Sequence[Labelled]) -> dict[str, Score]:
  """Aspect -> score. `tools`: the complete servers of what is labelled."""
  catalog = operations.classify(tools)
  return {aspect: _score([(x, _said(catalog, catalog.operations[x.tool.name])[aspect]) for x in labelled], aspect) for aspect in ASPECTS}


def _score(told: Sequence[tuple[Labelled, str]], aspect: str) -> Score:
  count: collections.Counter[str] = collections.Counter()
  wrong: list[tuple[str, str, str]] = []
  for x, said in told:
    words = x.words[aspect]
    right, there = said in words, words[0] != NOTHING
    count['said'] += said != NOTHING
    count['there'] += there
    count['right'] += right and said != NOTHING
    count['found'] += right and there
    if not right:
      wrong.append((x.tool.name, said, '|'.join(words)))
  return Score(count['said'], count['there'], count['right'], count['found'], tuple(wrong))


def _said(catalog: Catalog, operation: Operation) -> dict[str, str]:
  told = kinds.reading(operation, catalog)
  return {'class': told.kind, 'entity': told.entity or NOTHING, 'key': told.key or NOTHING}


def _tool(row: Mapping[str, JSON]) -> Tool:
  name, method, path, server = row['name'], row.get('method', ''), row.get('path', ''), row['server']
  said = name.removeprefix(f'{server}_')
  effect = row.get('effect') or _effect(said, row)
  parameters = {n.removesuffix('*'): _schema(v) for n, v in row['parameters'].items()}
  schema = {'type': 'object', 'properties': parameters, 'required': [n[:-1] for n in row['parameters'] if n.endswith('*')]}
  output = _schema(row['output']) if 'output' in row else None
  return Tool(name, row['description'], schema, output, server, effect, (Origin(row['source'], '', server, '', method, path),))


def _effect(name: str, row: Mapping[str, JSON]) -> Effect:
  """As the readers tell it."""
  if 'method' in row:
    return effects.of_http(row['method'], name, row.get('path', ''), row['description'])
  return effects.of_mcp(name, row['description'], {}, [p.removesuffix('*') for p in row['parameters']])


def _schema(example: JSON) -> dict[str, JSON]:
  """The schema of an example of types: {'id': 'string', 'tags': ['string']}; 'any' says nothing."""
  if isinstance(example, Mapping):
    return {'type': 'object', 'properties': {n: _schema(v) for n, v in example.items()}}
  if isinstance(example, list):
    return {'type': 'array', 'items': _schema(example[0]) if example else {}}
  return {} if example == 'any' else {'type': example}
