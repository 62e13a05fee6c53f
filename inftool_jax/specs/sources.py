"""How a live MCP server is named, and why no secret is in the name.

    npx -y @modelcontextprotocol/server-filesystem /tmp          a command, words as a shell has them
    GITHUB_TOKEN=${GITHUB_TOKEN} npx -y server-github            variables that the command gets, before it
    npx -y @modelcontextprotocol/server-filesystem {folder}      {folder} is a new, empty folder each time it is started
    https://example.com/mcp                                      streamable HTTP
    https://example.com/mcp 'Authorization: Bearer ${TOKEN}'     headers behind it

`${NAME}` stands for the environment variable of that name and is put in place only when the server is started or called. The name
itself, with its `${NAME}`s, is what configs, lineage and messages hold, so it must not hold a secret: what looks like one is refused,
and what a server answers or complains is searched for the values before it is kept or shown.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import urllib.parse
from collections.abc import Mapping

from inftool_jax.errors import SpecError

_VARIABLE = re.compile(r'\$\{([A-Za-z_][A-Za-z0-9_]*)\}')
_SECRET_WORD = re.compile(r'key|token|secret|passw|pwd|auth|cookie|credential|signature|bearer|session', re.IGNORECASE)
_ASSIGNMENT = re.compile(r'^([A-Za-z_][A-Za-z0-9_]*)=(.*)$', re.DOTALL)
_OPTION = re.compile(r'^--?([A-Za-z][\w.-]*)(?:=(.*))?$', re.DOTALL)
_HEADER = re.compile(r'^([A-Za-z0-9!#$%&\'*+.^_`|~-]+):\s*(.*)$', re.DOTALL)
_ISSUED = re.compile(r'(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|hf|AKIA|ASIA|AIza|ya29|eyJ)[-_.]?[A-Za-z0-9]')
_LONG = re.compile(r'[A-Za-z0-9_\-]{20,}')
_CHANGE = re.compile(r'(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])')
_SHORTEST = 8  # characters of a value that is searched for in what a server answers; shorter ones occur by chance


@dataclasses.dataclass(frozen=True)
class Source:
  """A server as named: `command` or `url` is set. All texts still hold their `${NAME}`s."""

  named: str
  command: tuple[str, ...] = ()
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
  url: str = ''
  headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def variables(self) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_VARIABLE.findall(self.named)))


def parse(named: str) -> Source:
  """Raises SpecError when the name is of no known form or seems to hold a secret; the message never repeats the secret."""
  try:
    words = shlex.split(named)
  except ValueError as e:
    raise SpecError(f'cannot be split into words ({e})') from e
  if not words:
    raise SpecError('is empty; name a command or a URL')
  if re.match(r'^https?://', words[0], re.IGNORECASE):
    return _remote(named, words)
  environment: dict[str, str] = {}
  while words and (match := _ASSIGNMENT.match(words[0])):
    _no_secret(match[2], match[1], f'the variable {match[1]}')
    environment[match[1]] = match[2]
    words = words[1:]
  if not words:
    raise SpecError('sets variables but names no command')
  option = ''
  for word in words:
    match = _OPTION.match(word)
    _no_secret(word if match is None else match[2] or '', match[1] if match else option, f'the option {match[1] if match else option}'
               if match or option else 'a word of the command')
    option = match[1] if match and match[2] is None else ''
  return Source(named, command=tuple(words), environment=environment)


def expand(text: str) -> str:
  """`text` with the environment's values in place. Raises SpecError naming a variable that is not set."""
  def value(match: re.Match[str]) -> str:
    if match[1] not in os.environ:
      raise SpecError(f'the environment variable {match[1]} is not set')
    return os.environ[match[1]]

  return _VARIABLE.sub(value, text)


def scrub(text: str, source: Source, shortest: int = 1) -> str:
  """`text` without the values of the source's variables, plain or as a URL has them: each is its `${NAME}` again."""
  values = {os.environ.get(name, ''): name for name in source.variables}
  for value in sorted(values, key=len, reverse=True):  # one may hold another
    if len(value) >= shortest:
      for form in dict.fromkeys((value, urllib.parse.quote(value), urllib.parse.quote(value, safe=''), urllib.parse.quote_plus(value))):
        text = text.replace(form, f'${{{values[value]}}}')
  return text


def scrub_json(value, source: Source):
  """A JSON value with every text of it scrubbed, names of members included."""
  if isinstance(value, str):
    return scrub(value, source, _SHORTEST)
  if isinstance(value, list):
    return [scrub_json(v, source) for v in value]
  if isinstance(value, dict):
    return {scrub(k, source, _SHORTEST): scrub_json(v, source) for k, v in value.items()}
  return value


def _remote(named: str, words: list[str]) -> Source:
  try:
    parts = urllib.parse.urlsplit(words[0])
    host = parts.hostname
  except ValueError as e:
    raise SpecError('is no valid URL') from e
  if not host:
    raise SpecError('is a URL without a host')
  if parts.username is not None or parts.password is not None:
    raise SpecError("has a user or password in its URL; send a header instead: URL 'Authorization: Basic ${NAME}'")
  for name, value in urllib.parse.parse_qsl(parts.query, keep_blank_values=True):
    if value and not _VARIABLE.fullmatch(value):  # keys of every service go by another name
      raise SpecError(f'has a value for {_name(name)} in the query of its URL; put it in an environment variable and write ${{NAME}}')
  for segment in [*parts.path.split('/'), *host.split('.'), parts.fragment]:
    _no_secret(segment, '', 'a part of the URL')
  headers: dict[str, str] = {}
  for word in words[1:]:
    match = _HEADER.match(word)
    if match is None:
      raise SpecError("has a word behind its URL that is no header; write it as 'Name: value' in quotes")
    _no_secret(match[2].removeprefix('Bearer ').removeprefix('Basic '), match[1], f'the header {match[1]}')
    headers[match[1]] = match[2]
  return Source(named, url=words[0], headers=headers)


def _no_secret(value: str, name: str, place: str) -> None:
  """Raises SpecError when `value`, without its variables, may be a secret: by its name, or by how issued keys look."""
  literal = _VARIABLE.sub('', value)
  if literal and (_SECRET_WORD.search(name) or _ISSUED.match(literal) or any(map(_is_random, _LONG.findall(literal)))):
    raise SpecError(f'seems to hold a secret in {place}; put it in an environment variable and write ${{NAME}}')


def _is_random(run: str) -> bool:
  """Whether letters and digits alternate within a part of `run`, which words and dates do not."""
  return any(len(part) >= 8 and len(_CHANGE.findall(part)) >= 2 for part in re.split('[_-]', run))


def _name(text: str) -> str:
  return repr(text) if len(text) < 20 and not _ISSUED.match(text) else 'a name'
