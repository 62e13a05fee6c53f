"""What a docstring says of a function: its purpose and its parameters, in Google's, NumPy's or Sphinx's style.

https://google.github.io/styleguide/pyguide.html#383-functions-and-methods, https://numpydoc.readthedocs.io/en/latest/format.html,
https://www.sphinx-doc.org/en/master/usage/domains/python.html#info-field-lists
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping

from inftool_jax.specs import naming

_PARAMETERS = frozenset({'args', 'arguments', 'parameters', 'params', 'keyword args', 'keyword arguments', 'other parameters'})
_OTHERS = frozenset({
  'returns', 'return', 'yields', 'yield', 'raises', 'except', 'exceptions', 'warns', 'warnings', 'warning', 'note', 'notes', 'example',
  'examples', 'see also', 'references', 'attributes', 'methods', 'todo', 'receives', 'usage'})
_GOOGLE = re.compile(r'^([A-Za-z][A-Za-z ]*):\s*$')
_RULE = re.compile(r'^\s*-{3,}\s*$')
_GOOGLE_ENTRY = re.compile(r'^\*{0,2}(\w+)\s*(?:\((.*?)\))?\s*:(?:\s+(.*)|)$')
_NUMPY_ENTRY = re.compile(r'^\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::\s*(.*))?$')
_FIELD = re.compile(r'^:(\w+)([^:]*):\s*(.*)$')
_MAX_HEAD = 500  # characters of a line that can open an entry; longer ones are prose


@dataclasses.dataclass(frozen=True)
class Parameter:
  type: str = ''  # as written, '' where none is
  description: str = ''


@dataclasses.dataclass(frozen=True)
class Docstring:
  description: str
  parameters: Mapping[str, Parameter]


def parse(docstring: str) -> Docstring:
  """Total: text in no known style is all description."""
  lines = inspect.cleandoc(docstring).splitlines()
  words: list[str] = []
  found: dict[str, Parameter] = {}
  number = 0
  while number < len(lines):
    kind, start = _section(lines, number)
    if kind:
      end = _end(lines, start, numpy=start == number + 2)
      if kind in _PARAMETERS:
        entries = _numpy_entries(lines[start:end]) if start == number + 2 else _google_entries(lines[start:end])
        found = {**entries, **found}
    elif match := _FIELD.match(lines[number]):
      start, end = number, _end_of_field(lines, number + 1)
      _add_field(found, match[1], match[2] or '', ' '.join([match[3], *(line.strip() for line in lines[number + 1 : end])]))
    else:
      words.append(lines[number])
      end = number + 1
    number = end
  return Docstring(naming.clean('\n'.join(words)), found)


def _section(lines: list[str], number: int) -> tuple[str, int]:
  """(name of the section whose head is this line, the first line of its body), ('', 0) for a line that is no head."""
  line = lines[number]
  following = lines[number + 1] if number + 1 < len(lines) else ''
  name = line.strip().rstrip(':').lower()
  if name not in _PARAMETERS | _OTHERS or line[:1].isspace():
    return '', 0
  if _RULE.match(following):
    return name, number + 2
  if _GOOGLE.match(line) and (following[:1].isspace() or not following):
    return name, number + 1
  return '', 0


def _end(lines: list[str], start: int, numpy: bool) -> int:
  """Where the body of a section ends: at the next head, or, in Google's style, at the next line that is not indented."""
  for number in range(start, len(lines)):
    if _section(lines, number)[0] or (not numpy and lines[number].strip() and not lines[number][0].isspace()):
      return number
  return len(lines)


def _google_entries(lines: list[str]) -> dict[str, Parameter]:
  return _entries(lines, _GOOGLE_ENTRY, lambda match: ([match[1]], match[2] or '', match[3] or ''))


def _numpy_entries(lines: list[str]) -> dict[str, Parameter]:
  return _entries(lines, _NUMPY_ENTRY, lambda match: ([n.strip().lstrip('*') for n in match[1].split(',')], match[2] or '', ''))


def _entries(lines: list[str], head: re.Pattern[str], parts) -> dict[str, Parameter]:
  """Entries begin at the indentation of the first one; what is indented further belongs to the entry above."""
  found: dict[str, Parameter] = {}
  indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
  names: list[str] = []
  for line in lines:
    opens = line[:indent].isspace() == bool(indent) and line[indent : indent + 1].strip() and len(line) <= _MAX_HEAD
    match = head.match(line.strip()) if opens else None
    if match:
      names, kind, description = parts(match)
      found.update({name: Parameter(kind, description) for name in names})
    else:
      for name in names:
        found[name] = dataclasses.replace(found[name], description=f'{found[name].description} {line.strip()}'.strip())
  return {name: dataclasses.replace(p, description=naming.clean(p.description)) for name, p in found.items()}


def _end_of_field(lines: list[str], start: int) -> int:
  number = start
  while number < len(lines) and lines[number][:1].isspace():
    number += 1
  return number


def _add_field(found: dict[str, Parameter], field: str, argument: str, text: str) -> None:
  """`:param type name: ...` and `:type name: ...`; other fields say nothing of parameters."""
  *kind, name = argument.split() or ['']
  before = found.get(name.lstrip('*'), Parameter())
  if field in ('param', 'parameter', 'arg', 'argument', 'key', 'keyword') and name:
    found[name.lstrip('*')] = Parameter(' '.join(kind) or before.type, naming.clean(text))
  elif field == 'type' and name:
    found[name.lstrip('*')] = dataclasses.replace(before, type=text.strip())
