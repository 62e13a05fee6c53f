"""Live servers as environments, against a real server of the official SDK."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

pytest.importorskip('mcp')

from inftool_jax import specs
from inftool_jax.errors import SpecError
from inftool_jax.servers import confine, live
from inftool_jax.servers.live import LiveServer, LiveSession, ServerFailed
from inftool_jax.types import Call, Result

NOTEBOOK = pathlib.Path(__file__).parents[1] / 'support' / 'notebook_server.py'
pytestmark = pytest.mark.skipif(not confine.supported(), reason='needs a kernel with Landlock')


@pytest.fixture(scope='module')
def dump() -> dict:
  return specs.fetch(shlex.join([sys.executable, str(NOTEBOOK)]))


def opened(dump: dict, *reads: str, seconds: float = 20.0) -> LiveServer:
  return LiveServer(dump, specs.load([], dumps={'notebook': dump}).tools, reads, seconds)


def run(server: LiveServer, use: Callable[[LiveSession], Awaitable[object]]) -> object:
  async def whole() -> object:
    session = server.open(seed=1)
    try:
      return await use(session)
    finally:
      await session.aclose()

  return asyncio.run(whole())


async def done(session: LiveSession, tool: str, /, **arguments) -> str:
  result = await session.call(Call(tool, arguments))
  assert not result.is_error, result.content
  return result.content


def test_sessions_are_apart_and_their_files_are_their_state(dump):
  server = opened(dump)

  async def two() -> None:
    one, other = server.open(1), server.open(2)
    try:
      assert one.difference() == {} and one.digest() == other.digest()
      await asyncio.gather(done(one, 'write_note', name='a.txt', text='The heron'), done(other, 'count'))
      assert await done(one, 'read_note', name='a.txt') == 'The heron'
      assert (await other.call(Call('read_note', {'name': 'a.txt'}))).is_error
      assert one.difference() == {'Notebook/files': {'a.txt': {'content': 'The heron'}}} and other.difference() == {}
      assert (await done(one, 'count'), await done(other, 'count')) == ('1', '2')
      folders = {tuple((await s.call(Call('home', {}))).structured['result']) for s in (one, other)}
      assert len(folders) == 2 and all(len(set(places)) == 1 for places in folders)
    finally:
      await one.aclose()
      await other.aclose()
    assert not any(pathlib.Path(place).exists() for places in folders for place in places)

  asyncio.run(two())


def test_nothing_is_written_outside_the_folder(dump, tmp_path):
  target = tmp_path / 'outside.txt'

  async def use(session: LiveSession) -> Result:
    return await session.call(Call('write_note', {'name': str(target), 'text': 'x'}))

  result = run(opened(dump), use)
  assert result.is_error and not target.exists()


def test_a_server_that_dies_is_started_again_in_its_folder(dump):
  async def use(session: LiveSession) -> None:
    await done(session, 'write_note', name='a.txt', text='kept')
    assert await done(session, 'count') == '1'
    dead = await session.call(Call('die', {}))
    assert dead.is_error and 'stopped' in dead.content
    assert await done(session, 'read_note', name='a.txt') == 'kept'
    assert await done(session, 'count') == '1'  # its memory is gone
    for _ in range(live.RESTARTS):
      await session.call(Call('die', {}))
    with pytest.raises(ServerFailed, match='stopped 4 times'):
      await session.call(Call('count', {}))

  run(opened(dump), use)


def test_one_that_hangs_is_stopped_and_the_call_is_no_ones_fault(dump):
  async def use(session: LiveSession) -> None:
    with pytest.raises(TimeoutError, match='hang within 3 s'):
      await session.call(Call('hang', {}))
    assert await done(session, 'count') == '1'

  run(opened(dump, seconds=3.0), use)


def test_long_answers_are_cut_and_floods_end_the_process(dump):
  async def use(session: LiveSession) -> None:
    long = await session.call(Call('flood', {'size': 3 * live.MAX_ANSWER}))
    assert len(long.content) < live.MAX_ANSWER + 60 and long.content.endswith('[200,000 more characters]') and long.structured is None
    flooded = await session.call(Call('flood', {'size': 40_000_000}))
    assert flooded.is_error
    assert await done(session, 'count') == '1'

  run(opened(dump), use)


def test_model_text_is_answered_not_raised(dump):
  async def use(session: LiveSession) -> list[Result]:
    odd = [Call('fly', {}), Call('count', {'a': '\ud800'}), Call('write_note', {'name': 3}), Call('read_note', {})]
    odd += [Call(None, {}), Call('count', [])]  # type: ignore[arg-type]
    return [await session.call(call) for call in odd]

  assert all(r.is_error for r in run(opened(dump), use))


def test_only_named_tools_may_be_called(dump):
  async def use(session: LiveSession) -> None:
    assert await done(session, 'count') == '1'
    assert 'may not be called' in (await session.call(Call('write_note', {'name': 'a', 'text': 'b'}))).content

  run(opened(dump, 'count'), use)
  with pytest.raises(SpecError, match='has no tool fly'):
    opened(dump, 'fly')
  with pytest.raises(ValueError, match='given state'):
    opened(dump).open(1, {'a': {}})


def test_a_command_that_cannot_start_is_the_servers_failure(dump):
  server = opened({**dump, 'source': 'no-such-command-anywhere'})
  with pytest.raises(ServerFailed, match='no-such-command'):
    run(server, lambda session: session.call(Call('count', {})))


@contextlib.contextmanager
def over_http() -> Iterator[str]:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  process = subprocess.Popen([sys.executable, str(NOTEBOOK), str(port)], stderr=subprocess.DEVNULL, cwd='/')
  try:
    for _ in range(200):
      with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 0.2):
        break
      time.sleep(0.1)
    yield f'http://127.0.0.1:{port}/mcp'
  finally:
    process.kill()
    process.wait()


def test_over_http_only_reads():
  with over_http() as url:
    dump = specs.fetch(url)
    with pytest.raises(SpecError, match='cannot be reset'):
      opened(dump)

    async def use(session: LiveSession) -> None:
      assert await done(session, 'count') == '1'
      assert (await session.call(Call('die', {}))).is_error and session.difference() == {}

    run(opened(dump, 'count'), use)
