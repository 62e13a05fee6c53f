"""A server whose free text is worded by a model: state, ids, numbers and errors stay those of the code behind it.

Worded anew are the texts of an answer that nothing depends on: fields for prose, without format, pattern or fixed values, whose text stands
neither in the state nor in the call, nor among the values that a task asks for (`kept`). The text of a model is bounded and checked: one
line, of limited length, ended by the model, and the answer must stay valid; otherwise the text is the code's own. Sampling is not
constrained by a grammar. The same call in the same state has the same answer: words are kept by the digest of both, and drawn with a seed
made from it.
"""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import Protocol

from inftool_jax import seeds
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.rewards.canonical import canonical
from inftool_jax.servers import arguments, fields, responses, schemas, values
from inftool_jax.types import JSON, Call, Message, Result, SampleParams, Sampler, Session, Tool, ToolServer

MAX_TEXT = 240  # characters of a text
MAX_TEXTS = 4  # texts of one answer that are worded
NEW_TOKENS = 96
_FOREIGN = frozenset('<>{}[]')
_FIXED = frozenset({'enum', 'const', 'format', 'pattern'})

Steps = tuple[str | int, ...]


class Words(Protocol):
  """What writes texts: an own model through `SampledWords`, or any other."""

  async def write(self, prompt: str, seed: int) -> str:
    """The text, '' if it did not come to an end."""


class SampledWords:
  """Words by a `Sampler`."""

  def __init__(self, sampler: Sampler, tokenizer: ChatTokenizer, max_new_tokens: int = NEW_TOKENS, temperature: float = 1.0) -> None:
    self._sampler, self._tokenizer = sampler, tokenizer
    self._params = (max_new_tokens, temperature)

  async def write(self, prompt: str, seed: int) -> str:
    tokens, session = self._tokenizer.prompt([Message('user', prompt)], ()), f'words/{seed:016x}'
    limit, temperature = self._params
    try:
      sample = await self._sampler.sample(tokens, SampleParams(seed, limit, temperature, stop=self._tokenizer.stop_ids), session)
    finally:
      self._sampler.release(session)
    return self._tokenizer.decode_turn(sample.tokens) if sample.finish == 'stop' else ''


class VoicedServer:
  """`server` in the words of `words`. `written` keeps them by digest; `counts` tells what became of the texts asked for."""

  def __init__(
    self, server: ToolServer, tools: Sequence[Tool], words: Words, written: MutableMapping[str, str] | None = None,
    kept: Collection[JSON] = (), counts: collections.Counter[str] | None = None,
  ) -> None:
    self.server, self.words = server, words
    self.tools = {tool.name: tool for tool in tools}
    self.written: MutableMapping[str, str] = {} if written is None else written
    self.counts: collections.Counter[str] = collections.Counter() if counts is None else counts
    self.kept = frozenset(v for v in kept if isinstance(v, str))

  def open(self, seed: int, state: JSON = None) -> VoicedSession:
    return VoicedSession(self, self.server.open(seed, state), seed)


class VoicedSession:
  """A session whose answers are worded; its state is that of the session behind it."""

  def __init__(self, server: VoicedServer, inner: Session, seed: int) -> None:
    self._server, self._inner, self._seed = server, inner, seed

  async def call(self, call: Call) -> Result:
    result = await self._inner.call(call)
    tool = self._server.tools.get(call.tool) if isinstance(call.tool, str) else None
    if result.is_error or tool is None or arguments.absurd(call.arguments) or not isinstance(result.structured, (dict, list)):
      return result
    held = {*_texts(self._inner.snapshot()), *_texts(call.arguments), *self._server.kept}
    places = [(steps, text) for steps, text in _prose(result.structured, tool) if text not in held][:MAX_TEXTS]
    body: JSON = result.structured
    for steps, text in places:
      body = await self._worded(body, steps, text, tool, canonical(call, tool))
    return responses.success(body) if places else result

  async def _worded(self, body: JSON, steps: Steps, text: str, tool: Tool, asked: str) -> JSON:
    """`body` with the text at `steps` worded anew, or as it is."""
    key = hashlib.sha256(json.dumps([self._seed, self._inner.digest(), asked, steps, text]).encode()).hexdigest()
    if key not in self._server.written:
      told = await self._server.words.write(_prompt(tool, asked, steps, text), seeds.derive(0, 'words', key))
      fitting = _fitting(told)
      valid = fitting and (tool.output_schema is None or schemas.compiled(tool.output_schema).accepts(_replaced(body, steps, fitting)))
      self._server.counts['worded' if valid else 'left'] += 1
      self._server.written[key] = fitting if valid else text
    return _replaced(body, steps, self._server.written[key])

  def snapshot(self) -> JSON:
    return self._inner.snapshot()

  def difference(self) -> JSON:
    return self._inner.difference()

  def digest(self) -> str:
    return self._inner.digest()


def _prompt(tool: Tool, asked: str, steps: Steps, text: str) -> str:
  field = next((s for s in reversed(steps) if isinstance(s, str)), 'result')
  return (
    f'The tool {tool.name} ({tool.description[:MAX_TEXT]}) was called: {asked[:2 * MAX_TEXT]}\n'
    f'Write what it answers in its field "{field}", on one line of at most {MAX_TEXT} characters. A placeholder for it: {text[:MAX_TEXT]}\n'
    'Reply with the text alone.')


def _fitting(told: str) -> str:
  """The text that was meant, '' if it is none of one line and bounded length."""
  text = told.strip().strip('"').strip()
  return text if text.isprintable() and len(text) <= MAX_TEXT and not _FOREIGN & set(text) else ''


def _prose(body: JSON, tool: Tool) -> Iterator[tuple[Steps, str]]:
  """(steps to it, text) of what is prose by its name and free by its schema."""
  document = schemas.compiled(tool.output_schema if tool.output_schema is not None else {})

  def below(value: JSON, node: JSON, name: str, steps: Steps) -> Iterator[tuple[Steps, str]]:
    schema = document.resolve(node)
    if isinstance(value, Mapping):
      for key, member in value.items():
        yield from below(member, schema.get('properties', {}).get(key, {}), key, (*steps, key))
    elif isinstance(value, list):
      for i, member in enumerate(value):
        yield from below(member, schema.get('items', {}), name, (*steps, i))
    elif isinstance(value, str) and fields.maker(name) is fields.phrase and not _FIXED & set(schema) and values.type_of(schema) == 'string':
      yield steps, value

  yield from below(body, document.root, 'result', ())


def _texts(value: JSON) -> Iterator[str]:
  if isinstance(value, str):
    yield value
  elif isinstance(value, Mapping):
    for member in value.values():
      yield from _texts(member)
  elif isinstance(value, (list, tuple)):
    for member in value:
      yield from _texts(member)


def _replaced(body: JSON, steps: Steps, text: str) -> JSON:
  if not steps:
    return text
  first, rest = steps[0], steps[1:]
  if isinstance(body, Mapping):
    return {k: _replaced(v, rest, text) if k == first else v for k, v in body.items()}
  return [_replaced(v, rest, text) if i == first else v for i, v in enumerate(body)]
