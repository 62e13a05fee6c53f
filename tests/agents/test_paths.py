from __future__ import annotations

import json

import pytest

from inftool_jax.agents.paths import last_name, value_at
from inftool_jax.types import Result

DATA = {'order': {'id': 'o1', 'lines': [{'sku': 'a'}, {'sku': 'b'}]}, 'odd key': 3, 'none': None}


@pytest.mark.parametrize(('path', 'value'), [
  ('$', DATA), ('$.order.id', 'o1'), ('$.order.lines[1].sku', 'b'), ("$['odd key']", 3),
  ('$["order"].lines[0]', {'sku': 'a'}), ('$.none', None),
])
def test_reads_structured_results_and_json_text_alike(path, value):
  assert value_at(Result('', DATA), path) == value
  assert value_at(Result(json.dumps(DATA)), path) == value


@pytest.mark.parametrize('path', ['$.missing', '$.order.lines[2]', '$.order.id.x', '$[0]', '$.order.lines.sku', "$.order.lines['0']"])
def test_what_is_not_there_is_an_error(path):
  with pytest.raises(LookupError):
    value_at(Result('', DATA), path)


def test_text_that_is_no_json_holds_nothing():
  with pytest.raises(LookupError, match='no JSON'):
    value_at(Result('Sorry'), '$.order')


@pytest.mark.parametrize('path', ['order.id', '$order', '$.', '$[x]', '$.a['])
def test_malformed_paths_are_told(path):
  with pytest.raises(ValueError, match='JSON path'):
    last_name(path)


def test_last_name():
  assert [last_name(p) for p in ('$', '$.a.b', '$.a[0]', "$.a['b c'][1]")] == ['', 'b', 'a', 'b c']
