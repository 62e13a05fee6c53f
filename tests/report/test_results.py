"""results.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inftool_jax.errors import StoreError
from inftool_jax.report import results
from tests.report import sample_report


def test_results_come_back_and_have_the_promised_form(tmp_path: Path) -> None:
  written = sample_report.results()
  path = results.write(tmp_path, written)
  assert results.read(tmp_path) == written
  body = json.loads(path.read_text())
  assert list(body['stages']) == ['synthesise', 'base', 'sft', 'round-1', 'round-2']
  assert set(body['stages']['sft']['success']['single']) == {'success', 'n', 'low', 'high'}
  assert body['stages']['synthesise']['counts']['accepted'] == 5412 and body['evaluation_hash'] == written.evaluation_hash


@pytest.mark.parametrize(
  'text', ['', '{', '[]', '{"evaluation_hash": "x"}', '{"evaluation_hash": "x", "stages": {"sft": {"success": {"a": {}}}}}']
)
def test_a_file_of_another_form_is_one_clear_error(tmp_path: Path, text: str) -> None:
  (tmp_path / results.NAME).write_text(text)
  with pytest.raises(StoreError, match=r'results\.json is not a results file'):
    results.read(tmp_path)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
  with pytest.raises(StoreError, match='no stage of this run is finished'):
    results.read(tmp_path)
