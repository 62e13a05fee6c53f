"""Tool calls as Llama 3.1, 3.2 and 3.3 write them: a turn is either text or a call as bare JSON.

    {"name": "get_order", "parameters": {"id": "ord_k3v7qd"}}<|eot_id|>

A call may follow <|python_tag|> and end with <|eom_id|>, which announces that a result is expected; results come back in turns
of the role `ipython`. The templates take one call a turn; several are written with semicolons between them, as Llama's
servers read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from inftool_jax.chat import hermes
from inftool_jax.chat.calls import Malformed, call, load
from inftool_jax.types import JSON, Call, Message

NAME = 'Llama 3 (JSON with name and parameters)'
MARKERS: tuple[str, ...] = ()
ENDS: tuple[str, ...] = ('<|eom_id|>',)

_PYTHON_TAG = '<|python_tag|>'
_START, _STOP = '<|start_header_id|>', '<|end_header_id|>'
_SPECIAL_TOKENS = (_START, _STOP, _PYTHON_TAG, '<|eot_id|>', '<|eom_id|>', '<|begin_of_text|>', '<|end_of_text|>')
_REPLIES = tuple(f'{_START}{role}{_STOP}' for role in ('ipython', 'tool'))


def read(text: str) -> tuple[str, tuple[Call, ...]]:
  """Content or calls of a turn; one that begins with a brace is calls. Raises Malformed."""
  body = text.strip()
  tagged = body.startswith(_PYTHON_TAG)
  body = body.removeprefix(_PYTHON_TAG)
  if any(reply in body for reply in _REPLIES):
    raise Malformed('writes_tool_response')
  if any(token in body for token in _SPECIAL_TOKENS):
    raise Malformed('stray_tag')
  if not tagged and not body.startswith('{'):
    return body, ()
  return '', tuple(call(value, 'parameters') for value in load(body, separator=';'))


def document(message: Message) -> dict[str, JSON]:
  """An assistant's message as the templates expect it. Raises ValueError for text beside calls, which they would drop."""
  if message.calls and message.content:
    raise ValueError(f'a turn of Llama 3 is text or calls, not both: {message.content[:80]!r}')
  if len(message.calls) < 2:
    return hermes.document(message)
  written = [json.dumps({'name': c.tool, 'parameters': c.arguments}, ensure_ascii=False) for c in message.calls]
  return {'role': 'assistant', 'content': '; '.join(written)}


def grammar(calls: Mapping[str, str], literal: Callable[[str], str]) -> str:
  """Text that does not begin with a brace, or calls with semicolons between them."""
  del literal
  text = 'TEXT: /[^{\\s](.|\\n)*/'
  if not calls:
    return f'start: TEXT\n{text}'
  forms = (f'{json.dumps(hermes.head(name, "parameters"))} {arguments} "}}"' for name, arguments in calls.items())
  call_rule = '\n    | '.join(forms)
  return f'start: TEXT | call ("; " call)*\ncall: {call_rule}\n{text}'
