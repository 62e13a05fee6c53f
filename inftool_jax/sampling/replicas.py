"""Several samplers with the same weights, each on devices of its own: conversations are divided among them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import jax

from inftool_jax.errors import ConfigError
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.requests import Stream
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.sampling.stats import Stats
from inftool_jax.types import Constraint, Sample, SampleParams


def divided(devices: Sequence[jax.Device], tensor: int) -> list[Sequence[jax.Device]]:
  """The devices of each replica. Raises ConfigError if they cannot be divided so."""
  if len(devices) % tensor:
    raise ConfigError(f'--config.sampling.tensor={tensor}: the {len(devices)} devices cannot be divided into replicas of so many')
  return [devices[i : i + tensor] for i in range(0, len(devices), tensor)]


class Replicas:
  """Implements `types.Sampler`. A conversation stays where it began; those that open alike (a group's samples) go to one place."""

  def __init__(
    self, params, config: DecoderConfig, sizes: SamplerConfig, tensor: int = 1, version: int = 0, devices: Sequence[jax.Device] = ()
  ):
    """A replica for every `tensor` of the devices, by default all of this process.

    Raises:
      ConfigError: they are not so many, do not divide the model, or their memory does not hold the cache of a single conversation.
    """
    self.all = [BatchedSampler(params, config, sizes, version, its) for its in divided(devices or jax.local_devices(), tensor)]
    self._home: dict[str, BatchedSampler] = {}  # by session
    self._openings: dict[tuple[int, ...], BatchedSampler] = {}  # by the first page's tokens
    self._under_way: collections.Counter[int] = collections.Counter()  # requests, by number of replica

  @property
  def version(self) -> int:
    return self.all[0].version

  @property
  def slots(self) -> int:
    """Requests that run at once."""
    return sum(replica.sizes.slots for replica in self.all)

  @property
  def compilations(self) -> int:
    return sum(replica.compilations for replica in self.all)

  @property
  def stats(self) -> Stats:
    """Of all replicas together; they are busy at the same time."""
    each = [dataclasses.asdict(replica.stats) for replica in self.all]
    return Stats(**{name: max(s[name] for s in each) if name == 'busy_s' else sum(s[name] for s in each) for name in each[0]})

  def warm_up(self, *say: Callable[[str], None]) -> None:
    """Compiles all programs; nothing compiles after it."""
    for replica in self.all:
      replica.warm_up(*say)

  def update(self, params, version: int) -> None:
    """See `BatchedSampler.update`; all replicas or none."""
    for replica in self.all:
      replica.refuse_under_way('weights cannot change')
    for replica in self.all:
      replica.update(params, version)
    self._openings.clear()

  def free(self) -> None:
    """See `BatchedSampler.free`."""
    for replica in self.all:
      replica.free()
    self._openings.clear()

  async def sample(
    self, tokens: Sequence[int], params: SampleParams, session: str, *, constraint: Constraint | None = None, stream: Stream | None = None
  ) -> Sample:
    """See `BatchedSampler.sample`."""
    replica = self._of(tokens, session)
    number = self.all.index(replica)
    self._under_way[number] += 1
    try:
      return await replica.sample(tokens, params, session, constraint=constraint, stream=stream)
    finally:
      self._under_way[number] -= 1

  def cancel(self, session: str) -> None:
    """See `BatchedSampler.cancel`."""
    if session in self._home:
      self._home[session].cancel(session)

  def release(self, session: str) -> None:
    """The conversation is over: others may have its pages."""
    if replica := self._home.pop(session, None):
      replica.release(session)

  def _of(self, tokens: Sequence[int], session: str) -> BatchedSampler:
    if session not in self._home:
      idlest = min(range(len(self.all)), key=lambda i: self._under_way[i])
      opening = tuple(tokens[: self.all[0].sizes.page])
      self._home[session] = self._openings.setdefault(opening, self.all[idlest])
    return self._home[session]
