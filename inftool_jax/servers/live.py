"""Live MCP servers as environments: each session has a process and a folder of its own, and nothing else can be written.

    server = LiveServer(dump, tools)                 # dump of `specs.fetch`, tools as read from it
    session = server.open(seed=7)
    result = await session.call(Call('write_file', {'path': 'a.txt', 'content': 'x'}))
    session.difference()                             # {'files/files': {'a.txt': {...}}}
    await session.aclose()

A command is started when the first call is made, in an empty folder that is its home, and that `{folder}` in its words stands for; by
Landlock it can write nowhere else. The files in the folder are the state. A server behind a URL has no state that could be seen or reset:
of it only tools are called that were named as `reads`. No content of a call and no answer raises; a server that dies is started again (in
its folder as it is), one that hangs is stopped and TimeoutError raised, and one that fails more than RESTARTS times raises ServerFailed:
both are outcomes of the conversation that cost no reward.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inftool_jax.errors import SpecError
from inftool_jax.servers import arguments as argument_checks
from inftool_jax.servers import confine, responses, state
from inftool_jax.specs import live, sources
from inftool_jax.specs.sources import Source
from inftool_jax.types import JSON, Call, Result, Tool

if TYPE_CHECKING:
  import mcp

START_SECONDS = 60.0
CALL_SECONDS = 30.0
MAX_ANSWER = 100_000  # characters of an answer; of all answers of a process together specs.live.MAX_BYTES
RESTARTS = 3
MAX_FILES = 2000
MAX_SHOWN = 20_000  # characters of a file in a snapshot; of longer ones the hash

Requests = asyncio.Queue[tuple[str, Mapping[str, JSON], asyncio.Future[Result]] | None]


class ServerFailed(Exception):
  """A live server that cannot be started, or fails again and again; says why, without its secrets."""


class LiveServer:
  """A `ToolServer` of one live server. `reads`: names of the tools that may be called, if not all may.

  Raises SpecError for a server behind a URL without `reads`, for one of `reads` that is no tool of it, and where a command cannot be
  confined.
  """

  def __init__(self, dump: Mapping[str, JSON], tools: Sequence[Tool], reads: Collection[str] = (), seconds: float = CALL_SECONDS) -> None:
    self.source = sources.parse(dump['source'])
    listed = {t.name: t for t in tools}
    unknown = sorted(set(reads) - set(listed))
    if unknown:
      raise SpecError(f'{self.source.named}: has no tool {unknown[0]}; its tools are {", ".join(sorted(listed)[:20])}')
    if self.source.url and not reads:
      raise SpecError(f'{self.source.named}: cannot be reset between conversations; name the tools of it that only read')
    if not self.source.url and not confine.supported():
      raise SpecError(f'{self.source.named}: the kernel cannot confine it to a folder (Linux 5.13 and newer with Landlock can)')
    self.name = str(dump['server'])
    self.seconds = seconds
    # Tools may have been renamed to be unique: the pointer says which of the dump's they are.
    self.wire = {t.name: str(dump['tools'][int(t.lineage[0].pointer.rsplit('/', 1)[-1])]['name']) for t in tools}
    self.allowed = frozenset(reads or listed)

  def open(self, seed: int, state: JSON = None) -> LiveSession:
    """A session of its own. Raises ValueError for an opening state: a live server starts empty."""
    if state:
      raise ValueError(f'{self.name} is a live server: it cannot be opened with a given state')
    return LiveSession(self)


class LiveSession:
  """One conversation with a live server. It belongs to the event loop that makes its first call."""

  def __init__(self, server: LiveServer) -> None:
    self._server = server
    self._folder = Path(tempfile.mkdtemp(prefix='session-'))
    self._before: dict[str, JSON] = {}
    self._process: _Process | None = None
    self._failures = 0

  async def call(self, call: Call) -> Result:
    wire = self._server.wire.get(call.tool) if isinstance(call.tool, str) else None
    if wire is None:
      return responses.failure(f'unknown tool "{argument_checks.shown(call.tool)}"')
    problem = argument_checks.absurd(call.arguments)
    if problem:
      return responses.failure(problem)
    if call.tool not in self._server.allowed:
      return responses.failure(f'"{call.tool}" may not be called: this server cannot be reset, and the tool is not one that only reads')
    process = await self._running()
    try:
      return await process.ask(wire, call.arguments, self._server.seconds)
    except TimeoutError:
      await self._stop()
      raise TimeoutError(f'{self._server.name}: no answer from {wire} within {self._server.seconds:g} s') from None
    except ServerFailed:
      await self._stop()
      self._failures += 1
      return responses.failure('the server stopped while it was asked; it will be started again')

  async def _running(self) -> _Process:
    if self._process is None:
      if self._failures > RESTARTS:
        raise ServerFailed(f'{self._server.name}: stopped {self._failures} times')
      self._process = _Process(self._server.source, self._folder)
      await self._process.start()
      if not self._failures:
        self._before = self._files()  # what it writes when it starts is not the conversation's
    return self._process

  async def _stop(self) -> None:
    process, self._process = self._process, None
    if process is not None:
      await process.stop()

  async def aclose(self) -> None:
    """Ends the process and removes the folder."""
    await self._stop()
    shutil.rmtree(self._folder, ignore_errors=True)

  def snapshot(self) -> JSON:
    files = self._files()
    return {f'{self._server.name}/files': files} if files else {}

  def difference(self) -> JSON:
    now = self._files()
    changed: dict[str, JSON] = {n: f for n, f in now.items() if self._before.get(n) != f}
    changed.update({n: None for n in self._before if n not in now})
    return {f'{self._server.name}/files': dict(sorted(changed.items()))} if changed else {}

  def digest(self) -> str:
    return state.digest(self.snapshot())

  def _files(self) -> dict[str, JSON]:
    """Path below the folder -> text, or hash, of every plain file. Links are not followed."""
    found: dict[str, JSON] = {}
    for folder, _, files in os.walk(self._folder):
      for name in files:
        path = Path(folder) / name
        if path.is_file() and not path.is_symlink() and len(found) < MAX_FILES:
          found[str(path.relative_to(self._folder))] = _shown(path)
    return dict(sorted(found.items()))


def _shown(path: Path) -> dict[str, JSON]:
  try:
    if path.stat().st_size <= MAX_SHOWN:
      return {'content': path.read_text()}
    with open(path, 'rb') as f:
      return {'sha256': hashlib.file_digest(f, 'sha256').hexdigest()}
  except UnicodeDecodeError:
    return {'sha256': hashlib.sha256(path.read_bytes()).hexdigest()}
  except OSError:
    return {'content': ''}  # it went away, or cannot be read


async def _first(*waiting: asyncio.Future[Any]) -> None:
  await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


class _Process:
  """A connected server and the task that talks to it: what opens a connection of the SDK must close it too."""

  def __init__(self, source: Source, folder: Path) -> None:
    self._source, self._folder = source, folder
    self._requests: Requests = asyncio.Queue()
    self._task: asyncio.Task[None] | None = None

  async def start(self) -> None:
    """Raises ServerFailed, or TimeoutError after START_SECONDS."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    self._task = asyncio.create_task(self._run(ready))
    try:
      async with asyncio.timeout(START_SECONDS):
        await _first(ready, self._task)
    except TimeoutError:
      await self.stop()
      raise
    if not ready.done():
      raise ServerFailed(self._why())

  async def _run(self, ready: asyncio.Future[None]) -> None:
    wrap = (sys.executable, '-I', confine.__file__, str(self._folder))
    with tempfile.TemporaryFile() as errors:
      place = live.Place(str(self._folder), wrap, inside=True)
      await live.connected(self._source, errors, lambda client: self._attend(client, ready), place)

  async def _attend(self, client: mcp.Client, ready: asyncio.Future[None]) -> None:
    ready.set_result(None)
    while (request := await self._requests.get()) is not None:
      tool, given, answer = request
      result = await _answer(client, tool, given)
      if not answer.done():
        answer.set_result(result)

  async def ask(self, tool: str, given: Mapping[str, JSON], seconds: float) -> Result:
    """Raises ServerFailed when the server is gone, TimeoutError when it does not answer."""
    assert self._task is not None
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    self._requests.put_nowait((tool, given, answer))
    async with asyncio.timeout(seconds):
      await _first(answer, self._task)
    if not answer.done():
      raise ServerFailed(self._why())
    return answer.result()

  async def stop(self) -> None:
    if self._task is not None:
      self._task.cancel()
      with contextlib.suppress(asyncio.CancelledError, Exception):  # it is over, however it ended
        await self._task

  def _why(self) -> str:
    over = self._task is not None and self._task.done() and not self._task.cancelled()
    error = self._task.exception() if over else None  # type: ignore[union-attr]
    while isinstance(error, BaseExceptionGroup):
      error = error.exceptions[0]
    return sources.scrub(f'{self._source.named}: ended ({type(error).__name__}: {error})', self._source)


async def _answer(client: mcp.Client, tool: str, given: Mapping[str, JSON]) -> Result:
  """A protocol error is an answer too, for that is how many servers refuse a call, unless the connection is gone."""
  from mcp import MCPError
  from mcp_types import CONNECTION_CLOSED

  try:
    answer: Any = await client.call_tool(tool, dict(given))
  except MCPError as e:
    if e.code == CONNECTION_CLOSED:
      raise
    return responses.failure(str(e)[:MAX_ANSWER])
  text = '\n'.join(block.text for block in answer.content if block.type == 'text')
  whole = json.dumps(answer.structured_content, ensure_ascii=False)
  structured = answer.structured_content if len(whole) <= MAX_ANSWER else None
  cut = '' if len(text) <= MAX_ANSWER else f'\n[{len(text) - MAX_ANSWER:,} more characters]'
  return Result(text[:MAX_ANSWER] + cut, structured, bool(answer.is_error))
