"""Tool calls as Qwen2.5, Qwen3 and our own checkpoints write them (the Hermes form).

    Text beside the calls.
    <tool_call>
    {"name": "get_order", "arguments": {"id": "ord_k3v7qd"}}
    </tool_call>

Results come back as user turns with <tool_response> blocks; those of parallel calls share one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from inftool_jax.chat.calls import Malformed, call, load
from inftool_jax.chat.template import SPECIAL_TOKENS, TAGS
from inftool_jax.types import JSON, Call, Message

NAME = 'Hermes (<tool_call> tags)'
MARKERS: tuple[str, ...] = TAGS  # what only the policy and the template write
ENDS: tuple[str, ...] = ()  # tokens that end a turn beside the one that the template ends it with

_OPEN, _CLOSE = TAGS[0], TAGS[1]
_RESPONSES = TAGS[2:4]


def read(text: str) -> tuple[str, tuple[Call, ...]]:
  """Content and calls of a turn. Raises Malformed."""
  if any(token in text for token in SPECIAL_TOKENS):
    raise Malformed('stray_tag')
  pieces: list[str] = []
  calls: list[Call] = []
  rest = text
  while True:
    piece, opened, rest = rest.partition(_OPEN)
    _check_plain(piece)
    pieces.append(piece.strip())
    if not opened:
      return '\n'.join(p for p in pieces if p), tuple(calls)
    body, closed, rest = rest.partition(_CLOSE)
    if not closed:
      # A reply of the tool's, written before the call was even closed, is the graver mistake.
      raise Malformed('writes_tool_response' if any(r in body for r in _RESPONSES) else 'unterminated_call')
    calls.append(_call(body))


def document(message: Message) -> dict[str, JSON]:
  """An assistant's message as chat templates expect it."""
  made: dict[str, JSON] = {'role': 'assistant', 'content': message.content}
  if message.calls:
    functions = [{'name': c.tool, 'arguments': dict(c.arguments)} for c in message.calls]
    made['tool_calls'] = [{'type': 'function', 'function': f} for f in functions]
  return made


def grammar(calls: Mapping[str, str], literal: Callable[[str], str]) -> str:
  """Text, calls on lines of their own, or text before calls."""
  forms = [
    f'{literal(_OPEN)} {json.dumps(chr(10) + head(name, "arguments"))} {arguments} {json.dumps("}" + chr(10))} {literal(_CLOSE)}'
    for name, arguments in calls.items()
  ]
  if not forms:
    return 'start: TEXT\nTEXT: /(.|\\n)+/'
  call_rule = '\n    | '.join(forms)
  return f'start: TEXT | TEXT? calls\ncalls: call ("\\n" call)*\ncall: {call_rule}\nTEXT: /(.|\\n)+/'


def head(name: str, arguments: str) -> str:
  """A call as JSON, up to the value of its arguments."""
  return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "{arguments}": '


def _check_plain(text: str) -> None:
  if any(tag in text for tag in _RESPONSES):
    raise Malformed('writes_tool_response')
  if any(tag in text for tag in TAGS):
    raise Malformed('stray_tag')


def _call(body: str) -> Call:
  try:
    (value,) = load(body)
  except Malformed:
    if _OPEN in body:  # the next call began before this one was closed
      raise Malformed('unterminated_call') from None
    raise
  return call(value, 'arguments')
