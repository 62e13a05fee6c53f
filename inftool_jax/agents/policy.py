"""The policy as a speaker: the conversation's exact tokens in, sampled tokens out."""

from __future__ import annotations

import dataclasses

from inftool_jax.chat.parser import parse
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.types import Message, SampleParams, Sampler, View


class PolicyAssistant:
  """Speaks by sampling one turn after `view.tokens`; `session` names the conversation to the sampler."""

  def __init__(self, sampler: Sampler, tokenizer: ChatTokenizer, params: SampleParams, session: str) -> None:
    """`params.seed` is replaced by each turn's own seed; an empty `params.stop` means the tokenizer's stop ids."""
    self._sampler = sampler
    self._tokenizer = tokenizer
    self._params = dataclasses.replace(params, stop=params.stop or tokenizer.stop_ids)
    self._session = session

  async def speak(self, view: View, seed: int) -> Message:
    """The parsed turn with its sample; text that is no proper turn comes back as a message with an `error`."""
    sample = await self._sampler.sample(view.tokens, dataclasses.replace(self._params, seed=seed), self._session)
    message = parse(self._tokenizer.decode_turn(sample.tokens), sample.finish, self._tokenizer.format)
    return dataclasses.replace(message, sample=sample)

  def close(self) -> None:
    """Lets the sampler forget the conversation."""
    self._sampler.release(self._session)
