"""Thousands of conversations at a time, one coroutine each, in a fixed order whatever order they end in."""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from inftool_jax.errors import InftoolError
from inftool_jax.play.conversation import failed
from inftool_jax.types import Task, Trajectory

Play = Callable[[Task, int], Awaitable[Trajectory]]  # (task, sample) -> one conversation
Progress = Callable[[int, int, Mapping[str, int]], None]  # done, total, outcome -> count so far

_LOG = logging.getLogger(__name__)


async def play_many(
  tasks: Sequence[Task], samples: int, play: Play, concurrency: int, progress: Progress = lambda done, total, outcomes: None
) -> list[Trajectory]:
  """`samples` conversations of each task, at most `concurrency` at a time; conversations start in the order of the result.

  Returns them task by task and sample by sample. `play` makes the agents of one conversation and awaits
  `conversation.play`; if it raises, that conversation is a `verifier_error` with the exception as its note, logged with
  its traceback, and the others go on. Only an InftoolError, which every conversation would meet, is raised at once.
  """
  if samples < 1 or concurrency < 1:
    raise ValueError(f'samples={samples} and concurrency={concurrency} must be at least 1')
  total = len(tasks) * samples
  results: dict[int, Trajectory] = {}
  outcomes: collections.Counter[str] = collections.Counter()

  async def work(pending: Iterator[tuple[int, Task, int]]) -> None:
    for index, task, sample in pending:
      results[index] = await _played(play, task, sample)
      outcomes[results[index].outcome] += 1
      progress(len(results), total, dict(sorted(outcomes.items())))

  # One iterator for all workers: each takes the next conversation as soon as it is free.
  pending = ((t * samples + s, task, s) for t, task in enumerate(tasks) for s in range(samples))
  try:
    async with asyncio.TaskGroup() as group:
      for _ in range(min(concurrency, total)):
        group.create_task(work(pending))
  except ExceptionGroup as several:
    raise several.exceptions[0] from None
  return [results[i] for i in range(total)]


async def _played(play: Play, task: Task, sample: int) -> Trajectory:
  try:
    return await play(task, sample)
  except InftoolError:
    raise  # the user's to repair, and the same for every conversation
  except Exception as e:  # noqa: BLE001  one conversation never stops the others
    _LOG.exception('sample %d of task %s could not be played', sample, task.id)
    return failed(task, sample, 'verifier_error', f'{type(e).__name__}: {e}')
