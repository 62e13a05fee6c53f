"""The gated reward turn by turn: how much of it was earned before each of the assistant's turns."""

from __future__ import annotations

from collections.abc import Sequence

from inftool_jax.rewards import gates
from inftool_jax.types import Message, Task

GATES = ('parse', 'schema', 'execute', 'no_forbidden_effect', 'protocol')


def earned(task: Task, messages: Sequence[Message]) -> tuple[float, ...]:
  """Before each assistant turn, in [0, 1]: the match of the calls so far, or 0 from the turn on that closed a gate for good.

  A turn closes a gate if the gate is 0 from then to the end: a conversation that has yet to ask its question is not blamed for it. What
  was written is looked at by the calls that write, since the state is known at the end only. The differences of these numbers are gated
  rewards of turns; what the conversation's reward is more or less than they add up to belongs to its last turn.
  """
  turns = [i for i, m in enumerate(messages) if m.role == 'assistant']
  verdicts = [gates.score(task, messages[:end], {}) for end in (*turns, len(messages))]
  closed = min((_closed([getattr(v, gate) for v in verdicts]) for gate in GATES), default=0)
  return tuple(verdict.match if k < closed else 0.0 for k, verdict in enumerate(verdicts[:-1]))


def _closed(values: Sequence[int]) -> int:
  """Index from which on all are 0; their number if the last is not."""
  return max((i + 1 for i, value in enumerate(values) if value), default=0)
