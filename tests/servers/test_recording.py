"""What a real server answers is recorded, also when that is nothing."""

from __future__ import annotations

import shlex
import sys
import textwrap

import pytest

pytest.importorskip('mcp')

from inftool_jax.servers import recording
from inftool_jax.types import Call

SERVER = textwrap.dedent('''
  import anyio, mcp
  from mcp.server.mcpserver import MCPServer

  server = MCPServer('Slow')

  @server.tool()
  def echo(text: str) -> str:
    return text

  @server.tool()
  async def hang() -> str:
    await anyio.sleep(600)

  server.run()
''')


def test_a_call_that_hangs_is_recorded_as_refused_and_the_next_one_made(tmp_path, monkeypatch):
  monkeypatch.setattr(recording, 'CALL_SECONDS', 2.0)
  (tmp_path / 'server.py').write_text(SERVER)
  calls = [Call('echo', {'text': 'one'}), Call('hang', {}), Call('echo', {'text': '${0:/result}'})]
  dump, recorded = recording.record(shlex.join([sys.executable, str(tmp_path / 'server.py')]), calls)
  assert [tool['name'] for tool in dump['tools']] == ['echo', 'hang']
  assert [(r.result.content, r.result.is_error) for r in recorded] == [
    ('one', False), ('no answer within 2 s', True), ('one', False)]
  assert recorded[2].call.arguments == {'text': 'one'}
