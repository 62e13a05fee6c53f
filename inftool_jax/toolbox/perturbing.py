"""Duplicates of tools as other people would have written them, traps beside them, and how well they are told apart.

A copy is renamed (other verb, word order, case, filler; parameters respelled or abbreviated), reworded, its parameters stand in another
order, and the copies of one server are split over two new ones. A trap looks like its original and is none: another effect or another
object. Copies and discriminator are not independent: of the 56 verbs that a copy may get the discriminator knows 47, and delta and rules
were chosen on such copies. So the figures say how well this kind of change is undone, not how well tools of other people are told apart.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.specs import naming
from inftool_jax.toolbox.consolidation import Consolidation
from inftool_jax.types import JSON, WRITES, Effect, Origin, Tool

CHANGES = ('renamed', 'reworded', 'reordered', 'split')

_VERBS: Mapping[str, str] = {
  'get': 'fetch retrieve read show view obtain load pull', 'list': 'get show fetch retrieve browse enumerate',
  'search': 'find query lookup seek', 'find': 'search query locate', 'fetch': 'get retrieve pull',
  'create': 'add make new insert establish', 'add': 'create insert append attach', 'update': 'edit modify change patch revise amend',
  'edit': 'update modify change',
  'delete': 'remove destroy erase drop wipe', 'remove': 'delete erase discard', 'send': 'deliver submit dispatch transmit',
  'calculate': 'compute determine',
}  # fmt: skip
_OPPOSITE: Mapping[Effect, tuple[str, Effect]] = {
  'read': ('delete', 'delete'), 'pure': ('delete', 'delete'), 'create': ('get', 'read'), 'update': ('get', 'read'),
  'delete': ('get', 'read'), 'action': ('get', 'read'),
}  # fmt: skip
_NOUNS: Mapping[str, str] = {
  'user': 'member', 'users': 'members', 'picture': 'image', 'image': 'picture', 'movie': 'film', 'movies': 'films', 'city': 'town',
  'customer': 'client', 'customers': 'clients', 'information': 'details', 'specific': 'particular', 'company': 'firm', 'list': 'collection',
  'specified': 'given', 'available': 'existing', 'current': 'present', 'retrieve': 'fetch', 'returns': 'gives back', 'get': 'obtain',
  'gets': 'obtains', 'return': 'give', 'create': 'set up', 'creates': 'sets up', 'update': 'change', 'updates': 'changes',
  'delete': 'remove', 'deletes': 'removes', 'find': 'locate', 'search': 'look', 'price': 'cost', 'all': 'every', 'data': 'records',
  'provides': 'offers', 'latest': 'newest', 'number': 'count', 'allows': 'lets', 'specifies': 'states', 'detailed': 'full',
}  # fmt: skip
_ABBREVIATIONS: Mapping[str, str] = {
  'query': 'q', 'language': 'lang', 'latitude': 'lat', 'longitude': 'lon', 'number': 'num', 'description': 'desc', 'address': 'addr',
  'category': 'cat', 'country': 'ctry', 'message': 'msg', 'identifier': 'id', 'quantity': 'qty',
}  # fmt: skip
_FRAMES = (
  '{}', 'This operation serves one purpose. {}', 'Use this to do the following: {}', '{} See the documentation for limits.',
  '{} A valid key is needed.', 'Note: {}')
_FILLERS = ('data', 'info', 'details', 'v2')
_OTHER_OBJECTS = ('glaciers', 'elephants', 'volcanoes', 'penguins', 'violins', 'lighthouses', 'meteors', 'tulips')


@dataclasses.dataclass(frozen=True)
class Perturbed:
  """`tools`: the originals, copies and traps. `truth`: name of a tool -> what it is; the copies are what their originals are."""

  tools: tuple[Tool, ...]
  truth: Mapping[str, str]
  copies: int
  traps: int


@dataclasses.dataclass(frozen=True)
class Quality:
  """Pairs that were merged: `found` of the `expected`, and `wrong` ones, `contradictory` of which are a read with a write."""

  found: int
  expected: int
  wrong: int
  contradictory: int

  @property
  def recall(self) -> float:
    return self.found / self.expected if self.expected else 1.0

  @property
  def precision(self) -> float:
    return self.found / (self.found + self.wrong) if self.found + self.wrong else 1.0


def perturb(tools: Sequence[Tool], copies: int, traps: int, seed: int, changes: Sequence[str] = CHANGES) -> Perturbed:
  """`tools` with `copies` duplicates and `traps` of randomly chosen ones, each changed in all ways that `changes` names.

  Without 'split' all copies of a server have one new server. Raises ValueError when there are fewer tools than copies or traps.
  """
  rng = seeds.rng(seed, 'perturb')
  names = {tool.name for tool in tools}
  out, truth = list(tools), {tool.name: tool.name for tool in tools}
  styles = {server: rng.choice(list(_STYLES.values())) for server in dict.fromkeys(t.server for t in tools)}
  hosts = {server: f'host_{i}' for i, server in enumerate(styles)}
  for number, tool in enumerate(rng.sample(list(tools), copies)):
    server = hosts[tool.server] + (rng.choice('ab') if 'split' in changes else '')
    copy = _copy(tool, server, styles[tool.server], changes, rng)
    out.append(_unique(copy, names, number))
    truth[out[-1].name] = tool.name
  taken = {_place(tool, tool.effect) for tool in tools}
  for number, tool in enumerate(rng.sample(list(tools), traps)):
    trap = _other_effect(tool)
    if rng.random() < 0.5 or _place(tool, trap.effect) in taken:  # the server may really have a get for its delete
      trap = _other_object(tool, rng)
    out.append(_unique(dataclasses.replace(trap, server=f'{hosts[tool.server]}c'), names, number))
    truth[out[-1].name] = out[-1].name
  return Perturbed(tuple(out), truth, copies, traps)


def quality(perturbed: Perturbed, found: Consolidation) -> Quality:
  """Every two tools that `found` has made one count as a pair. Its merges name tools as they were, and merged tools by the kept name."""
  effects = {tool.name: tool.effect for tool in perturbed.tools}
  groups = merged_names(found)
  pairs = [(a, b) for group in groups for i, a in enumerate(group) for b in group[i + 1 :]]
  right = sum(perturbed.truth[a] == perturbed.truth[b] for a, b in pairs)
  contradictory = sum((effects[a] in WRITES) != (effects[b] in WRITES) for a, b in pairs)
  return Quality(right, perturbed.copies, len(pairs) - right, contradictory)


def merged_names(found: Consolidation) -> list[list[str]]:
  """The names of the first tools that each merged tool stands for, its own first."""
  groups: dict[str, list[str]] = {}
  for merge in found.merges:
    gathered = [name for member, _ in merge.members for name in groups.pop(member, [member])]
    groups[merge.name] = gathered
  return list(groups.values())


def _copy(tool: Tool, server: str, style: Callable[[list[str]], str], changes: Sequence[str], rng: random.Random) -> Tool:
  properties, required = dict(tool.parameters), list(tool.required)
  name, description = tool.name, tool.description
  if 'renamed' in changes:
    name = style(_renamed(naming.words(tool.name), rng))
    name = name if len(name) <= naming.MAX_NAME else style(naming.words(tool.name))  # a cut name has lost words
    spelled = {p: _respelled(p, style, rng) for p in properties}
    if len(set(spelled.values())) == len(spelled):
      properties, required = {spelled[p]: s for p, s in properties.items()}, [spelled[p] for p in required if p in spelled]
  if 'reworded' in changes:
    description = _reworded(description, rng)
  if 'reordered' in changes:
    properties = dict(rng.sample(list(properties.items()), len(properties)))
  schema: dict[str, JSON] = {**tool.input_schema, 'properties': properties}
  schema.update({'required': required} if required else {})
  moved = tuple(dataclasses.replace(o, server=server, pointer=f'{o.pointer}/copy') for o in tool.lineage)
  lineage = moved or (Origin('copy', '', server, ''),)
  return dataclasses.replace(
    tool, name=name or tool.name, description=description, input_schema=schema, server=server, lineage=lineage)


def _renamed(words: list[str], rng: random.Random) -> list[str]:
  if not words:
    return ['tool']
  verb = words[0] if words[0] in _VERBS else ''
  rest = words[1:] if verb else words
  if verb and len(rest) == 2 and rng.random() < 0.3 and not rest[1].isdigit():
    rest = [rest[1], rng.choice(['of', 'for']), rest[0]]
  rest = [*rest, rng.choice(_FILLERS)] if rng.random() < 0.15 else rest
  if not verb:
    return rest
  verb = rng.choice(_VERBS[verb].split()) if rng.random() < 0.7 else verb
  return [*rest, verb] if rng.random() < 0.1 else [verb, *rest]


def _respelled(parameter: str, style: Callable[[list[str]], str], rng: random.Random) -> str:
  words = naming.words(parameter)
  if not words or re.search(r'[^\w-]', parameter):
    return parameter
  return style([_ABBREVIATIONS[w] if w in _ABBREVIATIONS and rng.random() < 0.3 else w for w in words])


def _reworded(text: str, rng: random.Random) -> str:
  """Sentences in another order, one of many left out, words replaced, a frame around it."""
  sentences = re.split(r'(?<=[.!?])\s+', text)
  if len(sentences) > 1 and rng.random() < 0.5:
    sentences = rng.sample(sentences, len(sentences))
  if len(sentences) > 2 and rng.random() < 0.5:
    sentences.pop(rng.randrange(len(sentences)))
  said = re.sub(r"[A-Za-z]+", lambda m: _NOUNS.get(m[0].lower(), m[0]) if rng.random() < 0.6 else m[0], ' '.join(sentences))
  return rng.choice(_FRAMES).format(said) if said else said


def _place(tool: Tool, effect: str) -> tuple[str, str, frozenset[str]]:
  return tool.server, effect, frozenset(tool.required)


def _other_effect(tool: Tool) -> Tool:
  verb, effect = _OPPOSITE[tool.effect]
  words = naming.words(tool.name)
  rest = words[1:] if words[:1] and words[0] in _VERBS and len(words) > 1 else words
  return dataclasses.replace(tool, name='_'.join([verb, *rest]), effect=effect)


def _other_object(tool: Tool, rng: random.Random) -> Tool:
  """The same of something else: the last word that names no parameter is replaced, in name and description."""
  words = naming.words(tool.name) or ['tool']
  told = {w for p in tool.parameters for w in naming.words(p)} | {'by', 'json', 'using'}
  at = next((i for i in range(len(words) - 1, 0, -1) if words[i] not in told and not words[i].isdigit()), len(words) - 1)
  other = rng.choice(_OTHER_OBJECTS)
  description = re.sub(rf'\b{re.escape(naming.singular(words[at]))}(e?s)?\b', other, tool.description, flags=re.IGNORECASE)
  return dataclasses.replace(tool, name='_'.join([*words[:at], other, *words[at + 1 :]]), description=description)


def _unique(tool: Tool, names: set[str], number: int) -> Tool:
  wanted = naming.shorten(tool.name)
  name = wanted if wanted not in names else naming.shorten(f'{tool.server}_{wanted}')
  name = name if name not in names else naming.shorten(f'{tool.server}_{wanted}_{number}')
  names.add(name)
  return dataclasses.replace(tool, name=name)


_STYLES: Mapping[str, Callable[[list[str]], str]] = {
  'snake': '_'.join, 'kebab': '-'.join, 'camel': lambda w: w[0] + ''.join(x.capitalize() for x in w[1:]),
  'pascal': lambda w: ''.join(x.capitalize() for x in w),
}  # fmt: skip
