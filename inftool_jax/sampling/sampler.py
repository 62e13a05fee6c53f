"""The sampler that conversations talk to: `await sampler.sample(tokens, params, session)`.

Requests join and leave between dispatches. A conversation keeps its cache slot between turns, so that turn n+1
prefills only what is new; sessions that open with the same prompt (a group's samples) prefill it once.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling import programs
from inftool_jax.sampling.programs import Request, SamplerConfig
from inftool_jax.types import Finish, Sample, SampleParams

POSTPONED = 2  # decode dispatches that a request may wait for others to be prefilled with


@dataclasses.dataclass
class _Slot:
  """Host-side record of one cache slot: the tokens whose keys and values it holds."""

  tokens: list[int] = dataclasses.field(default_factory=list)
  session: str | None = None


@dataclasses.dataclass
class _Job:
  """One request from arrival to its sample."""

  tokens: list[int]
  params: SampleParams
  session: str
  future: asyncio.Future[Sample]
  slot: int = -1
  sampled: list[int] = dataclasses.field(default_factory=list)
  logprobs: list[float] = dataclasses.field(default_factory=list)


class BatchedSampler:
  """Implements `types.Sampler` on one device: weights that are divided over a mesh are gathered there. Not thread-safe: one event loop."""

  def __init__(self, params, config: DecoderConfig, sizes: SamplerConfig, version: int = 0):
    self.config, self.sizes, self.version = config, sizes, version
    self._params = _placed(params)
    self._slots = [_Slot() for _ in range(sizes.slots)]
    self._waiting: collections.deque[_Job] = collections.deque()
    self._running: dict[int, _Job] = {}
    self._driver: asyncio.Task | None = None
    self._cache = _placed(programs.empty_cache(config, sizes))
    self._prefill = jax.jit(functools.partial(_prefill, config), donate_argnums=1)
    # JAX keeps one cache of compiled programs for a function, whoever jits it: each sampler counts its own.
    self._copy = jax.jit(functools.partial(programs.copy), donate_argnums=0)
    self._decode = jax.jit(functools.partial(_decode, config, sizes.decode_steps), donate_argnums=1)
    self._postponed = 0  # dispatches that the waiting jobs have been put off for
    self.sampled_tokens = 0
    self.prefilled_tokens = 0

  @property
  def compilations(self) -> int:
    return sum(f._cache_size() for f in (self._prefill, self._copy, self._decode))  # type: ignore[attr-defined]

  def warm_up(self) -> None:
    """Compiles the three programs; nothing compiles after it."""
    R, T = self.sizes.prefill_rows, self.sizes.prefill_chunk
    spare = np.full((R,), self.sizes.slots, np.int32)
    self._cache = self._prefill(self._params, self._cache, np.zeros((R, T), np.int32), spare, np.zeros((R,), np.int32))
    self._cache = self._copy(self._cache, np.int32(self.sizes.slots), np.int32(self.sizes.slots))
    self._cache, *_ = self._decode(self._params, self._cache, self._request_arrays())

  def update(self, params, version: int) -> None:
    """Serves new weights under a new version; keys and values of the old ones are never used again.

    Raises:
      RuntimeError: a request is under way; every token of a sample has one version.
    """
    if self._running or self._waiting:
      raise RuntimeError('weights cannot change while requests are under way')
    self._params, self.version = _placed(params), version
    self._slots = [_Slot() for _ in range(self.sizes.slots)]

  async def sample(self, tokens: Sequence[int], params: SampleParams, session: str) -> Sample:
    """Continues `tokens`. Finish is `length` when max_new_tokens or the context is used up.

    Raises:
      ValueError: no tokens, or more stop ids than the programs were built for.
    """
    if not tokens or len(params.stop) > programs.MAX_STOPS:
      raise ValueError(f'need at least one token and at most {programs.MAX_STOPS} stop ids')
    if self._room(tokens, params) <= 0:
      return Sample((), (), 'length', self.version)
    job = _Job(list(tokens), params, session, asyncio.get_running_loop().create_future())
    self._waiting.append(job)
    if self._driver is None or self._driver.done():
      self._driver = asyncio.create_task(self._drive())
    return await job.future

  def release(self, session: str) -> None:
    """Frees the session's slot for another one."""
    for slot in self._slots:
      if slot.session == session:
        slot.session = None

  def _room(self, tokens: Sequence[int], params: SampleParams) -> int:
    return min(params.max_new_tokens, self.sizes.context - len(tokens))

  async def _drive(self) -> None:
    """Runs until nothing waits: admit and prefill, decode, hand out what finished, let the conversations go on."""
    try:
      while self._waiting or self._running:
        await _settle()
        if self._worth_prefilling():
          self._prefill_jobs(self._admit())
        if self._running:
          self._decode_once()
    except Exception as e:  # a failed dispatch must reach every conversation that waits for it
      for job in [*self._running.values(), *self._waiting]:
        if not job.future.done():
          job.future.set_exception(e)
      self._running.clear()
      self._waiting.clear()
      self._slots = [_Slot() for _ in range(self.sizes.slots)]  # what the cache holds now is not known
      raise

  def _worth_prefilling(self) -> bool:
    """A prefill costs the same for one row as for all: wait for company, but not long and not while nothing decodes."""
    enough = not self._running or len(self._waiting) >= self.sizes.prefill_rows or self._postponed >= POSTPONED
    self._postponed = 0 if enough or not self._waiting else self._postponed + 1
    return enough

  def _admit(self) -> list[_Job]:
    """Gives waiting jobs their slot, as far as there are any, in order of arrival; who gave up waiting gets none."""
    admitted: list[_Job] = []
    held = {slot.session: i for i, slot in enumerate(self._slots) if slot.session is not None}
    free = [i for i, slot in enumerate(self._slots) if slot.session is None]
    for _ in range(len(self._waiting)):
      job = self._waiting.popleft()
      if job.future.done():
        continue
      if job.session in held:
        job.slot = held[job.session]
      elif free:
        job.slot = free.pop(0)
        held[job.session] = job.slot
        # Nothing of the session before: keys that decoding made may differ in bits from those that prefilling makes.
        self._slots[job.slot] = _Slot(session=job.session)
      else:
        self._waiting.append(job)
        continue
      admitted.append(job)
      self._running[job.slot] = job
    return admitted

  def _prefill_jobs(self, jobs: list[_Job]) -> None:
    """Brings each job's slot to all of its tokens but the last, which the first decode step feeds."""
    leaders: dict[tuple[int, ...], _Job] = {}
    followers: list[tuple[_Job, _Job]] = []
    todo: list[tuple[_Job, int]] = []
    for job in jobs:
      slot = self._slots[job.slot]
      wanted = job.tokens[:-1]
      common = _common_prefix(slot.tokens, wanted)
      if common == len(slot.tokens) > 0:  # the next turn of the conversation this slot holds
        todo.append((job, common))
      elif tuple(wanted) in leaders:
        followers.append((job, leaders[tuple(wanted)]))
      else:
        leaders[tuple(wanted)] = job
        todo.append((job, 0))
    R = self.sizes.prefill_rows
    for i in range(0, len(todo), R):
      self._prefill_rows(todo[i : i + R])
    for job, leader in followers:
      self._cache = self._copy(self._cache, np.int32(leader.slot), np.int32(job.slot))
    for job in jobs:
      self._slots[job.slot].tokens = job.tokens[:-1]

  def _prefill_rows(self, todo: list[tuple[_Job, int]]) -> None:
    R, T = self.sizes.prefill_rows, self.sizes.prefill_chunk
    longest = max(len(job.tokens) - 1 - start for job, start in todo)
    for offset in range(0, longest, T):
      tokens = np.zeros((R, T), np.int32)
      slots = np.full((R,), self.sizes.slots, np.int32)
      starts = np.zeros((R,), np.int32)
      for r, (job, start) in enumerate(todo):
        chunk = job.tokens[start + offset : min(start + offset + T, len(job.tokens) - 1)]
        if chunk:
          tokens[r, : len(chunk)], slots[r], starts[r] = chunk, job.slot, start + offset
          self.prefilled_tokens += len(chunk)
      self._cache = self._prefill(self._params, self._cache, tokens, slots, starts)

  def _decode_once(self) -> None:
    self._cache, tokens, logps, emitted = self._decode(self._params, self._cache, self._request_arrays())
    tokens, logps, counts = np.asarray(tokens), np.asarray(logps), np.asarray(emitted).sum(axis=0)
    for slot, job in list(self._running.items()):
      n = int(counts[slot])
      new = tokens[:n, slot].tolist()
      # The cache now holds every token but the last sampled one.
      self._slots[slot].tokens += [self._last(job), *new[:-1]]
      job.sampled += new
      job.logprobs += logps[:n, slot].tolist()
      self.sampled_tokens += n
      stopped = new[-1] in job.params.stop
      if stopped or len(job.sampled) >= self._room(job.tokens, job.params):
        finish: Finish = 'stop' if stopped else 'length'
        del self._running[slot]
        if not job.future.done():
          job.future.set_result(Sample(tuple(job.sampled), tuple(job.logprobs), finish, self.version))

  @staticmethod
  def _last(job: _Job) -> int:
    return job.sampled[-1] if job.sampled else job.tokens[-1]

  def _request_arrays(self) -> Request:
    B = self.sizes.slots
    r = Request(
      last_B=np.zeros(B, np.int32),
      length_B=np.array([min(len(s.tokens), self.sizes.context) for s in self._slots], np.int32),
      active_B=np.zeros(B, bool),
      remaining_B=np.zeros(B, np.int32),
      seed_Bx2=np.zeros((B, 2), np.uint32),
      temperature_B=np.ones(B, np.float32),
      top_p_B=np.ones(B, np.float32),
      stop_BxN=np.full((B, programs.MAX_STOPS), -1, np.int32),
    )
    for slot, job in self._running.items():
      p = job.params
      r.last_B[slot], r.active_B[slot] = self._last(job), True
      r.remaining_B[slot] = self._room(job.tokens, p) - len(job.sampled)
      r.seed_Bx2[slot] = (p.seed >> 32) & 0xFFFFFFFF, p.seed & 0xFFFFFFFF
      r.temperature_B[slot], r.top_p_B[slot] = p.temperature, p.top_p
      r.stop_BxN[slot, : len(p.stop)] = p.stop
    return jax.tree.map(jnp.asarray, r)


async def _settle() -> None:
  """Lets the conversations that were just answered run up to their next request, so that they join this dispatch."""
  for _ in range(8):
    await asyncio.sleep(0)


def _placed(tree):
  """The arrays, committed to one device: computed ones are not, restored ones are, and either kind is a compilation of its own."""
  return jax.device_put(tree, jax.local_devices()[0])


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
  n = 0
  for x, y in zip(a, b):
    if x != y:
      break
    n += 1
  return n


def _prefill(config, params, cache, tokens_RxT, slots_R, starts_R):
  return programs.prefill(params, config, cache, tokens_RxT, slots_R, starts_R)


def _decode(config, steps, params, cache, request):
  return programs.decode(params, config, steps, cache, request)
