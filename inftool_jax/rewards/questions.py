"""What a question asks for. The scripted user and the gate share this, so both hear the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from inftool_jax.types import JSON, Tool

# Words that carry no meaning of their own in the name or description of a parameter.
FUNCTION_WORDS = frozenset({
  'a', 'an', 'the', 'of', 'for', 'to', 'in', 'on', 'at', 'by', 'with', 'from', 'and', 'or', 'is', 'are', 'be', 'was', 'it', 'its',
  'this', 'that', 'these', 'those', 'your', 'you', 'i', 'me', 'my', 'we', 'our', 'us', 'which', 'what', 'when', 'where', 'who',
  'how', 'please', 'could', 'can', 'would', 'should', 'do', 'does', 'need', 'want', 'like', 'tell', 'give', 'know', 'use', 'used',
  'using',
})
LONGEST_DESCRIPTION = 4  # content words; a longer description is prose, nobody asks in its words

_WORD = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+')
_ASKS = re.compile(r'\?(?!\w|[=&/#.%])')
_SENTENCE = re.compile(r'[^.!?\n]*[.!?\n]?')


def is_question(text: str) -> bool:
  """Whether the user takes an assistant turn without calls for a question (else it closes the conversation).

  A question mark inside a word, as in a URL that is the answer, asks nothing.
  """
  return _ASKS.search(text) is not None


def words(text: str) -> tuple[str, ...]:
  """Lower-cased, lightly stemmed words of prose, snake_case or camelCase."""
  return tuple(_stem(word.lower()) for word in _WORD.findall(text))


def _stem(word: str) -> str:
  if len(word) > 4 and word.endswith('ies'):
    return word[:-3] + 'y'
  if len(word) > 3 and word.endswith('s') and not word.endswith(('ss', 'us', 'is')):
    return word[:-1]
  return word


def asked_slots(text: str, tool: Tool) -> frozenset[str]:
  """The parameters of `tool` that a question asks for.

  A parameter is asked for by the words of its name, or of a short description, standing together; where phrases overlap
  the longest wins, so that 'end date' does not also ask for `date`. Sentences that end in a question mark are read
  first, the others only if those name no parameter.
  """
  phrases = _phrases(tool)
  sentences = [s for s in _SENTENCE.findall(text) if s.strip()]
  for chosen in ([s for s in sentences if s.endswith('?')], sentences):
    asked = frozenset().union(*(_named(words(sentence), phrases) for sentence in chosen))
    if asked:
      return asked
  return frozenset()


def _phrases(tool: Tool) -> list[tuple[tuple[str, ...], str]]:
  """(words, parameter), longest first, a name before a description of the same length."""
  found = []
  for name, schema in tool.parameters.items():
    full = words(name)
    found.append((full, 0, name))
    content = tuple(w for w in full if w not in FUNCTION_WORDS)
    if content and content != full:
      found.append((content, 1, name))
    description = _content(_description(schema))
    if 0 < len(description) <= LONGEST_DESCRIPTION:
      found.append((description, 1, name))
  return [(phrase, name) for phrase, _, name in sorted(found, key=lambda f: (-len(f[0]), f[1]))]


def _description(schema: JSON) -> str:
  text = schema.get('description', '') if isinstance(schema, Mapping) else ''
  return text if isinstance(text, str) else ''


def _content(text: str) -> tuple[str, ...]:
  return tuple(w for w in words(text) if w not in FUNCTION_WORDS)


def _named(sentence: Sequence[str], phrases: Sequence[tuple[tuple[str, ...], str]]) -> set[str]:
  """Parameters whose phrase stands in the sentence, each word of which is used once."""
  rest: list[str | None] = list(sentence)
  asked = set()
  for phrase, name in phrases:
    at = _find(rest, phrase)
    while at >= 0:
      asked.add(name)
      rest[at:at + len(phrase)] = [None] * len(phrase)
      at = _find(rest, phrase)
  return asked


def _find(sentence: Sequence[str | None], phrase: tuple[str, ...]) -> int:
  bare = all(word in FUNCTION_WORDS for word in phrase)
  for at in range(len(sentence) - len(phrase) + 1):
    if tuple(sentence[at:at + len(phrase)]) != phrase:
      continue
    # A parameter called `to` or `from` is asked for by 'Which to?', not by every 'to' of a sentence.
    if not bare or (at > 0 and sentence[at - 1] in ('which', 'what')):
      return at
  return -1
