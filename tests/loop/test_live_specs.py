"""Live MCP servers as a run sees them: named in the config, read once, kept without secrets."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import sys

import pytest

pytest.importorskip('mcp')

from inftool_jax import settings
from inftool_jax.errors import ConfigError, SpecError
from inftool_jax.loop import claiming
from inftool_jax.loop import context as contexts
from tests.loop.conftest import ROOT

SECRET = 'correct-horse-battery'
SERVER = '''
import sys, asyncio, os, pathlib
pathlib.Path(sys.argv[1]).open('a').write('started ')
import mcp_types as t
from mcp.server import Server
from mcp.server.stdio import stdio_server
async def tools(context, params):
  schema = {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}
  return t.ListToolsResult(tools=[t.Tool(name='get_tide', description='Tide of ' + os.environ['TIDE_KEY'], input_schema=schema)])
async def main():
  server = Server('Tides', version='1', on_list_tools=tools)
  async with stdio_server() as (i, o):
    await server.run(i, o, server.create_initialization_options())
asyncio.run(main())
'''


def configured(**specs: object) -> settings.Settings:
  location = importlib.util.spec_from_file_location('round_config', ROOT / 'configs' / 'round.py')
  module = importlib.util.module_from_spec(location)
  location.loader.exec_module(module)
  config = module.get_config('smoke')
  config.specs.update(specs)
  return settings.parse(config)


def test_their_tools_join_the_others_and_a_resumed_run_reads_what_it_read(tmp_path: pathlib.Path, monkeypatch) -> None:
  monkeypatch.setenv('TIDES', SECRET)
  (tmp_path / 'server.py').write_text(SERVER)
  named = f'TIDE_KEY=${{TIDES}} {sys.executable} {tmp_path / "server.py"} {tmp_path / "starts"}'
  wanted, workdir = configured(mcp=(named,)), tmp_path / 'run'
  first = contexts.prepare(wanted, workdir)
  tool = next(t for t in first.ingest.tools if t.server == 'tides')
  assert (tool.name, tool.description, tool.lineage[0].source) == ('get_tide', 'Tide of ${TIDES}', named)
  assert len(first.ingest.tools) == 390  # the bundled ones and it
  split, = (name for name in first.simulators if 'get_tide' in first.simulators[name].catalog.operations)
  assert tool.name in {t.name for t in getattr(first.splits, split)}
  kept = {path.name: path.read_text() for path in workdir.iterdir()}
  assert SECRET not in ''.join(kept.values()) and named in json.loads(kept['config.json'])['specs']['mcp']
  (tmp_path / 'server.py').unlink()
  monkeypatch.delenv('TIDES')
  again = contexts.prepare(wanted, workdir)
  assert (again.ingest, again.splits) == (first.ingest, first.splits) and (tmp_path / 'starts').read_text() == 'started '
  with pytest.raises(SpecError, match='TIDES is not set'):
    contexts.prepare(wanted, tmp_path / 'other')
  assert not (tmp_path / 'other').exists()


def test_a_run_keeps_to_its_servers(tmp_path: pathlib.Path) -> None:
  contexts.prepare(configured(), tmp_path)
  assert not (tmp_path / contexts.LIVE).exists()
  changed = dataclasses.replace(configured(), specs=dataclasses.replace(configured().specs, mcp=('x',)))
  with pytest.raises(ConfigError, match=r'specs\.mcp'):
    claiming.claim(tmp_path, changed, contexts.SHIPPED)
