"""Advantages of a group's turns. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def of_turns(rewards: np.ndarray, earned: Sequence[Sequence[float]], scale: bool) -> list[np.ndarray]:
  """Advantage of each turn of each sample of a group, float32 [turns of the sample].

  What the sample got from that turn on, less the mean of what the group's samples got from their turn of the same number on: the reward
  to go with a group baseline. In the first turn it is the advantage of the whole trajectory; later on, a sample does not pay for what it
  did before. The baseline of a turn that only one sample has is its own return, and the advantage 0.

  Args:
    rewards: [G], of the whole trajectories.
    earned: of each sample, what of its reward it had before each turn (`rewards.turns.earned`).
    scale: divide by the standard deviation of the group's rewards, as `objectives.advantages` does.
  """
  rewards = np.asarray(rewards, np.float64)
  to_go = [reward - np.asarray(before, np.float64) for reward, before in zip(rewards, earned, strict=True)]
  divisor = rewards.std() + 1e-4 if scale else 1.0
  out = [np.zeros(len(x), np.float32) for x in to_go]
  for turn in range(max(map(len, to_go), default=0)):
    present = [i for i, x in enumerate(to_go) if len(x) > turn]
    values = np.array([to_go[i][turn] for i in present])
    if (values != values[0]).any():  # as numbers: a rounded mean of equal ones is not always theirs
      for i, value in zip(present, (values - values.mean()) / divisor):
        out[i][turn] = value
  return out


def spread(of_turns: np.ndarray, mask: Sequence[bool]) -> np.ndarray:
  """The advantages of a sample's turns at its tokens, float32 [tokens]; a turn is a run of trained tokens.

  Raises ValueError when there are not as many runs as turns.
  """
  trained = np.asarray(mask, np.bool_)
  begins = trained & ~np.append(False, trained[:-1])
  if begins.sum() != len(of_turns):
    raise ValueError(f'{begins.sum()} runs of trained tokens are not the {len(of_turns)} turns that have advantages')
  return np.where(trained, np.append(np.float32(0), of_turns)[np.cumsum(begins)], np.float32(0))
