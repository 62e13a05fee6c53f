"""The sampler that conversations talk to: `await sampler.sample(tokens, params, session)`.

Requests join and leave between dispatches. A conversation keeps its pages between turns, so that turn n+1 prefills only what is new;
whatever begins with the same tokens (a group's samples, the tools' descriptions) shares the pages that hold them. Without a page to
spare, what nobody uses goes first, then the conversations that wait longest for their tool; they are read again when they come back.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from inftool_jax.models import paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling import memory, programs, work
from inftool_jax.sampling.pages import SCRAP, Chain, Copy, Pages
from inftool_jax.sampling.places import Places
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.requests import Job, Stream, check
from inftool_jax.sampling.stats import Stats
from inftool_jax.types import Constraint, Finish, Sample, SampleParams

logger = logging.getLogger(__name__)

POSTPONED = 2  # decode dispatches that a request may wait for others to be prefilled with
PREFILLS = 16  # prefills between two decode dispatches at most
FAILURES = 2  # dispatches that fail one after the other before the requests do


class BatchedSampler:
  """Implements `types.Sampler` on one device, or on several that divide heads, feed-forward and vocabulary. One event loop, one thread."""

  def __init__(self, params, config: DecoderConfig, sizes: SamplerConfig, version: int = 0, devices: Sequence[jax.Device] = ()):
    """`devices`: of this process, by default its first; weights that lie elsewhere, or otherwise divided, are brought there.

    Raises:
      ConfigError: the devices do not divide the model, or their memory does not hold the cache of a single conversation.
    """
    self.config, self.sizes, self.version = config, sizes, version
    self._places = Places.over(devices or jax.local_devices()[:1], config, sizes.int8)
    self._params = self._places.params(params, self.config)
    self._pages = Pages(memory.pages(sizes, self._places), sizes.page)
    self._new_pool = self._places.new_pool(self._pages.count, sizes.page)
    self._pool: paged.Pool | None = None
    self._sessions: collections.OrderedDict[str, Chain] = collections.OrderedDict()  # between two turns, the longest idle first
    self._waiting: collections.deque[Job] = collections.deque()
    self._running: list[Job] = []
    self._promised: collections.Counter[int] = collections.Counter()  # keys of what is being prefilled, see `Job.keys`
    self._driver: asyncio.Task | None = None
    self._prefill, self._copy, self._decode = programs.make(sizes, self._places)
    self._postponed = 0  # dispatches that the waiting requests have been put off for
    self.stats = Stats(pages=self._pages.count - 1)

  @property
  def compilations(self) -> int:
    return sum(f._cache_size() for f in (self._prefill, self._copy, self._decode))  # type: ignore[attr-defined]

  def warm_up(self, say: Callable[[str], None] = logger.info) -> None:
    """Compiles all programs; nothing compiles after it."""
    for rows in self.sizes.prefill_rows:
      say(f'sampler: compiling the prefill of {rows} tokens')
      self._run_prefill([], rows)
    say('sampler: compiling the copy of pages')
    self._copy_pages([], [])
    for rows in self.sizes.decode_rows:
      say(f'sampler: compiling the decode of {rows} requests')
      self._dispatch_decode([], rows)

  def update(self, params, version: int) -> None:
    """Serves new weights under a new version; keys and values of the old ones are never used again.

    The old weights go one by one as the new ones come; if these end midway, there is nothing to sample from.

    Raises:
      RuntimeError: a request is under way; every token of a sample has one version.
    """
    self.refuse_under_way('weights cannot change')
    old, self._params = self._params, {}
    self._params, self.version = self._places.params(params, self.config, old), version
    self._forget()

  def forget(self) -> None:
    """Empties the cache. Raises RuntimeError when a request is under way."""
    self.refuse_under_way('the cache cannot be emptied')
    self._forget()

  def free(self) -> None:
    """Gives the cache's memory back, until the next request. Raises RuntimeError when a request is under way."""
    self.refuse_under_way('the cache cannot go')
    self._pool = None
    self._forget()

  async def sample(
    self, tokens: Sequence[int], params: SampleParams, session: str, *, constraint: Constraint | None = None, stream: Stream | None = None
  ) -> Sample:
    """Continues `tokens`. Finish is `length` when max_new_tokens or the context is used up.

    `stream` is called with each dispatch's new tokens and log-probabilities. A request whose caller is cancelled leaves at the next
    dispatch. While a request with a `constraint` runs, a dispatch is one step. Tokens that a constraint forces are not sampled: their
    log-probability is 0.

    Raises:
      ValueError: the request cannot be served by any sampler of this size; the message says why.
    """
    check(tokens, params, self.config.vocab, self.sizes.context)
    future = asyncio.get_running_loop().create_future()
    job = Job(list(tokens), params, session, future, self.sizes, self.config.vocab, constraint, stream)
    if job.remaining <= 0:
      return Sample((), (), 'length', self.version)
    self._waiting.append(job)
    if self._driver is None or self._driver.done():
      self._driver = asyncio.create_task(self._drive())
    return await job.future

  def cancel(self, session: str) -> None:
    """Ends the session's request at the next dispatch, with what it has: finish `cancelled`."""
    for job in self._under_way():
      if job.session == session:
        job.cancelled = True

  def release(self, session: str) -> None:
    """The conversation is over: others may have its pages."""
    if chain := self._sessions.pop(session, None):
      self._pages.close(chain)
    for job in self._under_way():
      job.kept &= job.session != session

  @property
  def pages_in_use(self) -> int:
    """By requests under way and conversations between two turns; what is only remembered does not count."""
    return self._pages.used

  def _under_way(self) -> Iterator[Job]:
    yield from self._running
    yield from self._waiting

  def refuse_under_way(self, what: str) -> None:
    """Raises RuntimeError when a request is under way."""
    if self._running or self._waiting:
      raise RuntimeError(f'{what} while requests are under way')

  def _forget(self) -> None:
    self._pages.clear()
    self._sessions.clear()
    self._promised.clear()

  async def _drive(self) -> None:
    """Runs until nothing waits: admit and prefill, decode, hand out what finished, let the conversations go on."""
    failures = 0
    while self._waiting or self._running:
      started = time.monotonic()
      await _settle()
      try:
        self._end_early()
        if self._worth_prefilling():
          self._prefill_all()
        if ready := [job for job in self._running if not job.pending]:
          await self._decode_once(ready)
        failures = 0
      except Exception as e:  # noqa: BLE001 - whatever it is, it must reach the conversations that wait
        failures += 1
        self._start_over(e, failures >= FAILURES)
      self.stats.busy_s += time.monotonic() - started

  def _end_early(self) -> None:
    now = time.monotonic()
    for job in [job for job in self._under_way() if job.future.done() or job.cancelled or job.late(now)]:
      finish: Finish = 'deadline' if job.late(now) else 'cancelled'
      if job.chain is None:
        self._waiting.remove(job)
        job.end(finish, self.version)
      else:
        self._end(job, finish)

  def _end(self, job: Job, finish: Finish) -> None:
    """A running job leaves; its conversation keeps the pages unless its caller is gone."""
    self._running.remove(job)
    self._promised_is_done(job)
    chain = job.chain
    assert chain is not None
    self._pages.trim(chain)
    if job.kept and not job.future.done():
      if former := self._sessions.pop(job.session, None):
        self._pages.close(former)
      self._sessions[job.session] = chain
    else:
      self._pages.close(chain)
    job.end(finish, self.version)

  def _start_over(self, error: Exception, give_up: bool) -> None:
    """What the cache holds now is not known: the requests begin again from their tokens, or fail if that was tried."""
    self._pool = None
    self._forget()
    jobs, self._running = [*self._running, *self._waiting], []
    self._waiting.clear()
    for job in jobs:
      job.chain, job.promised = None, ()
    if not give_up:
      reason = f'{type(error).__name__}: {error}'
      logger.error('A dispatch of the sampler failed; its %d requests go on from their tokens. %s', len(jobs), reason)
      self._waiting.extend(jobs)
      return
    for job in jobs:
      if not job.future.done():
        job.future.set_exception(error)

  def _worth_prefilling(self) -> bool:
    """A prefill of few tokens costs nearly that of many: wait for company, but not long and not while nothing decodes."""
    if not self._waiting and not any(job.pending for job in self._running):
      return False
    enough = self._postponed >= POSTPONED or all(job.pending for job in self._running)
    enough = enough or sum(len(job.tokens) for job in self._waiting) >= self.sizes.prefill
    self._postponed = 0 if enough else self._postponed + 1
    return enough

  def _prefill_all(self) -> None:
    for _ in range(PREFILLS):
      self._admit()
      if not (pending := [job for job in self._running if job.pending]):
        return
      self._run_prefill(pending, self.sizes.prefill)

  def _admit(self) -> None:
    """Lets waiting requests in, in order of arrival: as many as there are slots and pages for.

    One whose beginning is just being prefilled for another waits for that.
    """
    copies: list[Copy] = []
    for job in list(self._waiting):
      if len(self._running) == self.sizes.slots:
        break
      if self._promised_more(job):
        continue
      if not self._place(job, copies):
        break
      self._waiting.remove(job)
      self._running.append(job)
      self._promise(job)
      self.stats.admitted(job)
    self._run_copies(copies)

  def _promise(self, job: Job) -> None:
    if job.pending:
      job.promised = tuple(key for key, _ in job.keys)
      self._promised.update(job.promised)

  def _promised_is_done(self, job: Job) -> None:
    self._promised.subtract(job.promised)
    job.promised = ()

  def _promised_more(self, job: Job) -> bool:
    covered = max((n for key, n in job.keys if self._promised[key] > 0), default=0)
    return covered > 0 and covered > self._pages.known(job.fed) and not self._continues(job)

  def _continues(self, job: Job) -> bool:
    chain = self._sessions.get(job.session)
    return chain is not None and job.fed[: len(chain.tokens)] == chain.tokens

  def _place(self, job: Job, copies: list[Copy]) -> bool:
    """Gives the job pages for all that it may become; False if there are not enough yet."""
    continues = self._continues(job)
    chain = self._sessions.pop(job.session, None)
    if chain is not None and not continues:
      self._pages.close(chain)
      chain = None
    while True:
      if chain is not None:
        if self._pages.extend(chain, job.room):
          job.chain = chain
          return True
      elif opened := self._pages.open(job.fed, job.room):
        job.chain, copy = opened
        copies += [copy] if copy else []
        return True
      if not self._sessions:
        break
      self._pages.close(self._sessions.popitem(last=False)[1])
      self.stats.evicted += 1
    if chain is not None:
      self._sessions[job.session] = chain
    return False

  def _run_copies(self, copies: Sequence[Copy]) -> None:
    for i in range(0, len(copies), programs.COPIES):
      some = copies[i : i + programs.COPIES]
      self._copy_pages([copy.source.page for copy in some], [copy.target for copy in some])
    for copy in copies:
      self._pages.copied(copy)

  def _copy_pages(self, sources: Sequence[int], targets: Sequence[int]) -> None:
    source_C, target_C = np.full((2, programs.COPIES), SCRAP, np.int32)
    source_C[: len(sources)], target_C[: len(targets)] = sources, targets
    self._pool = self._copy(self._opened(), source_C, target_C)

  def _opened(self) -> paged.Pool:
    if self._pool is None:
      self._pool = self._new_pool()
    return self._pool

  def _run_prefill(self, jobs: Sequence[Job], most: int) -> None:
    """Feeds the first `most` of the tokens that the jobs still have to be read."""
    takes: list[tuple[Job, int, list[int]]] = []
    left = most
    for job in jobs:
      chain = job.chain
      assert chain is not None
      start = len(chain.tokens)
      takes.append((job, start, job.fed[start : start + left]))
      left -= len(takes[-1][2])
      if not left:
        break
    rows = next(n for n in self.sizes.prefill_rows if n >= most - left) if jobs else most
    tokens = programs.empty_tokens(rows)
    seen: list[np.ndarray] = []
    for job, start, new in takes:
      pages = np.array(job.chain.pages, np.int32)  # type: ignore[union-attr]
      at, positions = len(seen), np.arange(start, start + len(new))
      tokens.token_N[at : at + len(new)], tokens.position_N[at : at + len(new)] = new, positions
      tokens.page_N[at : at + len(new)] = pages[positions // self.sizes.page]
      seen += [pages[: p // self.sizes.page + 1] for p in positions]
    todo = work.plan(seen, rows, self.sizes.blocks)
    self._pool = self._prefill(self._params, self._opened(), tokens, todo)
    for job, _, new in takes:
      self._pages.fill(job.chain, new)  # type: ignore[arg-type]
      if not job.pending:
        self._promised_is_done(job)
    self.stats.prefilled(most - left, rows)

  async def _decode_once(self, ready: list[Job]) -> None:
    started = time.monotonic()
    rows = next(n for n in self.sizes.decode_rows if n >= len(ready))
    found = self._dispatch_decode(ready, rows)
    dispatched = time.monotonic()
    tokens, logps, emitted = await asyncio.to_thread(jax.device_get, found)  # conversations go on meanwhile
    arrived = time.monotonic()
    counts = emitted.sum(axis=0)
    for row, job in enumerate(ready):
      n = int(counts[row])
      new = tokens[:n, row].tolist()
      self._pages.fill(job.chain, [job.last, *new[:-1]])  # type: ignore[arg-type]
      try:
        finish = job.add(new, logps[:n, row].tolist())
      except Exception as e:  # noqa: BLE001 - the caller's own constraint or stream: nobody else's business
        job.future.set_exception(e)
        finish = 'cancelled'
      if finish:
        self._end(job, finish)
    self.stats.decoded(int(counts.sum()), rows * int(emitted.any(axis=1).sum()), self._pages.used)
    self.stats.timed(dispatched - started + time.monotonic() - arrived, arrived - dispatched)

  def _dispatch_decode(self, jobs: Sequence[Job], rows: int):
    size, r, n = self.sizes.page, programs.empty_request(self.sizes, rows, self.config.vocab), len(jobs)
    seen: list[np.ndarray] = []
    if jobs:
      words, numbers = np.stack([job.words for job in jobs]), np.stack([job.numbers for job in jobs])
      c, stops = r.choice, 3 + programs.MAX_STOPS
      c.seed_Nx2[:n], c.top_k_N[:n], r.stop_NxM[:n], c.ban_NxM[:n] = words[:, :2], words[:, 2], words[:, 3:stops], words[:, stops:]
      c.temperature_N[:n], c.top_p_N[:n], c.min_p_N[:n] = numbers.T
      r.last_N[:n], r.length_N[:n] = [job.last for job in jobs], [len(job.fed) for job in jobs]
      r.remaining_N[:n], r.active_N[:n] = [job.remaining for job in jobs], True
    for row, job in enumerate(jobs):
      pages, length = np.array(job.chain.pages, np.int32), len(job.fed)  # type: ignore[union-attr]
      first, end = length // size, (length + min(self.sizes.decode_steps, job.remaining) - 1) // size + 1
      seen.append(pages[:end])
      r.page_NxA[row, : end - first] = pages[first:end]
      if job.constraint is not None:
        c.allowed_NxW[row], c.constrained_N[row] = job.allowed_W, True
    if r.choice.constrained_N.any():
      r = r._replace(steps=np.int32(1))
    self._pool, *found = self._decode(self._params, self._opened(), r, work.plan(seen, rows, self.sizes.blocks))
    return found


async def _settle() -> None:
  """Lets the conversations that were just answered run up to their next request, so that they join this dispatch."""
  for _ in range(8):
    await asyncio.sleep(0)
