"""The command: whom it talks to, with which tools, and what it says to a wrong one."""

from __future__ import annotations

import os
import pathlib
import pty
import shlex
import signal
import subprocess
import sys
import threading

import pytest

from inftool_jax import specs
from inftool_jax.loop.context import SHIPPED
from inftool_jax.play import aloud
from inftool_jax.servers import confine

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / 'tests' / 'support' / 'notebook_server.py'
BANK = specs.bundled_path() / 'openapi' / 'copper_bank.yaml'


def run(*arguments: object, typed: str = '') -> subprocess.CompletedProcess:
  whole = [sys.executable, '-m', 'tools.chat', f'--model={SHIPPED}', *map(str, arguments)]
  return subprocess.run(whole, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=300)


def test_a_policy_answers_what_is_typed_the_same_way_every_time():
  names = [t.name for t in specs.load(BANK).tools[:2]]
  one, other = (run(BANK, f'--tools={",".join(names)}', '--max_new_tokens=12', typed='Hello.\n') for _ in range(2))
  first, *said = one.stdout.splitlines()
  assert first == f'2 tools: {", ".join(names)}'
  assert said  # of a base that has learned no tool: anything
  assert (one.stdout, one.returncode) == (other.stdout, other.returncode)


@pytest.mark.skipif(not confine.supported(), reason='needs a kernel with Landlock')
def test_of_a_real_server_the_tools_are_offered_that_may_be_called():
  pytest.importorskip('mcp')
  server = shlex.join([sys.executable, str(NOTEBOOK)])
  assert run(f'--mcp={server}', '--reads=read_note').stdout.startswith('1 tools: read_note\n')
  assert "no tool 'write_note'; choose among read_note" in run(f'--mcp={server}', '--reads=read_note', '--tools=write_note').stderr


@pytest.mark.skipif(not confine.supported(), reason='needs a kernel with Landlock')
def test_an_interrupt_at_the_prompt_ends_it_at_once_and_leaves_nothing(tmp_path):
  pytest.importorskip('mcp')
  ours, its = pty.openpty()
  command = [sys.executable, '-m', 'tools.chat', f'--model={SHIPPED}', f'--mcp={shlex.join([sys.executable, str(NOTEBOOK)])}']
  environment = {**os.environ, 'TMPDIR': str(tmp_path)}
  with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as chat:
    watchdog = threading.Timer(200, chat.kill)
    watchdog.start()
    assert chat.stdout is not None and chat.stderr is not None
    shown = chat.stdout.readline() + chat.stdout.read(len(aloud.PROMPT))
    os.write(ours, b'Write one.\n')
    while chat.stdout.read(1) not in ('', '>'):  # to the next prompt
      pass
    chat.send_signal(signal.SIGINT)
    errors = chat.stderr.read()
    watchdog.cancel()
  os.close(ours)
  os.close(its)
  assert shown.startswith('7 tools: write_note') and shown.endswith(aloud.PROMPT)
  assert chat.returncode == 1 and errors.endswith('\ninterrupted\n')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('arguments, message', [
  ((), 'name specifications, or one --mcp server'),
  ((specs.bundled_path(),), 'choose one with --server=NAME'),
  ((BANK, '--context=100', '--max_new_tokens=90'), 'offer fewer with --tools, or raise --context'),
  ((BANK, '--tensor=4096'), '--tensor=4096: there are only'),
])  # fmt: skip
def test_a_wrong_command_is_told_what_to_do(arguments, message):
  ended = run(*arguments)
  assert ended.returncode and message in ended.stdout + ended.stderr
  assert 'Traceback' not in ended.stderr
