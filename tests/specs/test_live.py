"""Live servers: the project's own simulated one, and servers that misbehave."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap

import pytest

pytest.importorskip('mcp')

from inftool_jax import specs
from inftool_jax.errors import SpecError
from inftool_jax.specs import live, sources
from tests.tools.test_mcp_server import ROOT, command, http_server, spec  # noqa: F401  the fixture

SECRET = 'correct-horse-battery'


def named(*words: object) -> str:
  return shlex.join(map(str, words)).replace("'${KEY}'", '${KEY}')


@pytest.fixture
def own(spec, monkeypatch):  # noqa: F811
  monkeypatch.chdir(ROOT)
  return f'PYTHONPATH={shlex.quote(str(ROOT))} ' + named(*command(spec))


def test_over_stdio_all_pages_of_a_server_become_its_tools(own, spec):  # noqa: F811
  dump = live.fetch(own)
  assert (dump['server'], dump['source'], len(dump['tools']), dump['problems']) == ('notes', own, 153, [])
  direct, fetched = specs.load(spec).tools, specs.load([], dumps={own: json.loads(json.dumps(dump))}).tools
  assert [(t.name, t.description, t.input_schema) for t in fetched] == [(t.name, t.description, t.input_schema) for t in direct]
  assert {t.lineage[0].source for t in fetched} == {own} and fetched[2].lineage[0].pointer == '/tools/2'
  assert [t.effect for t in fetched[:3]] == [t.effect for t in direct[:3]]


def test_over_http(spec):  # noqa: F811
  with http_server(spec) as (url, _):
    assert len(live.fetch(url)['tools']) == 153
  with pytest.raises(SpecError, match='127.0.0.1'):
    live.fetch(url)


def scripted(tmp_path, body: str, *words: str) -> str:
  """A server of a few lines that answers by hand: `answer(method, params)` is its body."""
  script = tmp_path / 'server.py'
  script.write_text(textwrap.dedent('''
    import json, os, sys, time
    def answer(method, params):
    {body}
    for line in sys.stdin:
      message = json.loads(line)
      if 'id' not in message:
        continue
      if message['method'] == 'initialize':
        info = {{'name': 'Hand Made', 'version': '1'}}
        result = {{'protocolVersion': '2025-06-18', 'capabilities': {{'tools': {{}}}}, 'serverInfo': info}}
      elif message['method'] != 'tools/list':
        print(json.dumps({{'jsonrpc': '2.0', 'id': message['id'], 'error': {{'code': -32601, 'message': 'no'}}}}), flush=True)
        continue
      else:
        result = answer(message['method'], message.get('params') or {{}})
      print(json.dumps({{'jsonrpc': '2.0', 'id': message['id'], 'result': result}}), flush=True)
  ''').format(body=textwrap.indent(textwrap.dedent(body), '  ')))
  return named(sys.executable, script, *words)


TOOL = "{'name': f'tool_{i}', 'inputSchema': {'type': 'object'}}"


def test_pages_that_never_end_and_too_many_tools(tmp_path, monkeypatch):
  dump = live.fetch(scripted(tmp_path, f"return {{'tools': [{TOOL} for i in (1,)], 'nextCursor': 'again'}}"))
  assert len(dump['tools']) == 2 and dump['problems'] == ['does not come to an end of its pages; the others are left out']
  monkeypatch.setattr(live, 'MAX_TOOLS', 10)
  dump = live.fetch(scripted(tmp_path, f"return {{'tools': [{TOOL} for i in range(50)]}}"))
  assert len(dump['tools']) == 10 and dump['problems'] == ['has more than 10 tools; the others are left out']
  told = specs.load([], dumps={'x': dump}).problems
  assert [str(p) for p in told] == ['x: has more than 10 tools; the others are left out']


def test_a_command_gets_a_folder_of_its_own(tmp_path):
  tool = "{'name': 'x', 'description': str(os.listdir(sys.argv[1])) + sys.argv[1], 'inputSchema': {'type': 'object'}}"
  told = [live.fetch(scripted(tmp_path, f"return {{'tools': [{tool}]}}", '{folder}'))['tools'][0]['description'] for _ in range(2)]
  assert all(t.startswith('[]/') for t in told) and told[0] != told[1]


@pytest.mark.parametrize(('body', 'said'), [
  ('time.sleep(60)', 'did not answer within 4 s'), ("sys.exit('gone wrong')", 'it says: gone wrong'),
  ("while True: print('x' * 10**6, end='', flush=True)", 'more than 1 MiB were sent'), ("return {'tools': 7}", 'cannot be read')])
def test_a_server_that_hangs_dies_floods_or_lies_is_named(tmp_path, monkeypatch, body, said):
  monkeypatch.setattr(live, 'SECONDS', 4.0 if 'sleep' in body else 60.0)
  monkeypatch.setattr(live, 'MAX_BYTES', 2**20)
  source = scripted(tmp_path, body)
  with pytest.raises(SpecError) as error:
    live.fetch(source)
  assert str(error.value).startswith(f'{source}: ') and said in str(error.value)


def test_a_command_that_is_not_there_and_a_variable_that_is_not_set():
  with pytest.raises(SpecError, match='no/such/command: .*No such file'):
    live.fetch('no/such/command')
  with pytest.raises(SpecError, match='NO_SUCH_VARIABLE is not set'):
    live.fetch('run ${NO_SUCH_VARIABLE}')


def test_secrets_reach_the_server_and_nothing_else(tmp_path, monkeypatch, caplog, capfd):
  monkeypatch.setenv('KEY', SECRET)
  tool = "{'name': 'x', 'description': ' '.join(sys.argv) + os.environ['PASSED'], 'inputSchema': {'type': 'object'}}"
  dump = live.fetch('PASSED=${KEY} ' + scripted(tmp_path, f"return {{'tools': [{tool}]}}", '--token', '${KEY}'))
  assert dump['tools'][0]['description'].endswith('--token ${KEY}${KEY}') and SECRET not in json.dumps(dump)
  with pytest.raises(SpecError) as error:
    live.fetch('PASSED=${KEY} ' + scripted(tmp_path, "print('bad key', os.environ['PASSED']); sys.exit(os.environ['PASSED'])"))
  assert 'it says: ${KEY}' in str(error.value)
  with pytest.raises(SpecError) as remote:
    live.fetch('http://127.0.0.1:9/mcp?key=${KEY}')
  told = f'{error.value} {remote.value} {caplog.text} {"".join(capfd.readouterr())}'
  assert SECRET not in told and error.value.__cause__ is None
  assert sources.parse('PASSED=${KEY} x').variables == ('KEY',)
