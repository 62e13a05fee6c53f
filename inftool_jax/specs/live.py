"""Live MCP servers to `tools/list` dumps, over stdio and streamable HTTP by the official SDK. `fetch` only lists; it never calls a tool.

A server is not trusted: it has SECONDS for everything, and of what it sends at most MAX_BYTES, MAX_PAGES pages and MAX_TOOLS tools
are read. What it writes to stderr is kept back and told, in part and without secrets, only when it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inftool_jax.errors import SpecError
from inftool_jax.specs import relay, sources
from inftool_jax.specs.sources import Source
from inftool_jax.types import JSON

if TYPE_CHECKING:
  import mcp

T = TypeVar('T')

SECONDS = 60.0
MAX_BYTES = 16 * 2**20
MAX_PAGES = 200
MAX_TOOLS = 5000
FOLDER = '{folder}'  # in a command: a folder of its own, new each time
_SHOWN = 300  # characters of a complaint
_TALKATIVE = ('mcp', 'client', 'httpx2', 'httpcore2')  # their loggers tell URLs and messages whole


def fetch(named: str) -> dict[str, JSON]:
  """The dump of one server: {'server', 'source', 'tools', 'problems'}, in which its secrets are `${NAME}`s again.

  Raises SpecError, naming the server as the caller did, when it cannot be started or reached, or does not answer as it should.
  """
  source = sources.parse(named)
  return sources.scrub_json(talk(source, lambda client: listed(client, source), SECONDS), source)


def talk(source: Source, use: Callable[[mcp.Client], Awaitable[T]], seconds: float) -> T:
  """What `use` makes of a client that is connected to the server, in so many seconds and within the other limits.

  Raises SpecError as `fetch` does.
  """
  with tempfile.TemporaryFile() as errors, _quiet():
    try:
      return asyncio.run(_within(source, errors, use, seconds))
    except SpecError as e:
      raise SpecError(f'{source.named}: {e}') from None
    except TimeoutError:
      raise SpecError(f'{source.named}: did not answer within {seconds:g} s{_complaint(errors, source)}') from None
    except Exception as e:  # noqa: BLE001  whatever the SDK or a hostile server comes up with; its chain may hold secrets
      raise SpecError(f'{source.named}: {_reason(e, source)}{_complaint(errors, source)}') from None


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a command runs: `{folder}` in its words and variables stands for `folder`, `wrap` is put before it."""

  folder: str
  wrap: tuple[str, ...] = ()
  inside: bool = False  # whether `folder` is also its working, home and temporary folder


async def _within(source: Source, errors: Any, use: Callable[[mcp.Client], Awaitable[T]], seconds: float) -> T:
  with tempfile.TemporaryDirectory() as folder:
    async with asyncio.timeout(seconds):
      return await connected(source, errors, use, Place(folder))


async def connected(source: Source, errors: Any, use: Callable[[mcp.Client], Awaitable[T]], place: Place) -> T:
  """What `use` makes of a client that is connected to the server. Raises whatever the SDK, the server or `use` come up with."""
  return await _over_http(source, use) if source.url else await _over_stdio(source, errors, use, place)


async def _over_stdio(source: Source, errors: Any, use: Callable[[mcp.Client], Awaitable[T]], place: Place) -> T:
  import mcp
  from mcp.client.stdio import stdio_client

  def filled(text: str) -> str:
    return sources.expand(text.replace(FOLDER, place.folder))

  command = [sys.executable, '-I', relay.__file__, str(MAX_BYTES), *place.wrap, *map(filled, source.command)]
  home = dict.fromkeys(('HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME'), place.folder) if place.inside else {}
  environment = {**home, **{name: filled(value) for name, value in source.environment.items()}}
  parameters = mcp.StdioServerParameters(
    command=command[0], args=command[1:], env=environment, cwd=place.folder if place.inside else None)
  async with mcp.Client(stdio_client(parameters, errlog=errors), cache=None) as client:
    return await use(client)


async def _over_http(source: Source, use: Callable[[mcp.Client], Awaitable[T]]) -> T:
  import httpx2
  import mcp
  from mcp.client.streamable_http import streamable_http_client

  class Limited(httpx2.AsyncHTTPTransport):
    """Counts what comes in over all answers. Compressed answers are not asked for and not taken: they count for too little."""

    left = MAX_BYTES

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
      response = await super().handle_async_request(request)
      if response.headers.get('content-encoding', 'identity') != 'identity':
        await response.aclose()
        raise SpecError('answers compressed, though asked not to')
      return httpx2.Response(response.status_code, headers=response.headers, stream=Counted(self, response), request=request)

  class Counted(httpx2.AsyncByteStream):
    def __init__(self, transport: Limited, response: httpx2.Response) -> None:
      self._transport, self._response = transport, response

    async def __aiter__(self):
      async for part in self._response.stream:  # type: ignore[union-attr]
        self._transport.left -= len(part)
        if self._transport.left < 0:
          raise SpecError(f'sent more than {MAX_BYTES // 2**20} MiB')
        yield part

    async def aclose(self) -> None:
      await self._response.aclose()

  headers = {name: sources.expand(value) for name, value in source.headers.items()}
  async with httpx2.AsyncClient(
    transport=Limited(), timeout=SECONDS, headers={'accept-encoding': 'identity', **headers}) as client:
    async with mcp.Client(streamable_http_client(sources.expand(source.url), http_client=client), cache=None) as connected:
      return await use(connected)


async def listed(client: mcp.Client, source: Source) -> dict[str, JSON]:
  """The dump of a connected server, as `fetch` has it, its secrets not yet taken out."""
  tools: list[JSON] = []
  problems: list[str] = []
  cursor, seen = None, set()
  for _ in range(MAX_PAGES):
    page = await client.list_tools(cursor=cursor)
    tools += [tool.model_dump(mode='json', by_alias=True, exclude_none=True) for tool in page.tools]
    cursor = page.next_cursor
    if cursor is None or cursor in seen or len(tools) > MAX_TOOLS:
      break
    seen.add(cursor)
  if len(tools) > MAX_TOOLS:
    problems.append(f'has more than {MAX_TOOLS:,} tools; the others are left out')
  elif cursor is not None:
    problems.append('does not come to an end of its pages; the others are left out')
  info = client.server_info
  name = info.name if info is not None and info.name else _fallback(source)
  return {'server': name, 'source': source.named, 'tools': tools[:MAX_TOOLS], 'problems': problems}


def _fallback(source: Source) -> str:
  if source.url:
    return source.url.split('//', 1)[1].split('/')[0]
  return Path(source.command[0]).stem


def _reason(error: BaseException, source: Source) -> str:
  """The innermost error of whatever groups and chains it came in, as one line."""
  while isinstance(error, BaseExceptionGroup):
    error = error.exceptions[0]
  if isinstance(error, FileNotFoundError):
    return 'there is no such command'
  text = ' '.join(sources.scrub(str(error), source).split())[:_SHOWN]
  return text if isinstance(error, SpecError) else f'cannot be read ({type(error).__name__}{": " + text if text else ""})'


def _complaint(errors: Any, source: Source) -> str:
  """The end of what the command wrote to stderr."""
  size = errors.seek(0, os.SEEK_END)
  errors.seek(max(0, size - 8 * _SHOWN))
  text = ' '.join(sources.scrub(errors.read().decode('utf-8', 'replace'), source).split())
  return f'; it says: {text[-_SHOWN:]}' if text else ''


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  loggers = {name: logging.getLogger(name) for name in _TALKATIVE}
  levels = {name: logger.level for name, logger in loggers.items()}
  for logger in loggers.values():
    logger.setLevel(logging.CRITICAL + 1)
  try:
    yield
  finally:
    for name, logger in loggers.items():
      logger.setLevel(levels[name])
