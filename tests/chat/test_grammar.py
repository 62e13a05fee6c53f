"""Constrained sampling: every turn that the grammar lets through is read, and its calls fit their schemas."""

from __future__ import annotations

import json
import sys

import jsonschema
import numpy as np
import pytest

from inftool_jax.chat import grammar, llama3
from inftool_jax.chat.grammar import Grammars, LLConstraint
from inftool_jax.chat.parser import parse
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.errors import ConfigError
from inftool_jax.loop.context import SHIPPED
from inftool_jax.types import Call, Message, Tool

SCHEMA = {
  'type': 'object',
  'properties': {'id': {'type': 'string'}, 'count': {'type': 'integer'}, 'state': {'enum': ['open', 'shut']}},
  'required': ['id'],
  'additionalProperties': False,
}
TOOLS = [Tool(name, '', SCHEMA, None, 'shop', 'read', ()) for name in ('get_order', 'list_orders')]


@pytest.fixture(scope='module')
def tokenizer() -> ChatTokenizer:
  return ChatTokenizer.load(SHIPPED)


@pytest.fixture(scope='module')
def grammars(tokenizer: ChatTokenizer) -> Grammars:
  return Grammars(tokenizer, tokenizer.vocab_size)


def _allowed(constraint: LLConstraint, vocab: int) -> set[int]:
  bits = np.zeros(-(-vocab // 32), np.int32)
  constraint.allowed(bits)
  return set(np.flatnonzero((bits[:, None].view(np.uint32) >> np.arange(32, dtype=np.uint32)) & 1).tolist())


def _accepts(constraint: LLConstraint, tokens: list[int], vocab: int) -> bool:
  for token in tokens:
    if token not in _allowed(constraint, vocab):
      return False
    constraint.accept([token])
  return True


@pytest.mark.parametrize(
  'message',
  [
    Message('assistant', 'Which order do you mean?'),
    Message('assistant', calls=(Call('get_order', {'id': 'ord_1'}),)),
    Message('assistant', calls=(Call('get_order', {'id': 'a "quoted"\n<b>', 'count': -3}), Call('list_orders', {'id': 'x'}))),
  ],
)
def test_what_a_scripted_assistant_says_is_allowed(tokenizer: ChatTokenizer, grammars: Grammars, message: Message) -> None:
  assert _accepts(grammars.turn(TOOLS), tokenizer.encode_turn(message), tokenizer.vocab_size)


@pytest.mark.parametrize(
  'message',
  [
    Message('assistant', calls=(Call('no_such_tool', {'id': 'x'}),)),
    Message('assistant', calls=(Call('get_order', {'count': 3}),)),
    Message('assistant', calls=(Call('get_order', {'id': 7}),)),
    Message('assistant', calls=(Call('get_order', {'id': 'x', 'state': 'ajar'}),)),
  ],
)
def test_what_no_tool_takes_is_not(tokenizer: ChatTokenizer, grammars: Grammars, message: Message) -> None:
  assert not _accepts(grammars.turn(TOOLS), tokenizer.encode_turn(message), tokenizer.vocab_size)
  assert not _accepts(grammars.turn([]), tokenizer.encode_turn(message), tokenizer.vocab_size)


@pytest.mark.parametrize('seed', range(8))
def test_whatever_is_drawn_under_the_grammar_is_read_and_fits(tokenizer: ChatTokenizer, grammars: Grammars, seed: int) -> None:
  """A random policy that prefers to call and to come to an end."""
  rng, constraint, out = np.random.default_rng(seed), grammars.turn(TOOLS), []
  opening = tokenizer.encode_text('<tool_call>')
  while len(out) < 200:
    allowed = _allowed(constraint, tokenizer.vocab_size)
    likely = [*(opening if not out else ()), *tokenizer.encode_text('"}'), *tokenizer.encode_text('}'), tokenizer.end_of_turn]
    ends = [t for t in likely if t in allowed]
    token = ends[0] if ends and (not out or rng.random() < 0.4) else int(rng.choice(sorted(allowed)))
    out.append(token)
    if token in tokenizer.stop_ids:
      break
    constraint.accept([token])
  assert out[-1] == tokenizer.end_of_turn
  message = parse(tokenizer.decode_turn(out), 'stop', tokenizer.format)
  assert not message.error and message.calls
  for call in message.calls:
    jsonschema.validate(dict(call.arguments), SCHEMA)


def test_what_must_follow_is_told(tokenizer: ChatTokenizer, grammars: Grammars) -> None:
  constraint = grammars.turn(TOOLS[:1])
  constraint.accept(tokenizer.encode_text('<tool_call>'))
  forced = constraint.forced()
  assert tokenizer.decode(forced).startswith('\n{"name": "get_order", "arguments": {"id')
  constraint.accept(forced)


def test_json_of_a_schema_and_nothing_else(tokenizer: ChatTokenizer, grammars: Grammars) -> None:
  good = [*tokenizer.encode_text(json.dumps({'id': 'x', 'count': 1})), tokenizer.end_of_turn]
  assert _accepts(grammars.json(SCHEMA), good, tokenizer.vocab_size)
  assert not _accepts(grammars.json(SCHEMA), tokenizer.encode_text('Sure: {"id"'), tokenizer.vocab_size)
  with pytest.raises(ValueError, match='does not compile'):
    grammars.json({'type': 'no such type'})


def test_the_calls_of_llama_3_are_held_as_well(tokenizer: ChatTokenizer, grammars: Grammars) -> None:
  def accepted(calls: dict[str, str], text: str) -> bool:
    constraint = grammars._constraint(llama3.grammar(calls, json.dumps))
    return _accepts(constraint, [*tokenizer.encode_text(text), tokenizer.end_of_turn], tokenizer.vocab_size)

  call, calls = '{"name": "get_order", "parameters": {"id": "x"}}', {'get_order': '%json ' + grammar._schema(SCHEMA)}
  assert accepted(calls, 'Which order?') and accepted({}, 'Which order?') and not accepted({}, call)
  assert not accepted(calls, call.replace('"x"', '7')) and not accepted(calls, call.replace('get_order', 'other'))
  assert accepted(calls, call) and accepted(calls, f'{call}; {call}')


def test_a_missing_extra_is_one_line_that_names_it(tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setitem(sys.modules, 'llguidance', None)
  monkeypatch.setitem(sys.modules, 'llguidance.hf', None)
  with pytest.raises(ConfigError, match=r"pip install 'inftool_jax\[grammar\]'"):
    Grammars(tokenizer, tokenizer.vocab_size)
