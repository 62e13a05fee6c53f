"""The tokens of one conversation, with what is known of each: one append-only record, so that nothing slips."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inftool_jax.types import Sample

NOT_SAMPLED = -1  # policy version of a token that no policy sampled


class Ledger:
  """Four columns of one length: token ids, whether the token is the assistant's own, its log-probability, its version.

  The assistant's own tokens are the trainable ones. Sampled ones carry log-probability and version; those of a scripted
  assistant, like all context, have NaN and `NOT_SAMPLED`.
  """

  def __init__(self) -> None:
    self._tokens: list[int] = []
    self._mask: list[bool] = []
    self._logprobs: list[float] = []
    self._versions: list[int] = []

  def __len__(self) -> int:
    return len(self._tokens)

  @property
  def tokens(self) -> tuple[int, ...]:
    return tuple(self._tokens)

  @property
  def loss_mask(self) -> tuple[bool, ...]:
    return tuple(self._mask)

  @property
  def logprobs(self) -> tuple[float, ...]:
    return tuple(self._logprobs)

  @property
  def versions(self) -> tuple[int, ...]:
    return tuple(self._versions)

  def context(self, tokens: Sequence[int]) -> None:
    """Appends what others said, generation prompt included."""
    self._append(tokens, False, [math.nan] * len(tokens), NOT_SAMPLED)

  def scripted(self, tokens: Sequence[int]) -> None:
    """Appends an assistant turn that was written, not sampled."""
    self._append(tokens, True, [math.nan] * len(tokens), NOT_SAMPLED)

  def sampled(self, sample: Sample) -> None:
    """Appends an assistant turn as it was sampled. Raises ValueError unless every token has its log-probability."""
    if len(sample.tokens) != len(sample.logprobs):
      raise ValueError(f'a sample of {len(sample.tokens)} tokens has {len(sample.logprobs)} log-probabilities')
    if any(math.isnan(p) for p in sample.logprobs):
      raise ValueError('a sampled token has no log-probability')
    self._append(sample.tokens, True, sample.logprobs, sample.version)

  def _append(self, tokens: Sequence[int], own: bool, logprobs: Sequence[float], version: int) -> None:
    self._tokens += tokens
    self._mask += [own] * len(tokens)
    self._logprobs += logprobs
    self._versions += [version] * len(tokens)
