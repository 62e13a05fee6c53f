"""A simulated server behind the Model Context Protocol, by the official SDK: stdio and streamable HTTP.

Each connection has a state of its own, opened with the same seed. Over stdio the process is the connection. Over HTTP the session
is, which the initialize handshake opens and which ends when the client says so, or after half an hour without a request: the
protocol of 2026-07-28, whose requests belong to no session, is not offered there. The simulator checks arguments, since the SDK's
low-level server does not; what it refuses is a result with `isError`, so that a model reads it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inftool_jax.types import Call, Session, Tool, ToolServer

if TYPE_CHECKING:
  import mcp_types
  from mcp.server import Server

PATH = '/mcp'
PAGE = 100  # tools of one answer to tools/list
_CLOSING_SECONDS = 2  # what open streams get when the process is told to end


async def serve_stdio(server: ToolServer, tools: Sequence[Tool], name: str, seed: int) -> None:
  """Serves until the client closes stdin. Nothing else may write to stdout meanwhile; the SDK sends stray output to stderr."""
  from mcp.server.stdio import stdio_server

  session = server.open(seed)
  protocol = _server(tools, name, lambda context: session)
  async with stdio_server() as (incoming, outgoing):
    await protocol.run(incoming, outgoing, protocol.create_initialization_options())


def serve_http(server: ToolServer, tools: Sequence[Tool], name: str, seed: int, host: str, port: int) -> None:
  """Serves at http://HOST:PORT/mcp until the process is told to end. Raises SystemExit when the address cannot be had."""
  import mcp_types
  import uvicorn
  from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

  protocol = _server(tools, name, _PerConnection(server, seed).session)

  async def discover(context: Any, params: Any) -> mcp_types.DiscoverResult:
    """Clients that ask first are sent to the handshake, which opens a session."""
    return mcp_types.DiscoverResult(supported_versions=list(HANDSHAKE_PROTOCOL_VERSIONS), capabilities=protocol.get_capabilities())

  protocol.add_request_handler('server/discover', mcp_types.RequestParams, discover)
  app = protocol.streamable_http_app(streamable_http_path=PATH, host=host)
  uvicorn.run(
    app, host=host, port=port, log_level='warning', access_log=False, timeout_graceful_shutdown=_CLOSING_SECONDS)


class _PerConnection:
  """A session for each connection, kept as long as the SDK keeps the connection."""

  def __init__(self, server: ToolServer, seed: int) -> None:
    self._server, self._seed = server, seed
    self._sessions: dict[int, Session] = {}

  def session(self, context: Any) -> Session:
    """Raises MCPError for a request outside of a session."""
    import mcp_types
    from mcp import MCPError

    greeting = context.session.client_params  # made once by the handshake, and held by its connection alone
    if greeting is None or context.request.headers.get('mcp-session-id') is None:
      raise MCPError(mcp_types.INVALID_REQUEST, 'state is kept per session here: open one with initialize')
    key = id(greeting)
    if key not in self._sessions:
      self._sessions[key] = self._server.open(self._seed)
      weakref.finalize(greeting, self._sessions.pop, key)
    return self._sessions[key]


def _server(tools: Sequence[Tool], name: str, session_of: Any) -> Server:
  import mcp_types
  from mcp import MCPError
  from mcp.server import Server

  listed = [_listed(tool) for tool in tools]
  outputs = {tool.name for tool in listed if tool.output_schema is not None}

  async def list_tools(context: Any, params: mcp_types.PaginatedRequestParams | None) -> mcp_types.ListToolsResult:
    cursor = params.cursor if params is not None and params.cursor is not None else '0'
    if not cursor.isdecimal() or not int(cursor[:9]) <= len(listed):
      raise MCPError(mcp_types.INVALID_PARAMS, f'there is no page {cursor[:40]!r}')
    end = int(cursor[:9]) + PAGE
    return mcp_types.ListToolsResult(tools=listed[end - PAGE : end], next_cursor=str(end) if end < len(listed) else None)

  async def call_tool(context: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
    result = await session_of(context).call(Call(params.name, params.arguments or {}))
    structured = result.structured if params.name in outputs and not result.is_error else None
    text = mcp_types.TextContent(type='text', text=result.content)
    return mcp_types.CallToolResult(content=[text], structured_content=structured, is_error=result.is_error)

  return Server(name, version='0', on_list_tools=list_tools, on_call_tool=call_tool)


def _listed(tool: Tool) -> mcp_types.Tool:
  """The tool on the wire. Before 2026-07-28 only objects are structured results, so other output schemas stay out."""
  import mcp_types

  output = tool.output_schema if tool.output_schema is not None and tool.output_schema.get('type') == 'object' else None
  return mcp_types.Tool(
    name=tool.name, description=tool.description, input_schema=dict(tool.input_schema),
    output_schema=None if output is None else dict(output),
    annotations=mcp_types.ToolAnnotations(read_only_hint=not tool.writes, destructive_hint=tool.effect == 'delete', open_world_hint=False))
