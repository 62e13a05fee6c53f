"""Constraints on what is sampled: turns whose calls are well-formed and fit their schemas, or JSON of a schema. By llguidance, an extra."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.errors import ConfigError
from inftool_jax.types import JSON, Tool

# As chat templates write JSON; what llguidance does not know of a schema is left unconstrained.
_STYLE = {'whitespace_flexible': False, 'item_separator': ', ', 'key_separator': ': ', 'lenient': True}
_COMPILED = 256  # grammars that are kept: the conversations of a group offer the same tools


class Grammars:
  """Makes constraints over one tokenizer, for a model whose head has `vocab` rows."""

  def __init__(self, tokenizer: ChatTokenizer, vocab: int) -> None:
    """Raises ConfigError if llguidance is not installed."""
    try:
      import llguidance.hf
    except ImportError as e:
      raise ConfigError("grammar-constrained sampling needs llguidance: pip install 'inftool_jax[grammar]'") from e
    self._tokenizer = tokenizer
    hf: Any = tokenizer.hugging_face
    self._ll = llguidance.hf.from_tokenizer(hf, n_vocab=vocab, eos_token=list(tokenizer.stop_ids))
    self._ids = {text: i for text, i in hf.get_added_vocab().items() if self._ll.is_special_token(i)}
    self._compiled = functools.lru_cache(_COMPILED)(self._compile)

  def turn(self, tools: Sequence[Tool]) -> LLConstraint:
    """An assistant's turn: text, or calls of these tools."""
    arguments = {tool.name: f'%json {_schema(tool.input_schema)}' for tool in tools}
    return self._constraint(self._tokenizer.format.grammar(arguments, self._literal))

  def json(self, schema: Mapping[str, JSON]) -> LLConstraint:
    """JSON of the schema and nothing else. Raises ValueError if the schema cannot be followed."""
    return self._constraint(f'start: %json {_schema(schema)}')

  def _literal(self, text: str) -> str:
    """A token of its own is no text to llguidance, whatever it is spelled like."""
    return f'<[{self._ids[text]}]>' if text in self._ids else json.dumps(text)

  def _constraint(self, grammar: str) -> LLConstraint:
    return LLConstraint(self._compiled(grammar).deep_copy())

  def _compile(self, grammar: str) -> Any:
    import llguidance

    matcher = llguidance.LLMatcher(self._ll, grammar)
    if problem := matcher.get_error():
      raise ValueError(f'a grammar that does not compile: {problem.splitlines()[0]}')
    return matcher


def _schema(schema: Mapping[str, JSON]) -> str:
  return json.dumps({**schema, 'x-guidance': _STYLE}, ensure_ascii=False)


class LLConstraint:
  """`types.Constraint` by a matcher of llguidance's."""

  def __init__(self, matcher: Any) -> None:
    self._matcher = matcher

  def allowed(self, bits_W: Any) -> None:
    """Raises ValueError if the matcher gave up, as it does on grammars that are too complex for it."""
    import llguidance.numpy

    llguidance.numpy.fill_next_token_bitmask(self._matcher, bits_W[None], 0)
    self._check()

  def accept(self, tokens: Sequence[int]) -> None:
    if not self._matcher.is_stopped():  # after the last token that the grammar has, only the end follows
      self._matcher.consume_tokens(list(tokens))
      self._check()

  def forced(self) -> Sequence[int]:
    return self._matcher.compute_ff_tokens()

  def _check(self) -> None:
    if self._matcher.is_error():
      raise ValueError(f'the grammar cannot be followed: {self._matcher.get_error().splitlines()[0]}')
