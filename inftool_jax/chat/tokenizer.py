"""Messages to token ids and back, by a checkpoint's own tokenizer and chat template.

A conversation's tokens are `prompt(opening) + turn + suffix(what followed) + turn + ...`, where a turn is either what the
policy sampled, id for id, or `encode_turn` of a scripted message. A turn ends with its end-of-turn token; whatever the
template puts after that token (a newline, in ChatML) is the beginning of the suffix. No turn is ever encoded twice.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from inftool_jax.chat import parser
from inftool_jax.errors import CheckpointError
from inftool_jax.types import JSON, Message, Tool

if TYPE_CHECKING:
  from transformers import PreTrainedTokenizerBase

_SENTINEL = 'SENTINEL'  # stands for an assistant turn in the renderings that suffixes are cut from
# What templates look at beside messages and tools. Llama's would write today's date, so that a run would not be the same tomorrow;
# Qwen3's leaves the policy to think before it calls, in text that it then drops from the history of a conversation.
_VARIABLES: dict[str, Any] = {'date_string': '26 Jul 2024', 'enable_thinking': False}
_CACHED_PROMPTS, _CACHED_SUFFIXES = 512, 4096

Line = tuple[str, str]  # role, content


class ChatTokenizer:
  """Tokenizer and chat template of one checkpoint.

  Attributes:
    end_of_turn: the id that ends every assistant turn.
    stop_ids: all ids that end a sample, `end_of_turn` first.
    format: how the template writes tool calls.
    pad_id: the id to fill rows with.
    vocab_size: one more than the largest id, added tokens included; a model's embedding may have more rows.
  """

  def __init__(self, hf: PreTrainedTokenizerBase, stop_ids: Iterable[int] = ()) -> None:
    """Wraps a loaded tokenizer; `stop_ids` are further ids that end a sample. Raises CheckpointError on an unfit template."""
    self._hf = hf
    added = hf.get_added_vocab()
    self._end_text, self.end_of_turn = self._find_end_of_turn()
    self.format = parser.of(self._turn_text)
    self._foreign = _marker_pattern([*self.format.MARKERS, *added])
    self._turn_ends = (self.end_of_turn, *(int(added[text]) for text in self.format.ENDS if text in added))
    eos = [] if hf.eos_token_id is None else [int(hf.eos_token_id)]
    self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys([*self._turn_ends, *eos, *stop_ids]))
    self.pad_id = int(hf.pad_token_id) if hf.pad_token_id is not None else self.stop_ids[-1]
    self.vocab_size = 1 + max(hf.get_vocab().values())
    self._cached_prompt = functools.lru_cache(_CACHED_PROMPTS)(self._encode_prompt)
    self._cached_suffix = functools.lru_cache(_CACHED_SUFFIXES)(self._encode_suffix)

  @classmethod
  def load(cls, folder: str | pathlib.Path) -> ChatTokenizer:
    """The tokenizer of a Hugging Face model folder; nothing is downloaded. Raises CheckpointError naming what is wrong."""
    folder = pathlib.Path(folder)
    if not (folder / 'tokenizer_config.json').is_file():
      raise CheckpointError(f'{folder} has no tokenizer_config.json: it is not a Hugging Face model folder with a tokenizer')
    os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')  # "PyTorch was not found" says nothing to a user of JAX
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
      # tokenizer.json as it stands: beside a config.json of type qwen2, AutoTokenizer would split text by Qwen's own pattern
      # instead of the file's, and the policy would read other tokens than it was trained on.
      kind = PreTrainedTokenizerFast if (folder / 'tokenizer.json').is_file() else AutoTokenizer
      hf = kind.from_pretrained(str(folder), local_files_only=True)
    except Exception as e:  # whatever the library raises on a broken folder, the user can act on one message
      raise CheckpointError(f'the tokenizer in {folder} cannot be read: {e}') from e
    if not hf.chat_template:
      raise CheckpointError(f'the tokenizer in {folder} has no chat template: add chat_template to its tokenizer_config.json')
    import jinja2

    further = _generation_stop_ids(folder)
    if strange := [i for i in further if not 0 <= i < len(hf)]:
      raise CheckpointError(f'{folder}: generation_config.json ends texts with token {strange[0]}, the tokenizer has {len(hf)}')
    try:
      return cls(hf, further)
    except jinja2.TemplateError as e:
      raise CheckpointError(f'the chat template in {folder} cannot be used: {e}') from e

  @property
  def hugging_face(self) -> PreTrainedTokenizerBase:
    """The tokenizer itself, for libraries that take one."""
    return self._hf

  def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
    """Ids of system block with `tools`, `messages` (system and user turns), and the generation prompt."""
    return list(self._cached_prompt(tuple(self._lines(messages)), _ToolsKey(tools)))

  def suffix(self, messages: Sequence[Message]) -> list[int]:
    """Ids that follow an assistant turn's own tokens: `messages` (user and tool turns) and the next generation prompt."""
    return list(self._cached_suffix(tuple(self._lines(messages))))

  def encode_turn(self, message: Message) -> list[int]:
    """Ids of an assistant message that was not sampled, its end-of-turn token included.

    Raises ValueError if the message spells that token itself, or if the format has no such turns.
    """
    ids = self.encode_text(self._turn_text(self.format.document(message)) + self._end_text)
    if self.end_of_turn in ids[:-1]:
      raise ValueError(f'an assistant turn spells {self._end_text} in its own text')
    return ids

  def encode_text(self, text: str) -> list[int]:
    """Ids of `text` as it stands: no template, no token added."""
    # Behind a control token, because SentencePiece puts a blank before a text that begins with none. Templates write special tokens
    # themselves; the tokenizer's own would double them.
    return self._hf.encode(self._end_text + text, add_special_tokens=False)[1:]

  def decode(self, ids: Sequence[int]) -> str:
    """The text of `ids`, special tokens spelled out; invalid UTF-8 becomes U+FFFD."""
    return cast(str, self._hf.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

  def decode_turn(self, ids: Sequence[int]) -> str:
    """The text of a sampled turn without the end-of-turn token that closes it."""
    return self.decode(ids[:-1] if ids and ids[-1] in self._turn_ends else ids)

  def render_text(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """The whole conversation as the template writes it: for readers and tests, never for the policy."""
    documents: list[dict[str, JSON]] = []
    for message in messages:
      if message.role == 'assistant':
        documents.append(self.format.document(message))
      else:
        documents += _documents(self._lines([message]))
    return self._render(documents, tools, False)

  def _find_end_of_turn(self) -> tuple[str, int]:
    rendered = self._render([{'role': 'user', 'content': '.'}, {'role': 'assistant', 'content': _SENTINEL}], (), False)
    tail = rendered.rpartition(_SENTINEL)[2]
    for text, token in sorted(self._hf.get_added_vocab().items(), key=lambda item: -len(item[0])):
      if tail.startswith(text):
        return text, int(token)
    raise CheckpointError(f'the chat template does not close an assistant turn with a token of its own, but with {tail[:20]!r}')

  def _turn_text(self, document: Mapping[str, JSON]) -> str:
    """What the template writes for an assistant's message, between generation prompt and end-of-turn token."""
    opening: list[dict[str, JSON]] = [{'role': 'user', 'content': '.'}]
    before = self._render(opening, (), True)
    text = self._render([*opening, document], (), False)
    if not text.startswith(before):
      raise CheckpointError('the chat template writes assistant turns that do not begin with its own generation prompt')
    return text[len(before) : text.rindex(self._end_text)]

  def _lines(self, messages: Sequence[Message]) -> list[Line]:
    """What others wrote, one entry per template message; text that spells a control token is defused."""
    lines: list[Line] = []
    for message in messages:
      if message.role == 'assistant':
        raise ValueError('assistant turns are kept as tokens and never rendered into a prompt')
      contents = [r.content for r in message.results] if message.role == 'tool' else [message.content]
      lines += [(message.role, self._defused(content)) for content in contents]
    return lines

  def _defused(self, text: str) -> str:
    # Users and servers must not be able to end a turn or to write a call in the policy's name.
    clean = text.encode('utf-8', 'replace').decode('utf-8')
    return self._foreign.sub(lambda m: f'{m.group()[0]} {m.group()[1:]}', clean)

  def _encode_prompt(self, lines: tuple[Line, ...], tools: _ToolsKey) -> tuple[int, ...]:
    return tuple(self.encode_text(self._render(_documents(lines), tools.tools, True)))

  def _encode_suffix(self, lines: tuple[Line, ...]) -> tuple[int, ...]:
    before: list[dict[str, JSON]] = [{'role': 'user', 'content': '.'}, {'role': 'assistant', 'content': _SENTINEL}]
    text = self._render([*before, *_documents(lines)], (), True)
    return tuple(self.encode_text(text.partition(_SENTINEL + self._end_text)[2]))

  def _render(self, documents: Sequence[Mapping[str, JSON]], tools: Sequence[Tool], generate: bool) -> str:
    offered = [self._defused_document(tool_document(t)) for t in tools] or None
    conversation = cast('list[dict[str, str]]', list(documents))  # what the library's annotation takes a message for
    made = self._hf.apply_chat_template(conversation, tools=offered, add_generation_prompt=generate, tokenize=False, **_VARIABLES)
    return cast(str, made)

  def _defused_document(self, document: JSON) -> JSON:
    if isinstance(document, str):
      return self._defused(document)
    if isinstance(document, Mapping):
      return {self._defused(k): self._defused_document(v) for k, v in document.items()}
    if isinstance(document, (list, tuple)):
      return [self._defused_document(v) for v in document]
    return document


def tool_document(tool: Tool) -> dict[str, JSON]:
  """The OpenAI function document that chat templates expect of a tool."""
  function = {'name': tool.name, 'description': tool.description, 'parameters': tool.input_schema}
  return {'type': 'function', 'function': function}


class _ToolsKey:
  """Offered tools as a cache key: equal when they are the same objects, which the key keeps alive."""

  def __init__(self, tools: Sequence[Tool]) -> None:
    self.tools = tuple(tools)
    self._ids = tuple(map(id, self.tools))

  def __hash__(self) -> int:
    return hash(self._ids)

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _ToolsKey) and self._ids == other._ids


def _documents(lines: Iterable[Line]) -> list[dict[str, JSON]]:
  return [{'role': role, 'content': content} for role, content in lines]


def _marker_pattern(markers: Iterable[str]) -> re.Pattern[str]:
  longest_first = sorted({m for m in markers if len(m) > 1}, key=lambda m: (-len(m), m))
  return re.compile('|'.join(map(re.escape, longest_first)))


def _generation_stop_ids(folder: pathlib.Path) -> list[int]:
  """`eos_token_id` of generation_config.json: checkpoints that end texts in several ways list them there."""
  file = folder / 'generation_config.json'
  if not file.is_file():
    return []
  try:
    found = json.loads(file.read_text(encoding='utf-8')).get('eos_token_id')
  except (ValueError, AttributeError) as e:
    raise CheckpointError(f'{file} is not a JSON object: {e}') from e
  ids = found if isinstance(found, list) else [found]
  return [i for i in ids if isinstance(i, int)]
