"""One request from its arrival to its sample."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from inftool_jax.sampling.pages import Chain
from inftool_jax.sampling.programs import MAX_BANS, MAX_STOPS, SamplerConfig
from inftool_jax.types import Constraint, Finish, Sample, SampleParams

Stream = Callable[[Sequence[int], Sequence[float]], None]


def check(tokens: Sequence[int], params: SampleParams, vocab: int, context: int) -> None:
  """Raises ValueError that names everything that is wrong with a request."""
  p, wrong = params, []
  if not 0 < len(tokens) <= context:
    wrong.append(f'{len(tokens)} tokens, where 1 to {context} (the context) can be continued')
  for name, ids in (('the prompt', tokens), ('stop', p.stop), ('banned', p.banned)):
    if outside := next((t for t in ids if not 0 <= t < vocab), None):
      wrong.append(f'{name} has token id {outside}, the vocabulary {vocab}')
  for name, ids, most in (('stop', p.stop, MAX_STOPS), ('banned', p.banned, MAX_BANS)):
    if len(ids) > most:
      wrong.append(f'{len(ids)} {name} ids, where there is room for {most}')
  if not (math.isfinite(p.temperature) and p.temperature >= 0):
    wrong.append(f'temperature {p.temperature}, which is not a finite number from 0')
  if not 0 < p.top_p <= 1:
    wrong.append(f'top_p {p.top_p}, which is not above 0 and at most 1')
  if not 0 <= p.min_p <= 1:
    wrong.append(f'min_p {p.min_p}, which is not from 0 to 1')
  if not 0 <= p.top_k < 1 << 31:
    wrong.append(f'top_k {p.top_k}, which is negative or beyond 32 bits')
  if not 0 <= p.seed < 1 << 64:
    wrong.append(f'seed {p.seed}, which is negative or beyond 64 bits')
  if wrong:
    raise ValueError('a request cannot be served: ' + '; '.join(wrong))


class Job:
  """`chain` is None until it has pages."""

  def __init__(
    self, tokens: list[int], params: SampleParams, session: str, future: asyncio.Future[Sample], sizes: SamplerConfig,
    vocab: int, constraint: Constraint | None, stream: Stream | None,
  ):
    """Raises what `constraint` raises."""
    self.tokens, self.params, self.session, self.future = tokens, params, session, future
    self.constraint, self.stream = constraint, stream
    self.room = min(len(tokens) + params.max_new_tokens, sizes.context)  # tokens that it can grow to
    self.chain: Chain | None = None
    self.sampled: list[int] = []
    self.logprobs: list[float] = []
    self.fed = tokens[:-1]  # what has to be in the cache before the next token is drawn
    self.last = tokens[-1]  # what is fed next
    self.kept = True  # whether its conversation may go on
    self.cancelled = False
    self.arrived = time.monotonic()
    self.keys = tuple(_keys(self.fed, sizes.page))
    self.promised: tuple[int, ...] = ()  # those that others wait for
    # What its row of every dispatch says the same.
    p = params
    stops = [*p.stop, *[-1] * (MAX_STOPS - len(p.stop))]
    bans = [*p.banned, *[-1] * (MAX_BANS - len(p.banned))]
    self.words = np.array([p.seed >> 32, p.seed & 0xFFFFFFFF, p.top_k, *stops, *bans], np.int64)
    self.numbers = np.array([p.temperature, p.top_p, p.min_p], np.float32)
    self.allowed_W = np.zeros(-(-vocab // 32) if constraint else 0, np.int32)  # see `Constraint.allowed`
    self._see_allowed()

  @property
  def remaining(self) -> int:
    return self.room - len(self.tokens) - len(self.sampled)

  @property
  def pending(self) -> int:
    """Tokens to be prefilled."""
    assert self.chain is not None
    return len(self.fed) - len(self.chain.tokens)

  def late(self, now: float) -> bool:
    return self.params.deadline is not None and now - self.arrived > self.params.deadline

  def add(self, new: list[int], logprobs: list[float]) -> Finish | None:
    """Goes on with what was sampled and what must follow; why it is over, None if it is not.

    Raises what constraint and stream raise.
    """
    finish = self._extend(new, logprobs)
    if self.constraint is not None and not finish:
      self.constraint.accept(new)
      if forced := list(self.constraint.forced()[: self.remaining]):
        self.constraint.accept(forced)
        finish = self._extend(forced, [0.0] * len(forced))
      self._see_allowed()
    return finish

  def _see_allowed(self) -> None:
    if self.constraint is not None:
      self.allowed_W[:] = 0
      self.constraint.allowed(self.allowed_W)

  def _extend(self, new: list[int], logprobs: list[float]) -> Finish | None:
    if end := next((i + 1 for i, token in enumerate(new) if token in self.params.stop), 0):
      new, logprobs = new[:end], logprobs[:end]
    self.fed += [self.last, *new[:-1]]
    self.last = new[-1]
    self.sampled += new
    self.logprobs += logprobs
    if self.stream is not None:
      self.stream(tuple(new), tuple(logprobs))
    if end:
      return 'stop'
    return 'length' if self.remaining <= 0 else None

  def end(self, finish: Finish, version: int) -> None:
    if not self.future.done():
      self.future.set_result(Sample(tuple(self.sampled), tuple(self.logprobs), finish, version))


def _keys(tokens: Sequence[int], page: int):
  """(hash of all tokens up to a page's end, how many), page by page, the last one as far as it goes."""
  key = 0
  for end in range(page, len(tokens) + page, page):
    key = hash((key, *tokens[end - page : end]))
    yield key, min(end, len(tokens))
