"""What a sampler did: counters that only grow, and what they say about a stretch of work."""

from __future__ import annotations

import dataclasses
import time

from inftool_jax.sampling.requests import Job


@dataclasses.dataclass
class Stats:
  pages: int  # that there are
  requests: int = 0
  cached_tokens: int = 0  # of prompts, found in the cache
  prefilled_tokens: int = 0
  prefill_rows: int = 0  # that were computed for them
  sampled_tokens: int = 0
  decode_rows: int = 0  # that were computed for them
  dispatches: int = 0  # of decode
  evicted: int = 0  # conversations whose pages went to others between two turns
  pages_used: int = 0  # summed over the dispatches
  queued_s: float = 0.0  # from arrival to admission, summed over the requests
  host_s: float = 0.0  # scheduling around the dispatches
  device_s: float = 0.0  # waiting for them
  busy_s: float = 0.0  # with requests under way

  def admitted(self, job: Job) -> None:
    assert job.chain is not None
    self.requests += 1
    self.cached_tokens += len(job.chain.tokens)
    self.queued_s += time.monotonic() - job.arrived

  def prefilled(self, tokens: int, rows: int) -> None:
    self.prefilled_tokens += tokens
    self.prefill_rows += rows if tokens else 0

  def decoded(self, tokens: int, rows: int, pages_used: int) -> None:
    self.dispatches += 1
    self.sampled_tokens += tokens
    self.decode_rows += rows
    self.pages_used += pages_used

  def timed(self, host_s: float, device_s: float) -> None:
    self.host_s += host_s
    self.device_s += device_s

  def metrics(self, before: Stats) -> dict[str, float]:
    """What was done since `before`, a copy of these counters; rates are of the time that requests were under way."""
    d = {f.name: getattr(self, f.name) - getattr(before, f.name) for f in dataclasses.fields(self)}
    return {
      'sampled tokens/s': _share(d['sampled_tokens'], d['busy_s']),
      'prefilled tokens/s': _share(d['prefilled_tokens'], d['busy_s']),
      'occupancy': _share(d['sampled_tokens'], d['decode_rows']),
      'cache hits': _share(d['cached_tokens'], d['cached_tokens'] + d['prefilled_tokens']),
      'pages in use': _share(d['pages_used'], d['dispatches'] * self.pages),
      'evictions': float(d['evicted']),
      'host share': _share(d['host_s'], d['host_s'] + d['device_s']),
      'queue seconds': _share(d['queued_s'], d['requests']),
    }


def _share(part: float, whole: float) -> float:
  return part / whole if whole else 0.0
