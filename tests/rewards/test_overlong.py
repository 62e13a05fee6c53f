"""What length costs."""

from __future__ import annotations

import pytest

from inftool_jax.rewards.overlong import penalty


@pytest.mark.parametrize(('length', 'expected'), [(0, 0), (60, 0), (61, -0.025), (80, -0.5), (100, -1), (101, -1), (10_000, -1)])
def test_the_price_grows_over_the_buffer_and_stays(length: int, expected: float) -> None:
  assert penalty(length, 100, 40) == pytest.approx(expected)


def test_no_limit_costs_nothing_and_no_buffer_is_a_step() -> None:
  assert penalty(10**6, 0, 0) == 0
  assert [penalty(n, 10, 0) for n in (10, 11)] == [0, -1]
