import json
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.specs import documents

JSON_VALUES = st.recursive(
  st.none() | st.booleans() | st.integers(-10**9, 10**9) | st.text(max_size=8),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3))
def test_json_reads_as_itself(value):
  assert documents.parse(json.dumps(value)) == ([documents.Document('', value)], [])


@given(st.lists(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3), min_size=2, max_size=5))
def test_json_lines_are_numbered_from_one(rows):
  parts, problems = documents.parse('\n'.join(json.dumps(r) for r in rows) + '\n')
  assert parts == [documents.Document(f'/{i}', r) for i, r in enumerate(rows, start=1)]
  assert problems == []


@given(st.text(max_size=60))
def test_any_text_is_documents_or_a_value_error(text):
  try:
    parts, _ = documents.parse(text)
  except ValueError:
    return
  json.dumps([p.value for p in parts])


def test_bad_lines_are_told_and_the_others_kept():
  parts, problems = documents.parse('{"a": 1}\n{"a": \n\n[1]\n{"a": 2}')
  assert [p.value for p in parts] == [{'a': 1}, {'a': 2}]
  assert [pointer for pointer, _ in problems] == ['/2', '/4']


def test_yaml_scalars_are_json_scalars():
  parts, _ = documents.parse('a: 2020-01-01\nb: no\nc: 12:30\n200: x\nd: 1.50\ne: true\nf: ~\ng: 007')
  assert parts[0].value == {'a': '2020-01-01', 'b': 'no', 'c': '12:30', '200': 'x', 'd': 1.5, 'e': True, 'f': None, 'g': 7}


@pytest.mark.parametrize('text', [
  '', '   \n', '[' * 100_000, '{"a":' * 100_000, '- ' * 20_000, '\n'.join(' ' * i + 'a:' for i in range(1500)), 'a: [1', 'x: 1e999',
  '!!python/object:os.system x', '- !!timestamp 2020-01-01', '? [1]\n: 2', '{"a": "\\ud800"}', 'a: ' + '9' * 5000, '\x00'])
def test_what_is_no_document_is_a_value_error(text):
  with pytest.raises(ValueError):
    documents.parse(text)


def test_bytes_that_are_no_text(tmp_path):
  (tmp_path / 'x').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(ValueError, match='UTF-8'):
    documents.text(tmp_path / 'x')


def test_what_is_no_regular_file_is_not_opened(tmp_path):
  os.mkfifo(tmp_path / 'pipe')  # opening it would wait for a writer
  for path in (tmp_path / 'pipe', pathlib.Path('/dev/zero')):
    with pytest.raises(ValueError, match='regular'):
      documents.text(path)


def bomb(last, of=lambda name: f'[{", ".join([name] * 9)}]'):
  return 'a0: &a0 [xxxxxxxx]\n' + ''.join(f'a{i}: &a{i} {of(f"*a{i - 1}")}\n' for i in range(1, 12)) + last


@pytest.mark.parametrize('text', [
  bomb(''), bomb('', lambda name: f'{{<<: [{", ".join([name] * 9)}]}}').replace('[xxxxxxxx]', '{k: v}'),
  'a: &a ' + 'x' * 10**6 + '\nb: [' + ', '.join(['*a'] * 40) + ']'])
def test_aliases_that_multiply_are_refused_before_anything_is_built(text):
  with pytest.raises(ValueError, match='once its aliases are put in place'):
    documents.parse(text)


def test_aliases_that_do_not_are_read():
  parts, _ = documents.parse('a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}')
  assert parts[0].value == {'a': {'x': 1}, 'b': [{'x': 1}, {'x': 1}], 'c': {'x': 1, 'y': 2}}
