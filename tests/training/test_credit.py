"""What each turn of a group's samples is worth."""

from __future__ import annotations

import numpy as np
import pytest

from inftool_jax.training import credit, objectives

REWARDS = np.array([1.0, 0.0, 0.5, 0.0])
EARNED = ((0.0, 0.5), (0.0, 0.5, 0.5), (0.0,), (0.0, 0.0))


def test_each_turn_has_its_return_against_that_of_the_same_turn_of_the_others() -> None:
  first, second = REWARDS, np.array([0.5, -0.5, 0.0])  # of the first, the second and the fourth sample
  got = credit.of_turns(REWARDS, EARNED, False)
  np.testing.assert_allclose([a[0] for a in got], first - first.mean(), rtol=1e-6)
  np.testing.assert_allclose([got[i][1] for i in (0, 1, 3)], second - second.mean(), atol=1e-7)
  assert got[1][2] == 0  # no other sample has a third turn
  assert [len(a) for a in got] == [2, 3, 1, 2]


@pytest.mark.parametrize('scale', [False, True])
def test_with_one_turn_it_is_the_advantage_of_the_trajectory(scale: bool) -> None:
  got = credit.of_turns(REWARDS, [(0.25,)] * 4, scale)
  np.testing.assert_allclose(np.concatenate(got), objectives.advantages(REWARDS[None], scale)[0], rtol=1e-5)


def test_equal_returns_have_advantage_exactly_0() -> None:
  got = credit.of_turns(np.array([0.6, 0.6, 0.6, 1.0]), [(0.0, 0.1)] * 3 + [(0.0,)], True)
  assert [a[1] for a in got[:3]] == [0, 0, 0] and got[0][0] < 0


def test_a_turn_is_a_run_of_trained_tokens() -> None:
  mask = [False, True, True, False, False, True, False]
  np.testing.assert_allclose(credit.spread(np.array([2.0, -1.0], np.float32), mask), [0, 2, 2, 0, 0, -1, 0])
  np.testing.assert_allclose(credit.spread(np.array([3.0], np.float32), [False, True]), [0, 3])
  with pytest.raises(ValueError, match='2 runs of trained tokens are not the 3 turns'):
    credit.spread(np.zeros(3), mask)
