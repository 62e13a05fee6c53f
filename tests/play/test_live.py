"""A conversation with a live server is played, judged by the files it leaves, and over when it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shlex
import sys
import tempfile

import pytest

pytest.importorskip('mcp')

from inftool_jax import specs
from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.play.conversation import Limits, play
from inftool_jax.servers import confine
from inftool_jax.servers.live import LiveServer
from inftool_jax.types import Call, GoldCall, Provenance, Scenario, Task
from tests.servers.test_live import NOTEBOOK

pytestmark = pytest.mark.skipif(not confine.supported(), reason='needs a kernel with Landlock')


def test_scripted_against_a_live_server(tokenizer, tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))  # where sessions have their folders
  dump = specs.fetch(shlex.join([sys.executable, str(NOTEBOOK)]))
  tools = specs.load([], dumps={'notebook': dump}).tools
  given = {'name': 'a.txt', 'text': 'heron'}
  gold = GoldCall(Call('write_note', given), {n: Provenance('utterance', path=v) for n, v in given.items()})
  final = {'Notebook/files': {'a.txt': {'content': 'heron'}}}
  task = Task('t', 'single', tuple(t for t in tools if t.name == 'write_note'), Scenario('Write heron to a.txt'), (gold,), (), {}, final, 1)
  for wanted, reward in ((final, 1.0), ({'Notebook/files': {'a.txt': {'content': 'crane'}}}, 0.0)):
    judged = dataclasses.replace(task, final_state=wanted)
    limits = Limits(max_turns=4, max_tokens=2048, max_new_tokens=400)
    trajectory = asyncio.run(
      play(judged, ScriptedAssistant(judged), ScriptedUser(judged), LiveServer(dump, tools), tokenizer, limits, 0, 1, 'binary'))
    assert (trajectory.outcome, trajectory.reward) == ('completed', reward), trajectory.note
    assert not [f for f in os.listdir(tmp_path) if f.startswith('session-')]
