"""Which tools of a cluster do one and the same thing."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from inftool_jax.specs import effects, naming
from inftool_jax.toolbox.neighbours import Pairs
from inftool_jax.toolbox.terms import own_name, stem, terms, words
from inftool_jax.types import JSON, Tool

# Verbs that say the same of a tool, given that its effect is the same and its parameters are.
_ALIKE = {
  verb: kind
  for kind, verbs in {
    'get': 'get fetch retrieve read show view list display obtain load find search query lookup locate browse',
    'create': 'create add new insert make append',
    'update': 'update edit modify change set patch revise alter',
    'delete': 'delete remove destroy erase drop discard',
    'send': 'send deliver submit dispatch transmit',
    'calculate': 'calculate compute',
  }.items()
  for verb in verbs.split()
}
_UNSAID: Mapping[str, str] = {'read': 'get', 'create': 'create', 'update': 'update', 'delete': 'delete'}  # the verb of a name without one
_FILLERS = frozenset(stem(w) for w in 'data info information detail details result results all current'.split())
_VERSION = re.compile(r'v\d+')
_SCALARS = frozenset({'string', 'integer', 'number', 'boolean'})
_STRUCTURES = ('$ref', 'properties', 'items', 'anyOf', 'oneOf', 'allOf', 'not', 'prefixItems', 'additionalProperties', 'patternProperties')


@dataclasses.dataclass(frozen=True)
class Group:
  """Indices of tools that do the same, the one to keep first; the lowest cosine that joined them; why they are the same."""

  members: tuple[int, ...]
  cosine: float
  reason: str


class Discriminator(Protocol):
  """Splits a cluster into groups of redundant tools, which have at least two members and share none. The others are unique.

  `tools` are all of one effect, in order of preference: of a group the first one is kept. `pairs` are those above delta among them.
  """

  def groups(self, tools: Sequence[Tool], pairs: Pairs) -> Sequence[Group]: ...


class SchemaOverlap:
  """Redundant are tools whose names say the same and whose parameters can be mapped onto each other.

  The names: verbs of the same meaning (in the descriptions too), at least half of the other words in common, and each of the rest found
  in what the other tool says of itself. The parameters: required ones one to one, at least half of all in common, no types or choices
  that contradict. Results, where both tell them: a share of fields in common. Within a server, which hardly offers a thing twice,
  descriptions must say the same too.
  Every member of a group is redundant with its first.
  """

  def __init__(self, overlap: float = 0.5, output_overlap: float = 0.2) -> None:
    self.overlap, self.output_overlap = overlap, output_overlap
    self._told: dict[int, Facts] = {}  # by id of the tool that they hold: most tools of a round were in the one before

  def groups(self, tools: Sequence[Tool], pairs: Pairs) -> tuple[Group, ...]:
    facts = [self._facts(tool) for tool in tools]
    group_of: dict[int, list[int]] = {i: [i] for i in range(len(tools))}
    cosine_of = dict.fromkeys(range(len(tools)), 1.0)
    of_server = [{tool.server: fact} for tool, fact in zip(tools, facts)]  # of each group, by its first: one member of each server
    for k in sorted(range(len(pairs)), key=lambda k: (-pairs.cosine[k], pairs.first[k], pairs.second[k])):
      a, b = group_of[int(pairs.first[k])], group_of[int(pairs.second[k])]
      if a is b:
        continue
      a, b = (a, b) if a[0] < b[0] else (b, a)
      ours, theirs = of_server[a[0]], of_server[b[0]]
      if all(self._same(facts[a[0]], facts[i]) for i in b) and all(self._same(ours[s], theirs[s]) for s in ours.keys() & theirs.keys()):
        cosine_of[a[0]] = min(cosine_of[a[0]], cosine_of[b[0]], float(pairs.cosine[k]))
        of_server[a[0]] = theirs | ours
        a += b
        group_of.update(dict.fromkeys(b, a))
    found = [members for i, members in group_of.items() if members[0] == i and len(members) > 1]
    return tuple(Group(tuple(m), cosine_of[m[0]], self._reason([facts[i] for i in m])) for m in found)

  def _facts(self, tool: Tool) -> Facts:
    found = self._told.get(id(tool))
    if found is None:
      found = self._told[id(tool)] = _facts(tool)
    return found

  def _same(self, a: Facts, b: Facts) -> bool:
    return (
      a.verb == b.verb
      and (not a.deed or not b.deed or a.deed == b.deed)
      and self._names_agree(a, b)
      and (mapping := align(a.tool, b.tool)) is not None
      and len(mapping) >= self.overlap * (len(a.tool.parameters) + len(b.tool.parameters) - len(mapping))
      and self._outputs_agree(a, b)
      and (self._subjects_agree(a, b) if a.tool.server != b.tool.server else a.named == b.named and a.said == b.said)
    )

  def _names_agree(self, a: Facts, b: Facts) -> bool:
    common, servers = a.about & b.about, a.server | b.server
    ours = a.about - b.about - servers - (a.unknown_verb if b.has_verb else frozenset())
    theirs = b.about - a.about - servers - (b.unknown_verb if a.has_verb else frozenset())
    return (
      bool(common)
      and all(a.forms[w] & b.forms[w] for w in common)
      and len(common) >= self.overlap * len(common | ours | theirs)
      and ours <= b.text
      and theirs <= a.text
    )

  def _subjects_agree(self, a: Facts, b: Facts) -> bool:
    """Not 'NFL team schedule' of an NFL server and 'NBA team schedule' of an NBA server."""
    return not (a.server & (a.about | a.said) - b.text and b.server & (b.about | b.said) - a.text)

  def _outputs_agree(self, a: Facts, b: Facts) -> bool:
    common = len(a.outputs & b.outputs)
    return min(len(a.outputs), len(b.outputs)) < 3 or common >= self.output_overlap * min(len(a.outputs), len(b.outputs))

  def _reason(self, group: Sequence[Facts]) -> str:
    about = sorted(frozenset.intersection(*(f.about for f in group)))
    parameters = ', '.join(group[0].tool.parameters) or 'none'
    return f'all {group[0].tool.effect} {" ".join(about)}; common parameters: {parameters}'


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a tool says of itself, in stems."""

  tool: Tool
  verb: str
  has_verb: bool
  unknown_verb: frozenset[str]  # of a name without a verb, its first word where nothing else of the tool speaks of it: 'grab'
  deed: str  # what the description says first that the tool does: get, write, delete, or ''
  named: tuple[str, ...]  # words of the name but the verb, as they stand there
  about: frozenset[str]  # their stems, without fillers
  forms: Mapping[str, frozenset[str]]  # stem -> the words of the name that have it: one order is not all orders
  said: frozenset[str]  # of the description
  text: frozenset[str]  # of all of it
  server: frozenset[str]

  @functools.cached_property
  def outputs(self) -> frozenset[str]:
    """Fields of the result. Few pairs are alike enough for them to matter."""
    return frozenset(_fields(self.tool.output_schema, 3))


def _facts(tool: Tool) -> Facts:
  named = _named(tool)
  places = [0, len(named) - 1, *range(len(named))] if named else []  # a verb stands first, or else last
  at = next((i for i in places if named[i] in _ALIKE), None)
  verb = _UNSAID.get(tool.effect, '') if at is None else _ALIKE[named[at]]
  rest = named if at is None else named[:at] + named[at + 1 :]
  forms: dict[str, frozenset[str]] = {}
  for word in rest:
    for term in set(terms(word)) - _FILLERS:
      forms[term] = forms.get(term, frozenset()) | {word}
  said = frozenset(terms(tool.description))
  parameters = frozenset(t for p in tool.parameters for t in terms(p))
  leading = frozenset(terms(' '.join(named[:1]))) if at is None and said and effects.of_words(named[:1]) is None else frozenset()
  return Facts(
    tool, verb, at is not None, leading - said - parameters, _deed(tool.description), tuple(rest), frozenset(forms), forms, said,
    said | parameters | set(forms), frozenset(terms(tool.server)))


def _deed(description: str) -> str:
  first = words(description[:40])[:1]
  kind = _ALIKE.get(naming.singular(first[0]), '') if first else ''
  return kind if kind in ('', 'get', 'delete') else 'write'


def _named(tool: Tool) -> list[str]:
  """The words of the name, without what names get to be unique (server, number), version, leading HTTP method, and "by" a parameter."""
  own = own_name(tool)
  if all(word in _ALIKE or stem(word) in _FILLERS for word in words(own)):
    own = tool.name  # 'video_search' of a server called 'video'
  named = [w for w in words(own) if not _VERSION.fullmatch(w)]
  if named and tool.lineage and named[0] == tool.lineage[0].method.lower() and named[0] not in _ALIKE:
    named = named[1:]
  if 'by' in named[1:]:
    at = named.index('by', 1)
    told = {w for p in tool.parameters for w in words(p)} | {'id', 'and', 'or'}
    named = [*named[:at], *(w for w in named[at + 1 :] if w not in told)]
  return named


def align(home: Tool, other: Tool) -> dict[str, str] | None:
  """Parameters of `other` -> those of `home` that they are. None when types or choices contradict, or a required one has no partner."""
  mapping = {p: p for p in other.parameters if p in home.parameters}
  left = [p for p in home.parameters if p not in mapping]
  for matches in (_spelled_alike, _abbreviated):
    for name in [p for p in other.parameters if p not in mapping]:
      partners = [
        p for p in left
        if matches(p, name) and (p in home.required) == (name in other.required)
        and (matches is _spelled_alike or _compatible(home.parameters[p], other.parameters[name]))]  # fmt: skip
      if len(partners) == 1:
        mapping[name] = partners[0]
        left.remove(partners[0])
  if {mapping.get(p) for p in other.required} != set(home.required):
    return None
  contradict = any(not _compatible(home.parameters[p], other.parameters[name]) for name, p in mapping.items())
  return None if contradict else mapping


def is_structure(schema: JSON) -> bool:
  return isinstance(schema, Mapping) and any(keyword in schema for keyword in _STRUCTURES)


@functools.lru_cache(100_000)
def _key(parameter: str) -> str:
  """What stays the same of a name however it is spelled: 'order_id', 'orderId' and 'Order-ID' are one."""
  return ''.join(words(parameter)) or parameter


def _spelled_alike(a: str, b: str) -> bool:
  return _key(a) == _key(b)


def _abbreviated(a: str, b: str) -> bool:
  """'lat' of 'latitude', 'q' of 'query', 'msg_id' of 'message_id', 'id' of 'order_id'."""
  ours, theirs = words(a), words(b)
  if len(ours) != len(theirs):
    short, long = sorted((ours, theirs), key=len)
    return len(short) == 1 and short == long[-1:]
  return bool(ours) and all(_shortens(*sorted(pair, key=len)) for pair in zip(ours, theirs))


def _shortens(short: str, long: str) -> bool:
  """The first letter, then some of the others in order."""
  letters = iter(long)
  return short[:1] == long[:1] and all(letter in letters for letter in short)


def _compatible(a: JSON, b: JSON) -> bool:
  if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
    return a is not False and b is not False  # true takes anything
  kinds, others = types_of(a), types_of(b)
  if kinds and others and not kinds & others:
    return False
  choices, other_choices = choices_of(a), choices_of(b)
  return not choices or not other_choices or any(c in other_choices for c in choices)


def types_of(schema: Mapping[str, JSON]) -> frozenset[str]:
  """The stated types but null; 'number' stands for 'integer' too. Empty: any."""
  kind = schema.get('type', ())
  kinds = {kind} if isinstance(kind, str) else set(kind)
  return frozenset(kinds - {'null'} | ({'integer'} if 'number' in kinds else set()))


def choices_of(schema: Mapping[str, JSON]) -> list[JSON]:
  return [schema['const']] if 'const' in schema else list(schema.get('enum', ()))


def _fields(schema: JSON, levels: int) -> Iterator[str]:
  """The names of the fields of a result, some levels deep."""
  if isinstance(schema, Mapping) and levels:
    properties = schema.get('properties')
    if isinstance(properties, Mapping):
      yield from map(_key, properties)
    for inner in [*(properties.values() if isinstance(properties, Mapping) else ()), schema.get('items')]:
      yield from _fields(inner, levels - 1)
