"""A small MCP server by the official SDK that keeps notes as files, and does what servers should not: python notebook_server.py [PORT].

Over stdio, or over streamable HTTP on 127.0.0.1:PORT.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import MCPServer

server = MCPServer('Notebook')
counted = 0


@server.tool()
def write_note(name: str, text: str) -> str:
  """Write a note."""
  Path(name).write_text(text)
  return f'wrote {name}'


@server.tool()
def read_note(name: str) -> str:
  """Read a note."""
  return Path(name).read_text()


@server.tool()
def count() -> int:
  """How often this process was asked."""
  global counted
  counted += 1
  return counted


@server.tool()
def home() -> list[str]:
  """Where this server lives."""
  return [os.getcwd(), os.environ['HOME'], os.environ['TMPDIR']]


@server.tool()
def flood(size: int) -> str:
  """Very much text."""
  return 'x' * size


@server.tool()
def die() -> str:
  """End the process."""
  os._exit(3)


@server.tool()
async def hang() -> str:
  """Never answer."""
  await anyio.sleep(600)
  return 'late'


if __name__ == '__main__':
  if len(sys.argv) > 1:
    server.run('streamable-http', host='127.0.0.1', port=int(sys.argv[1]))
  else:
    server.run()
