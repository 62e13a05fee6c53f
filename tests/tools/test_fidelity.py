"""The command against a real process over stdio: the project's own simulated server."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest

pytest.importorskip('mcp')

from tests.tools.test_mcp_server import ROOT, command, spec  # noqa: F401  the fixture

CALLS = (
  {'tool': 'create_note', 'arguments': {'title': 'Milk and honey', 'stars': 3}},
  {'tool': 'get_note', 'arguments': {'note_id': '${0:/note_id}'}},
  {'tool': 'delete_note', 'arguments': {'note_id': '${0:/note_id}'}},
  {'tool': 'get_note', 'arguments': {'note_id': '${0:/note_id}'}},
)


def run(*arguments: object) -> tuple[int, str]:
  whole = [sys.executable, '-m', 'tools.fidelity', *map(str, arguments)]
  done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert 'Traceback' not in done.stderr, done.stderr
  return done.returncode, done.stdout + done.stderr


@pytest.fixture
def server(spec) -> str:  # noqa: F811
  return f'PYTHONPATH={shlex.quote(str(ROOT))} ' + shlex.join(command(spec, '--seed=5'))


def calls(path: pathlib.Path, lines) -> pathlib.Path:
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  return path


def test_a_session_is_recorded_and_compared(server, tmp_path):
  out = tmp_path / 'notes'
  code, text = run('record', server, f'--calls={calls(tmp_path / "calls.jsonl", CALLS)}', f'--out={out}')
  assert code == 0 and '4 calls, 1 of them refused; 153 tools' in text, text
  recorded = [json.loads(line) for line in (out / 'recording.jsonl').read_text().splitlines()]
  assert recorded[1]['call']['arguments']['note_id'] == recorded[0]['result']['structured']['note_id']
  assert [r['result']['is_error'] for r in recorded] == [False, False, False, True]
  code, text = run('compare', out, '--seed=1')
  assert code == 0 and '0 of 3 tools are below 80.0 %' in text and 'get_note' in text, text
  assert 'not called and not compared: get_x0' in text
  damaged = recorded[1]['result'] | {'content': 'gone', 'structured': None, 'is_error': True}
  (out / 'recording.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in (recorded[0], recorded[1] | {'result': damaged})))
  code, text = run('compare', out)
  assert code == 1 and '1 of 2 tools are below 80.0 %' in text and 'below the bar' in text, text


def test_what_cannot_be_done_is_said(server, tmp_path):
  bad = calls(tmp_path / 'bad.jsonl', [CALLS[0], {'arguments': {}}])
  for arguments, said in [
    (('record', server, f'--calls={bad}', f'--out={tmp_path}'), f'{bad}:2: expected {{"tool": NAME'),
    (('record', server, f'--calls={tmp_path / "none"}', f'--out={tmp_path}'), 'none cannot be read'),
    (('record', server, f'--calls={calls(tmp_path / "early.jsonl", CALLS[1:])}', f'--out={tmp_path}'), 'call 0 wants ${0:/note_id}'),
    (('record', server), 'expected record SERVER'), (('compare', tmp_path / 'nowhere'), 'holds no recorded session'),
  ]:
    code, text = run(*arguments)
    assert code == 1 and said in text, text
  assert not (tmp_path / 'recording.jsonl').exists()
