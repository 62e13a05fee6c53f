"""Talking to an assistant: what is typed is heard, and what is called, answered and said is shown."""

from __future__ import annotations

import asyncio
import io
import sys

from inftool_jax import specs
from inftool_jax.play import aloud
from inftool_jax.play.conversation import Limits
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import Call, Message, View

BANK = specs.load(specs.bundled_path() / 'openapi' / 'copper_bank.yaml').tools
LIMITS = Limits(max_turns=9, max_tokens=4096, max_new_tokens=200)


class Saying:
  """An assistant that says these turns, one after the other, and remembers what it was told."""

  def __init__(self, *turns: Message):
    self._turns = iter(turns)
    self.heard: list[str] = []

  async def speak(self, view: View, seed: int) -> Message:
    self.heard += [m.content for m in view.messages[-1:] if m.role == 'user']
    return next(self._turns)


def talk(monkeypatch, capsys, tokenizer, assistant: Saying, tools, *typed: str):
  monkeypatch.setattr(sys, 'stdin', io.StringIO('\n'.join(typed)))
  played = asyncio.run(aloud.converse(assistant, Simulator(BANK), tools, tokenizer, LIMITS, 1))
  lines = [line.removeprefix(aloud.PROMPT) for line in capsys.readouterr().out.splitlines()]
  return played, [line for line in lines if line != aloud.PROMPT and line]


def call(tool: str, **arguments) -> Message:
  return Message('assistant', calls=(Call(tool, arguments),))


def test_calls_and_their_results_are_shown_between_what_is_said(tokenizer, monkeypatch, capsys):
  tool = next(t for t in BANK if t.effect == 'create')
  arguments = {name: 'x' for name in tool.required}
  assistant = Saying(call(tool.name, **arguments), Message('assistant', 'Done.'), Message('assistant', 'You are welcome.'))
  played, lines = talk(monkeypatch, capsys, tokenizer, assistant, BANK[:3] + (tool,), 'Open one.', 'Thanks.', '')
  assert played.outcome == 'completed', played.note
  assert assistant.heard == ['Open one.', 'Thanks.']
  (result,) = played.messages[2].results
  assert lines[0].startswith(f'  {tool.name}(') and lines[1:] == [f'  -> {result.content}', 'Done.', 'You are welcome.']


def test_a_tool_that_is_not_offered_is_not_called(tokenizer, monkeypatch, capsys):
  played, lines = talk(
    monkeypatch, capsys, tokenizer, Saying(call(BANK[1].name), Message('assistant', 'I could not.')), BANK[:1], 'Do the other.')
  assert played.outcome == 'completed', played.note
  assert any('Unknown tool' in line for line in lines) and lines[-1] == 'I could not.'


def test_an_improper_turn_is_shown_and_ends_the_conversation(tokenizer, monkeypatch, capsys):
  said = Message('assistant', '<tool_call>{', error='unclosed')
  played, lines = talk(monkeypatch, capsys, tokenizer, Saying(said), BANK[:1], 'Hello.')
  assert (played.outcome, lines) == ('policy_error', ['<tool_call>{'])
