"""Masking: cold-start conversations told again with other words in the place of names.

A few hundred tools have a few hundred names, and a small model learns those by heart instead of reading what it is
offered. So words of tools and parameters are replaced by other ones, everywhere in a conversation at once: in tool
documents, the request, calls, results and answers. The conversation stays true, only its names are new. (Hammer,
arXiv 2410.04587, masks function names to the same end.)

Replaced are words that the request itself says, so that what it asks for can still be told by its words, and words that
only other tools than the called ones have. A synonym keeps its meaning: where the request says `call off`, `cancel` stays.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.servers import words
from inftool_jax.types import Task, Tool

SHARE = 0.7  # of the words that could be replaced are
KEPT = frozenset(
  # What the chat template and JSON Schema say, and words too small to name anything.
  'system user assistant tool tools name description parameters required type string integer number boolean array object enum format '
  'default date time email items arguments call write for each you are helpful to true false null error a an the of in on at by with '
  'and or from as is it its id ids do not no none'.split()
)
_WORD = re.compile(r'[A-Za-z]+')
_MARKUP = re.compile(r'(<[/|]?[a-z_]+\|?>)')  # <|im_start|>, <tool_call>, </tools>: what the model reads as one token


def mask(texts: Sequence[str], tasks: Sequence[Task], vocabulary: Sequence[str], seed: int) -> list[str]:
  """`texts`, the pieces of conversations, with one replacement for each chosen word throughout.

  Args:
    texts: prompts, turns and results in order; what is split apart here stays apart.
    tasks: those that were played; several when they offer the same tools, which get the same new names in all of them. The more
      there are, the fewer words may be replaced in every one.
    vocabulary: words to put in the place of others, beside made-up ones.
    seed: of the choice.
  """
  rng = seeds.rng(seed, 'mask', tasks[0].id)
  allowed = set.intersection(*(set(candidates(task)) for task in tasks))
  chosen = [w for w in candidates(tasks[0]) if w in allowed and rng.random() < SHARE]
  taken = set(_words(texts))
  table: dict[str, str] = {}
  for word in chosen:
    table[word] = _replacement(rng, vocabulary, taken)
    taken.add(table[word])
  replace = _replacer(table)
  return [''.join(p if _MARKUP.fullmatch(p) else _WORD.sub(replace, p) for p in _MARKUP.split(text)) for text in texts]


def candidates(task: Task) -> list[str]:
  """Words that may be replaced, in order of appearance: lower case, singular where the plural differs by an s."""
  called = {g.call.tool for g in task.gold}
  said = set(_words([task.scenario.opening, *(f.text for f in task.scenario.withheld)]))
  own = set(_words(text for tool in task.tools if tool.name in called for text in _texts(tool)))
  offered = dict.fromkeys(_words(text for tool in task.tools for text in _texts(tool)))
  return [w for w in offered if w not in KEPT and len(w) > 2 and (w in said or w not in own)]


def vocabulary(tools: Iterable[Tool]) -> tuple[str, ...]:
  """The words of these tools' names and the train part of the simulator's stocks, sorted."""
  own = {w for tool in tools for w in _words([tool.name, *tool.parameters]) if w not in KEPT and len(w) > 2}
  return tuple(sorted({*own, *words.share('noun', 'train'), *words.share('adjective', 'train')}))


def _texts(tool: Tool) -> list[str]:
  enums = [str(v) for schema in tool.parameters.values() if isinstance(schema, Mapping) for v in schema.get('enum', ())]
  return [tool.name, tool.description, *tool.parameters, *enums]


def _words(texts: Iterable[str]) -> list[str]:
  return [_singular(w.lower()) for text in texts for w in _WORD.findall(text)]


def _singular(word: str) -> str:
  return word[:-1] if len(word) > 3 and word.endswith('s') and not word.endswith('ss') else word


def _replacement(rng: random.Random, vocabulary: Sequence[str], taken: set[str]) -> str:
  while True:
    word = rng.choice(vocabulary) if rng.random() < 0.4 else words.made_word(rng, 'train', rng.randint(1, 3))
    if word not in taken and _singular(word) == word:
      return word


def _replacer(table: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
  def replace(match: re.Match[str]) -> str:
    word = match.group()
    stem = _singular(word.lower())
    if stem not in table:
      return word
    new = table[stem] + ('s' if stem != word.lower() else '')
    return new.capitalize() if word[0].isupper() else new

  return replace
