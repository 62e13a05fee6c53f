"""Words of names and prose in any script, as they are compared: lower case, in one number, without what every tool says."""

from __future__ import annotations

import functools
import re
import unicodedata

from inftool_jax.specs import naming
from inftool_jax.types import Tool

_RUN = re.compile(r'[^\W_]+')
_CAMEL = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')
_NUMBERED = re.compile(r'_(?:[2-9]|[1-9]\d+)$')
_STOP = frozenset(
  'a an the of for to in on at by with from and or as is are be this that these those it its into which you your can will all any given '
  'specified using use used via per based returns return returned returning provides provide allows allow please endpoint api request '
  'response method call tool operation'.split())
_SHORT = 400  # characters of a text whose terms are kept: they are asked for by every part of the method, in every round
MAX_CHARACTERS = 4000  # of one text; what follows says nothing new about what the tool is


def words(text: str) -> list[str]:
  """The words of `text`, in order: case, accents and camelCase are resolved, other scripts stay. At most the first 4,000 characters."""
  plain = unicodedata.normalize('NFKC', _CAMEL.sub(' ', text[:MAX_CHARACTERS])).casefold()
  return [w if w.isascii() else naming.ascii_text(w) or w for w in _RUN.findall(plain)]


def own_name(tool: Tool) -> str:
  """The name without what names get to be unique: the server before it and a number behind."""
  prefix = f'{tool.server}_'
  return _NUMBERED.sub('', tool.name.removeprefix(prefix)) if tool.name.startswith(prefix) else tool.name


def telling(text: str) -> list[str]:
  """The words of `text` that not every tool says, in the singular. A run of a script without spaces gives its pairs of characters."""
  out: list[str] = []
  for word in words(text):
    if not word.isascii() and len(word) > 2:
      out += [word[i : i + 2] for i in range(len(word) - 1)]
    elif word not in _STOP:
      out.append(naming.singular(word))
  return out


def terms(text: str) -> list[str]:
  """The telling words by their stems."""
  return list(_short_terms(text)) if len(text) <= _SHORT else [stem(word) for word in telling(text)]


@functools.lru_cache(65_536)
def _short_terms(text: str) -> tuple[str, ...]:
  return tuple(stem(word) for word in telling(text))


@functools.lru_cache(100_000)
def stem(word: str) -> str:
  """A plain stem of an English word in the singular: 'creating' and 'created' -> 'creat', 'create' -> 'creat'."""
  if not word.isascii() or len(word) < 4:
    return word
  for ending in ('ing', 'ed'):
    if word.endswith(ending) and len(word) - len(ending) >= 4:
      word = word[: -len(ending)]
      break
  return word[:-1] if word.endswith('e') and len(word) > 4 else word
