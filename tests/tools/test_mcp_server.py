"""The server as a process, used by a client of the official SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

mcp = pytest.importorskip('mcp')
ROOT = pathlib.Path(__file__).parents[2]


def openapi(title: str, notes: int = 0) -> dict:
  note = {'type': 'object', 'properties': {'note_id': {'type': 'string'}, 'title': {'type': 'string'}, 'stars': {'type': 'integer'}}}
  body = {'type': 'object', 'required': ['title'], 'properties': {'title': {'type': 'string'}, 'stars': {'type': 'integer', 'maximum': 5}}}
  posted = {'content': {'application/json': {'schema': body}}}
  answer = {'200': {'description': 'ok', 'content': {'application/json': {'schema': note}}}}
  by_id = [{'name': 'note_id', 'in': 'path', 'required': True, 'schema': {'type': 'string'}}]
  return {'openapi': '3.0.0', 'info': {'title': title}, 'paths': {
    '/notes': {'post': {'operationId': 'create_note', 'responses': answer, 'requestBody': posted}},
    '/notes/{note_id}': {
      'get': {'operationId': 'get_note', 'parameters': by_id, 'responses': answer},
      'delete': {'operationId': 'delete_note', 'parameters': by_id, 'responses': {'204': {'description': 'gone'}}}},
    **{f'/x{i}': {'get': {'operationId': f'get_x{i}'}} for i in range(notes)}}}


@pytest.fixture(scope='module')
def spec(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('specs') / 'notes.json'
  path.write_text(json.dumps(openapi('Notes', notes=150)))
  return path


def command(*arguments: object) -> list[str]:
  return [sys.executable, '-m', 'tools.mcp_server', *map(str, arguments)]


def over_stdio(*arguments: object) -> mcp.Client:
  whole = command(*arguments)
  environment = {'PYTHONPATH': str(ROOT)}
  return mcp.Client(mcp.StdioServerParameters(command=whole[0], args=whole[1:], cwd=ROOT, env=environment), cache=None)


@contextlib.contextmanager
def http_server(*arguments: object):
  """(URL, process) once it answers."""
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    port = probe.getsockname()[1]
  process = subprocess.Popen(command(*arguments, f'--http=127.0.0.1:{port}'), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  try:
    for _ in range(600):
      with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 1):
        break
      assert process.poll() is None, process.stderr.read().decode()
      time.sleep(0.1)
    yield f'http://127.0.0.1:{port}/mcp', process
  finally:
    process.kill()
    process.wait()


async def lists_creates_reads_and_errs(client: mcp.Client) -> str:
  """What holds over any transport; the id of the note that it leaves."""
  first = await client.list_tools()
  rest = await client.list_tools(cursor=first.next_cursor)
  assert (len(first.tools), len(rest.tools), rest.next_cursor) == (100, 53, None)
  create = first.tools[0]
  assert (create.name, create.input_schema['required'], create.annotations.read_only_hint) == ('create_note', ['title'], False)
  made = await client.call_tool('create_note', {'title': 'Milk', 'stars': 3})
  assert not made.is_error and made.structured_content == json.loads(made.content[0].text)
  identity = made.structured_content['note_id']
  read = await client.call_tool('get_note', {'note_id': identity})
  assert (read.structured_content['title'], read.structured_content['stars']) == ('Milk', 3)
  for name, arguments, said in [
    ('create_note', {}, 'missing required argument "title"'), ('create_note', {'title': 'x', 'stars': 9}, 'argument "stars"'),
    ('create_note', {'title': 3}, 'argument "title"'), ('get_note', {'note_id': 'nowhere'}, 'nowhere'), ('no_tool', {}, 'unknown tool')]:
    failed = await client.call_tool(name, arguments)
    assert failed.is_error and said in json.loads(failed.content[0].text)['error']
  with pytest.raises(mcp.MCPError, match='no page'):
    await client.list_tools(cursor='x')
  return identity


@pytest.mark.parametrize('mode', ['auto', 'legacy'])
def test_over_stdio(spec, mode):
  async def use() -> None:
    client = over_stdio(spec)
    client.mode = mode
    async with client:
      await lists_creates_reads_and_errs(client)

  asyncio.run(use())


def test_over_http_each_connection_has_its_own_state(spec):
  async def use(url: str) -> None:
    async with mcp.Client(url, cache=None) as one, mcp.Client(url, cache=None) as two:
      identity = await lists_creates_reads_and_errs(one)
      assert (await two.call_tool('get_note', {'note_id': identity})).is_error
      assert not (await one.call_tool('delete_note', {'note_id': identity})).is_error
    async with mcp.Client(url, cache=None, mode='2026-07-28') as without_session:
      with pytest.raises(mcp.MCPError, match='open one with initialize'):
        await without_session.call_tool('get_note', {'note_id': identity})

  with http_server(spec) as (url, process):
    asyncio.run(use(url))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b'') and url in err.decode() and 'Traceback' not in err.decode()


def test_the_same_seed_opens_with_the_same_state(spec):
  async def made(seed: int) -> dict:
    async with over_stdio(spec, f'--seed={seed}') as client:
      return (await client.call_tool('create_note', {'title': 'Milk'})).structured_content

  async def thrice() -> list[dict]:
    return [await made(1), await made(1), await made(2)]

  first, again, other = asyncio.run(thrice())
  assert first == again != other


def test_faults_are_served_on_request(spec):
  async def use() -> None:
    async with over_stdio(spec, '--faults=unavailable=1') as client:
      failed = await client.call_tool('create_note', {'title': 'Milk'})
      assert failed.is_error and 'temporarily unavailable' in failed.content[0].text
      assert not (await client.call_tool('create_note', {'title': 'Milk'})).is_error

  asyncio.run(use())


def test_ends_cleanly_when_stdin_closes_or_when_told(spec):
  done = subprocess.run(command(spec), cwd=ROOT, input=b'', capture_output=True)
  assert (done.returncode, done.stdout) == (0, b''), done.stderr
  process = subprocess.Popen(command(spec), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  assert b'over stdio' in process.stderr.readline()
  process.send_signal(signal.SIGTERM)
  assert (process.wait(timeout=20), process.stdout.read()) == (0, b'')
  for pipe in (process.stdin, process.stdout, process.stderr):
    pipe.close()


def test_servers_are_listed_and_chosen(spec, tmp_path):
  (tmp_path / 'a.json').write_text(json.dumps(openapi('Apples')))
  (tmp_path / 'b.json').write_text(json.dumps(openapi('Pears')))

  def said(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(command(*arguments), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert 'Traceback' not in done.stderr
    return done.returncode, done.stdout + done.stderr

  assert said(tmp_path, '--list') == (0, 'apples  3 tools\npears  3 tools\n')
  code, text = said(tmp_path)
  assert code == 1 and 'hold 2 servers; choose one with --server=NAME: apples, pears' in text
  code, text = said(tmp_path, '--server=plums')
  assert code == 1 and "there is no server 'plums'" in text
  code, text = said(tmp_path / 'nowhere')
  assert code == 1 and 'does not exist' in text
  code, text = said(spec, '--http=nowhere')
  assert code == 1 and 'expected HOST:PORT' in text
  code, text = said(spec, '--faults=slow=1')
  assert code == 1 and "there is no fault 'slow'; choose from timeout" in text
