"""A conversation with whoever sits at the terminal, shown as it goes on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

from inftool_jax.agents.user import GOODBYE
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.play.conversation import Limits, play
from inftool_jax.types import Message, Scenario, Speaker, Task, Tool, ToolServer, Trajectory, View

PROMPT = '> '
SHOWN = 2000  # characters of an answer of a tool


async def converse(
  assistant: Speaker, server: ToolServer, tools: Sequence[Tool], tokenizer: ChatTokenizer, limits: Limits, seed: int
) -> Trajectory:
  """One conversation with whoever types, shown as it goes on. Nothing is wanted of it, so its score means nothing."""
  shown = _Shown()
  task = Task('chat', 'irrelevance', tuple(tools), Scenario(''), (), (), None, {}, seed)
  trajectory = await play(task, _Aloud(assistant, shown), _Typing(shown), server, tokenizer, limits, 0, seed)
  shown.more(trajectory.messages)
  return trajectory


class _Shown:
  """What of a conversation is on the screen."""

  def __init__(self) -> None:
    self._count = 0

  def more(self, messages: Sequence[Message]) -> None:
    for message in messages[self._count :]:
      for line in _lines(message):
        print(line, flush=True)
    self._count = len(messages)


def _lines(message: Message) -> list[str]:
  if message.role == 'tool':
    return [f'  -> {r.content[:SHOWN]}{" ..." if len(r.content) > SHOWN else ""}' for r in message.results]
  if message.role != 'assistant':
    return []  # typed: on the screen already
  calls = [f'  {c.tool}({json.dumps(dict(c.arguments), ensure_ascii=False)})' for c in message.calls]
  return [*([message.content] if message.content else []), *calls]


class _Typing:
  """The user is whoever sits at the terminal."""

  def __init__(self, shown: _Shown) -> None:
    self._shown = shown

  async def speak(self, view: View, seed: int) -> Message:
    self._shown.more(view.messages)
    print(PROMPT, end='', flush=True)
    typed = (await _line()).strip()
    return Message('user', typed) if typed else GOODBYE


async def _line() -> str:
  """What is typed next; empty at the end. At a terminal the wait can be cancelled: a thread that reads could not."""
  if not sys.stdin.isatty():
    return sys.stdin.readline()
  loop, typed = asyncio.get_running_loop(), asyncio.Event()
  loop.add_reader(sys.stdin, typed.set)
  try:
    await typed.wait()
    return sys.stdin.readline()  # a terminal gives whole lines
  finally:
    loop.remove_reader(sys.stdin)


class _Aloud:
  """An assistant of which everything is shown that it was told and says."""

  def __init__(self, assistant: Speaker, shown: _Shown) -> None:
    self._assistant, self._shown = assistant, shown

  async def speak(self, view: View, seed: int) -> Message:
    self._shown.more(view.messages)
    return await self._assistant.speak(view, seed)
