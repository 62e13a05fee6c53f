"""Files to JSON values. What a file is, is told from its content: JSON, JSON lines or YAML."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import stat
from collections.abc import Hashable
from pathlib import Path

import yaml

from inftool_jax.types import JSON

MAX_BYTES = 32 * 2**20
MAX_DEPTH = 500
_ANCHOR = re.compile(r'(?:^|[\s\[{,])&\S', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Document:
  """One JSON value of a file. `pointer` is '' for the whole file and '/LINE' (counted from 1) for a line of JSON lines."""

  pointer: str
  value: JSON


class _Yaml(yaml.CSafeLoader):
  """YAML with the scalars of YAML 1.2's core schema and string keys only.

  YAML 1.1 reads `no` as false, `12:30` as 750 and a date as an object; a JSON document has none of these.
  """

  yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

  def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, JSON]:
    return {_key(k): v for k, v in super().construct_mapping(node, deep).items()}

  def construct_core_float(self, node: yaml.ScalarNode) -> float:
    return _finite(str(self.construct_scalar(node)))

  def construct_core_int(self, node: yaml.ScalarNode) -> int:
    return int(str(self.construct_scalar(node)))

  def construct_no_json(self, node: yaml.Node) -> None:
    self.construct_undefined(node)


_Yaml.add_implicit_resolver('tag:yaml.org,2002:null', re.compile(r'^(?:~|null|Null|NULL|)$'), ['~', 'n', 'N', ''])
_Yaml.add_implicit_resolver('tag:yaml.org,2002:bool', re.compile(r'^(?:true|True|TRUE|false|False|FALSE)$'), list('tTfF'))
_Yaml.add_implicit_resolver('tag:yaml.org,2002:int', re.compile(r'^[-+]?[0-9]+$'), list('-+0123456789'))
_Yaml.add_implicit_resolver(
  'tag:yaml.org,2002:float', re.compile(r'^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$'), list('-+.0123456789'))
_Yaml.add_implicit_resolver('tag:yaml.org,2002:merge', re.compile(r'^<<$'), ['<'])
_Yaml.add_constructor('tag:yaml.org,2002:float', _Yaml.construct_core_float)
_Yaml.add_constructor('tag:yaml.org,2002:int', _Yaml.construct_core_int)
for _tag in ('timestamp', 'binary', 'set', 'omap', 'pairs'):  # no JSON value has these types
  _Yaml.add_constructor(f'tag:yaml.org,2002:{_tag}', _Yaml.construct_no_json)


def text(path: Path) -> str:
  """The text of a regular file of at most MAX_BYTES. Raises OSError, or ValueError with the reason it cannot be read."""
  if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe waits for ever, reading a device never ends
    raise ValueError('is not a regular file')
  with open(path, 'rb') as f:
    data = f.read(MAX_BYTES + 1)  # the size that a file states may be wrong
  if len(data) > MAX_BYTES:
    raise ValueError(f'is larger than {MAX_BYTES // 2**20} MiB')
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError as e:
    raise ValueError(f'is not UTF-8 text (byte {e.start})') from e


def parse(text: str) -> tuple[list[Document], list[tuple[str, str]]]:
  """The documents in `text` and (pointer, reason) for each unreadable line. Raises ValueError with the reason there are none."""
  if not text.strip():
    raise ValueError('is empty')
  if text.lstrip()[0] not in '{[':
    return [Document('', _parse_yaml(text))], []
  try:
    return [Document('', parse_json(text))], []
  except ValueError as whole:
    documents, problems = _parse_lines(text)
    if documents:
      return documents, problems
    try:
      return [Document('', _parse_yaml(text))], []  # flow style: what begins like JSON may be YAML
    except ValueError:
      raise ValueError(f'is not valid JSON: {whole}') from whole


def parse_json(text: str) -> JSON:
  """JSON as RFC 8259 has it: no NaN, no number beyond a double, no half of a surrogate pair. Raises ValueError."""
  try:
    value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    if '\\ud' in text or '\\uD' in text:
      json.dumps(value, ensure_ascii=False).encode()
    return value
  except RecursionError as e:
    raise ValueError('is nested too deeply') from e


def _parse_lines(text: str) -> tuple[list[Document], list[tuple[str, str]]]:
  """JSON lines; lines that are not JSON are problems. Nothing when the first line is no object, or list of objects, of its own."""
  documents: list[Document] = []
  problems: list[tuple[str, str]] = []
  for number, line in enumerate(text.split('\n'), start=1):
    if not line.strip():
      continue
    try:
      value = parse_json(line)
    except ValueError as e:
      if not documents and len(problems) >= 3:  # a broken document, not broken lines
        return [], []
      problems.append((f'/{number}', f'is not valid JSON: {e}'))
      continue
    if not isinstance(value, dict) and not (isinstance(value, list) and value and isinstance(value[0], dict)):
      if not documents:
        return [], []
      problems.append((f'/{number}', 'is neither a JSON object nor a list of them'))
      continue
    documents.append(Document(f'/{number}', value))
  return documents, problems


def _parse_yaml(text: str) -> JSON:
  try:
    if _may_be_deep(text) and _yaml_depth(text) > MAX_DEPTH:
      raise ValueError(f'is nested deeper than {MAX_DEPTH} levels')
    loader = _Yaml(text)
    try:
      node = loader.get_single_node()
      if node is None:
        return None
      if _ANCHOR.search(text):
        _refuse_bomb(node)
      return loader.construct_document(node)
    finally:
      loader.dispose()
  except yaml.YAMLError as e:
    raise ValueError(f'is not valid YAML: {" ".join(str(e).split())}') from e
  except RecursionError as e:
    raise ValueError('is nested too deeply') from e
  except (TypeError, OverflowError) as e:  # an unhashable key, a number out of range
    raise ValueError(f'is not valid YAML: {e}') from e


def _may_be_deep(text: str) -> bool:
  """A quick upper bound of the nesting against MAX_DEPTH: libyaml composes recursively and overflows the C stack when it is deep."""
  opened = itertools.accumulate(1 if m[0] in '[{' else -1 for m in re.finditer(r'[\[\]{}]', text))
  lines = (len(line) - len(line.lstrip()) + line.count('-') + line.count('?') for line in text.split('\n'))
  return max(opened, default=0) + max(lines) > MAX_DEPTH


def _yaml_depth(text: str) -> int:
  """Nesting of the collections in `text`, from the event stream, which is not recursive. Stops beyond MAX_DEPTH."""
  depth = deepest = 0
  for event in yaml.parse(text, Loader=_Yaml):
    if isinstance(event, yaml.CollectionStartEvent):
      depth += 1
      deepest = max(deepest, depth)
      if deepest > MAX_DEPTH:
        break
    elif isinstance(event, yaml.CollectionEndEvent):
      depth -= 1
  return deepest


def _refuse_bomb(root: yaml.Node) -> None:
  """Raises ValueError for a document that contains itself, or of which aliases make more than MAX_BYTES characters.

  Before anything is constructed: merge keys copy what they name, and whoever writes a value out follows each alias.
  """
  sizes: dict[int, int] = {}
  entered: set[int] = set()
  stack = [(root, False)]
  while stack:
    node, left = stack.pop()
    key = id(node)
    if left:
      entered.discard(key)
      sizes[key] = 1 + sum(sizes[id(child)] for child in _children(node)) if not isinstance(node, yaml.ScalarNode) else 1 + len(node.value)
    elif key in entered:
      raise ValueError('is nested too deeply')
    elif key not in sizes:
      entered.add(key)
      stack.append((node, True))
      stack += [(child, False) for child in _children(node)]
  if sizes[id(root)] > MAX_BYTES:
    raise ValueError(f'is larger than {MAX_BYTES // 2**20} MiB once its aliases are put in place')


def _children(node: yaml.Node) -> list[yaml.Node]:
  if isinstance(node, yaml.MappingNode):
    return [child for pair in node.value for child in pair]
  return node.value if isinstance(node, yaml.SequenceNode) else []


def _key(key: JSON) -> str:
  if isinstance(key, str):
    return key
  return json.dumps(key) if key is None or isinstance(key, (bool, int, float)) else str(key)


def _finite(text: str) -> float:
  number = float(text)
  if not math.isfinite(number):
    raise ValueError(f'{text} is not a finite number')
  return number
