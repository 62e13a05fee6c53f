"""The text of an assistant turn to content and calls. Total: any text gives a message, at worst one with an error code.

What a call looks like is a matter of the checkpoint's chat template; `of` finds the format that reads what the template writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from inftool_jax.chat import hermes, llama3
from inftool_jax.chat.calls import Malformed
from inftool_jax.errors import CheckpointError
from inftool_jax.types import JSON, Call, Finish, Message


class Format(Protocol):
  """A form of tool calls: one module each."""

  NAME: str
  MARKERS: tuple[str, ...]  # what only the policy and the template write
  ENDS: tuple[str, ...]  # tokens that end a turn beside the one that the template ends it with

  def read(self, text: str) -> tuple[str, tuple[Call, ...]]:
    """Content and calls of a turn. Raises Malformed."""

  def document(self, message: Message) -> dict[str, JSON]:
    """An assistant's message as the template expects it."""

  def grammar(self, calls: Mapping[str, str], literal: Callable[[str], str]) -> str:
    """Turns that `read` reads, in llguidance's Lark: text, or calls whose arguments fit.

    Args:
      calls: name of each tool -> rule body of its arguments.
      literal: a marker as the grammar has to write it.
    """


FORMATS: tuple[Format, ...] = (hermes, llama3)


def parse(text: str, finish: Finish, form: Format = hermes) -> Message:
  """The assistant's message in `text`, its end-of-turn token already removed.

  With an error, the message has no calls and all of the text as its content, and `error` is a `ParseError`.
  """
  try:
    if finish == 'length':
      raise Malformed('truncated')
    if finish in ('cancelled', 'deadline'):
      raise Malformed('interrupted')
    content, calls = form.read(text)
  except Malformed as e:
    return Message('assistant', content=text, error=e.code)
  return Message('assistant', content=content, calls=calls)


def of(write_turn: Callable[[Mapping[str, JSON]], str]) -> Format:
  """The format of a chat template; `write_turn` gives the text of the assistant turn that it makes of a document.

  Raises:
    CheckpointError: the template writes calls in no form that we can read, or not at all.
  """
  probe = Message('assistant', calls=(Call('probe', {'value': 1}),))
  written = write_turn(hermes.document(probe))
  for form in FORMATS:
    if parse(written, 'stop', form).calls == probe.calls:
      return form
  have = ', '.join(form.NAME for form in FORMATS)
  raise CheckpointError(f'the chat template writes a tool call as {written[:200]!r}, which is no form that can be read; have {have}')
