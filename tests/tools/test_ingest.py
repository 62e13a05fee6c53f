"""The command on small folders, and that nothing it keeps changes what is read."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from inftool_jax import specs, types
from inftool_jax.specs import ingest, reading
from inftool_jax.specs.operations import Reading
from inftool_jax.types import Tool

ROOT = pathlib.Path(__file__).parents[2]
FUNCTION = {'name': 'get_tide', 'parameters': {'type': 'object', 'properties': {'city': {'type': 'string'}}}}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-m', 'tools.ingest', *map(str, arguments)]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'COLUMNS': '120'})


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  folder = tmp_path / 'specs'
  folder.mkdir()
  (folder / 'list.jsonl').write_text(f'{json.dumps(FUNCTION)}\nno\n{json.dumps(FUNCTION)}\n')
  (folder / 'bad.yaml').write_text('a: [')
  (folder / 'lib.py').write_text('def add(a: int, b=object()): ...\n')
  paths = {'/a': {'get': {'parameters': [{'in': 'query'}]}, 'put': 7}}
  (folder / 'api.json').write_text(json.dumps({'openapi': '3.0.0', 'info': {'title': 'A'}, 'paths': paths}))
  return folder


def test_a_folder(folder, tmp_path):
  out = tmp_path / 'out'
  done = run(folder, f'--out={out}', '--check')
  assert done.returncode == 0, done.stderr
  found = json.loads((out / 'ingest.json').read_text())
  kept = {s['file']: (s['format'], s['tools'], s['merged'], s['skipped'], s['problems']) for s in found['sources']}
  assert kept == {'api.json': ('OpenAPI 3', 1, 0, 1, 2), 'bad.yaml': ('', 0, 0, 0, 1), 'lib.py': ('Python', 1, 0, 0, 1),
                  'list.jsonl': ('functions', 1, 1, 1, 1)}
  assert [(p['file'], p['pointer']) for p in found['problems']] == [
    ('api.json', '/paths/~1a/get/parameters'), ('api.json', '/paths/~1a/put'), ('bad.yaml', ''), ('lib.py', '/1'), ('list.jsonl', '/2')]
  for told in ('api.json#/paths/~1a/put: is not an operation', 'bad.yaml: is not valid YAML', 'lib.py#/1: add', 'list.jsonl#/2:',
               '3 tools of 3 servers from 4 files', '60.00 % of 5 operations are tools with valid schemas; 2 skipped, 0 invalid'):
    assert told in done.stdout
  tools = [types.from_json(Tool, json.loads(line)) for line in (out / 'tools.jsonl').read_text().splitlines()]
  assert tuple(tools) == specs.load(folder).tools


def test_what_is_unchanged_is_not_read_again(folder, tmp_path):
  out = tmp_path / 'out'
  table, again = run(folder, f'--out={out}').stdout, run(folder, f'--out={out}').stdout
  assert table.rsplit(' in ', 1)[0] == again.rsplit(' in ', 1)[0]
  whole = (out / 'tools.jsonl').read_bytes()
  (out / 'tools.jsonl').write_bytes(whole[:-9])
  (folder / 'lib.py').write_text('def sub(a: int): ...\n')
  before = {p.name: p.stat().st_mtime_ns for p in (out / 'cache').iterdir()}
  assert run(folder, f'--out={out}').returncode == 0
  after = {p.name: p.stat().st_mtime_ns for p in (out / 'cache').iterdir()}
  assert len(after) == len(before) + 1 and before.items() <= after.items()
  assert [json.loads(line)['name'] for line in (out / 'tools.jsonl').read_text().splitlines()] == ['get_a', 'sub', 'get_tide']


def test_the_tree_is_made_shown_and_kept(tmp_path):
  city = {'type': 'object', 'properties': {'City': {'type': 'string'}}}
  of = {'name': 'getTide', 'description': 'Tide at a harbour.', 'parameters': city}
  one = {**FUNCTION, 'description': 'The tide at a harbour.'}
  for name, function in (('sea.jsonl', one), ('coast.jsonl', of)):
    (tmp_path / 'specs').mkdir(exist_ok=True)
    (tmp_path / 'specs' / name).write_text(json.dumps(function) + '\n')
  out = tmp_path / 'out'
  done = run(tmp_path / 'specs', f'--out={out}', '--show')
  assert done.returncode == 0, done.stderr
  assert 'tree: 2 -> 1 tools in 1 rounds with 1 merges' in done.stdout and 'of 2 operations' in done.stdout, done.stdout
  (kept,) = [types.from_json(Tool, json.loads(line)) for line in (out / 'tree_tools.jsonl').read_text().splitlines()]
  assert len(kept.lineage) == 2
  (merge,) = map(json.loads, (out / 'merges.jsonl').read_text().splitlines())
  assert merge['name'] == kept.name and len(merge['members']) == 2
  told, made = json.loads((out / 'tree.json').read_text()), (out / 'tree.json').stat().st_mtime_ns
  assert [list(d['servers'].values()) for d in told['domains']] == [[[kept.name]]]
  assert run(tmp_path / 'specs', f'--out={out}', '--tree').returncode == 0
  assert (out / 'tree.json').stat().st_mtime_ns == made
  (out / 'merges.jsonl').write_text('')  # damaged: made again
  assert run(tmp_path / 'specs', f'--out={out}', '--tree').returncode == 0
  assert (out / 'merges.jsonl').read_text() and (out / 'tree.json').stat().st_mtime_ns > made


def test_mistakes_are_one_message(tmp_path):
  (tmp_path / 'notes.json').write_text('{"hello": 1}')
  for arguments, said in [((tmp_path / 'nowhere',), 'does not exist'), ((tmp_path / 'notes.json',), 'notes.json: is not a specification'),
                          ((), 'name at least one')]:
    done = run(*arguments, f'--out={tmp_path / "out"}')
    assert done.returncode == 1 and said in done.stdout + done.stderr and 'Traceback' not in done.stderr


def test_kept_readings_are_what_was_read(tmp_path):
  paths = sorted(p for p in specs.bundled_path().rglob('*.*') if p.name != 'splits.json')
  direct = [ingest.read(p) for p in paths]
  calls: list[int] = []
  reader = reading.Reader(tmp_path / 'cache', 2, lambda: calls.append(1))
  assert list(reader(ingest.read, paths)) == direct
  assert list(reader(never, paths)) == direct and len(calls) == 2 * len(paths)
  for path in (tmp_path / 'cache').iterdir():
    path.write_bytes(path.read_bytes()[:-1] + b' ')
  assert list(reader(ingest.read, paths[:2])) == direct[:2]


def never(path: pathlib.Path) -> Reading:
  raise AssertionError(path)


def dies_of_one(path: pathlib.Path) -> Reading:
  if path.name == 'bad':
    os.kill(os.getpid(), signal.SIGKILL)
  return Reading(path.name, ())


def test_a_file_that_kills_its_process_is_told_and_the_others_read(tmp_path):
  paths = [tmp_path / name for name in ('a', 'bad', 'c')]
  for path in paths:
    path.write_text(path.name)
  found = list(reading.Reader(None, 2, lambda: None)(dies_of_one, paths))
  assert [r.format for r in found] == ['a', '', 'c'] and 'died' in found[1].problems[0][1]
