"""The policy as a speaker: the conversation's exact tokens in, sampled tokens out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from inftool_jax.chat.parser import parse
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.types import Constraint, Message, SampleParams, Sampler, View

Constrain = Callable[[], Constraint]


class PolicyAssistant:
  """Speaks by sampling one turn after `view.tokens`; `session` names the conversation to the sampler."""

  def __init__(
    self, sampler: Sampler, tokenizer: ChatTokenizer, params: SampleParams, session: str, constrain: Constrain | None = None
  ) -> None:
    """`params.seed` is replaced by each turn's own seed; an empty `params.stop` means the tokenizer's stop ids.

    `constrain` makes a constraint for each turn.
    """
    self._sampler = sampler
    self._tokenizer = tokenizer
    self._params = dataclasses.replace(params, stop=params.stop or tokenizer.stop_ids)
    self._session = session
    self._constrain = constrain

  async def speak(self, view: View, seed: int) -> Message:
    """The parsed turn with its sample; text that is no proper turn comes back as a message with an `error`."""
    params = dataclasses.replace(self._params, seed=seed)
    constraint = self._constrain() if self._constrain else None
    sample = await self._sampler.sample(view.tokens, params, self._session, constraint=constraint)
    message = parse(self._tokenizer.decode_turn(sample.tokens), sample.finish, self._tokenizer.format)
    return dataclasses.replace(message, sample=sample)

  def close(self) -> None:
    """Lets the sampler forget the conversation."""
    self._sampler.release(self._session)
