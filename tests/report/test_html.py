"""The page: everything is on it, nothing of a model's text is markup, nothing comes from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inftool_jax import types
from inftool_jax.report import html, model
from tests.report import sample_report

VOID = frozenset({'meta', 'link', 'img', 'br', 'input'})


class Page(HTMLParser):
  """Tags with their attributes, the text, and whether every tag is closed."""

  def __init__(self, text: str):
    super().__init__(convert_charrefs=True)
    self.tags: list[tuple[str, dict[str, str | None]]] = []
    self.words: list[str] = []
    self.open: list[str] = []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self.tags.append((tag, dict(attrs)))

  def handle_endtag(self, tag: str) -> None:
    assert self.open.pop() == tag

  def handle_data(self, data: str) -> None:
    self.words.append(data)

  @property
  def text(self) -> str:
    return ' '.join(' '.join(self.words).split())

  def all(self, tag: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope='module')
def page() -> Page:
  return Page(html.render(sample_report.report()))


def test_all_sections_are_there_and_all_tags_are_closed(page: Page) -> None:
  assert page.open == []
  sections = [s['id'] for s in page.all('section')]
  assert sections == ['success', 'curves', 'gaps', 'budget', 'baselines', 'diversity', 'trajectories']
  assert [a['href'] for a in page.all('a')] == [f'#{s}' for s in sections]
  assert len(page.all('svg')) == 3
  expected = (
    'missing parameter', '1,204,332', 'parcels & labels', 'parser floor', 'entropy of tools', '98.2 %', '9f2c9f2c',
    'sampled tokens/s', '73.1 %',
    'hand written', 'no forbidden effect', 'round-2 over sft: +13.0 points',
  )  # fmt: skip
  for words in expected:
    assert words in page.text.replace('\u2009', ' ')


def test_model_text_is_text(page: Page) -> None:
  assert len(page.all('script')) == 1 and not page.all('img')
  assert not any(name.startswith('on') for _, attributes in page.tags for name in attributes)
  assert page.text.count(sample_report.HOSTILE) >= 7  # opening, answer, tool, argument, result, unparsed turn, offered tool
  assert '<b>& co</b>' in page.text and 'Reward <b>' in page.text


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
  for tag, attributes in page.tags:
    assert tag not in ('link', 'iframe', 'object', 'embed')
    for name in ('src', 'href', 'xlink:href', 'srcset'):
      assert (attributes.get(name) or '#').startswith('#')
  style = html.render(sample_report.report()).split('<style>')[1].split('</style>')[0]
  assert 'url(' not in style and '@import' not in style and 'prefers-color-scheme: dark' in style


def test_ids_are_unique_where_something_refers_to_them(page: Page) -> None:
  ids = [a['id'] for _, a in page.tags if a.get('id')]
  targets = {str(a[n])[1:] for _, a in page.tags for n in ('xlink:href', 'href') if a.get(n)}
  targets |= {str(a['clip-path'])[5:-1] for _, a in page.tags if a.get('clip-path')}
  assert targets and all(ids.count(t) == 1 for t in targets)


def test_the_viewer_can_be_filtered_and_read(page: Page) -> None:
  runs = [a for a in page.all('details') if a.get('class') == 'run']
  assert [(r['data-kind'], r['data-success'], r['data-outcome']) for r in runs] == [
    ('single', 'yes', 'completed'),
    ('missing_parameter', 'no', 'completed'),
    ('irrelevance', 'no', 'truncated'),
  ]
  assert [s['data-filter'] for s in page.all('select')] == ['stage', 'kind', 'outcome', 'success']
  assert all(f'data-{s["data-filter"]}' in runs[0] for s in page.all('select'))
  classes = [str(a.get('class')) for a in page.all('div')]
  assert classes.count('bubble tool') == 3 and classes.count('bubble tool wrong') == 1
  assert classes.count('bubble assistant wrong') == 1
  for words in ('failed: calls', 'reward 1.00', 'not parsed: unterminated json', '"guests": 3', 'The booking id is boo_k3x7qa.'):
    assert words in page.text


def test_the_table_marks_what_is_over_its_bound(page: Page) -> None:
  assert sum(a.get('class') == 'num over' for a in page.all('td')) == 1
  assert not model.Baseline('silent', {'single': 0.02}, {'single': 0.02}).over('single')
  assert not model.Baseline('silent', {'single': 0.9}).over('single')


def test_what_is_empty_is_left_out() -> None:
  page = Page(html.render(model.Report('empty', model.Results('', ()))))
  assert [s['id'] for s in page.all('section')] == ['success', 'budget'] and not page.all('script')
  assert 'No stage of this run was evaluated.' in page.text


def test_the_page_is_written_whole_and_is_the_same_each_time(tmp_path: Path) -> None:
  first = html.write(tmp_path, sample_report.report()).read_bytes()
  assert html.write(tmp_path, sample_report.report()).read_bytes() == first
  first.decode('utf-8')  # although a message holds a lone surrogate
  assert [p.name for p in tmp_path.iterdir()] == ['report.html']


def test_a_snippet_is_one_short_line() -> None:
  shown = sample_report.report().trajectories[0]
  message = types.Message('user', 'word \n' * 100)
  long = dataclasses.replace(shown, trajectory=dataclasses.replace(shown.trajectory, messages=(message,)))
  assert len(html.snippet(long)) <= 110 and '\n' not in html.snippet(long) and html.snippet(long).endswith('…')


@pytest.mark.parametrize(('value', 'text'), [(None, '—'), (1234567, '1,234,567'), (0.12345, '0.1235'), (12345.6, '12,346'), ('<', '<')])
def test_numbers(value: model.Cell, text: str) -> None:
  assert html.number(value) == text


def test_results_that_are_not_json_are_shown_as_they_are() -> None:
  assert html.result_text(types.Result('plain {')) == 'plain {'
  wide = {'key': 'v' * 100}
  assert json.loads(html.result_text(types.Result(json.dumps(wide)))) == wide and '\n' in html.result_text(types.Result(json.dumps(wide)))


def test_the_room_and_the_store_never_import_jax() -> None:
  modules = [
    'report.html',
    'report.charts',
    'report.results',
    'report.tables',
    'report.scalars',
    'data.store',
    'data.packing',
    'data.manifest',
  ]
  code = (
    ';'.join(f'import inftool_jax.{m}' for m in modules) + ';import sys;assert "jax" not in sys.modules and "matplotlib" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
