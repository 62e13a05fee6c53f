"""Rows in fixed shapes: nothing lost, one denominator, no token trained that the policy did not sample."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from inftool_jax.data import packing
from inftool_jax.training import batching, step
from tests.training.rows import ADVANTAGE, FLAT, LAYOUTS, ROW, sequence

PACKED = LAYOUTS['packed']


@pytest.mark.parametrize(('rows', 'micro_batches'), [(1, 12), (2, 6), (5, 3), (16, 1)])
def test_every_row_is_in_the_batch_once_and_in_order(rows: int, micro_batches: int) -> None:
  batch = batching.batch(PACKED, rows, micro_batches, ADVANTAGE)
  n = PACKED.rows
  assert batch.used == math.ceil(n / rows)
  for name in step.Micro._fields:
    value = getattr(batch, name)
    assert value.shape == (micro_batches, rows, ROW)
    flat = value.reshape(-1, ROW)
    if name in ('tokens', 'segments', 'parents', 'positions'):
      np.testing.assert_array_equal(flat[:n], getattr(PACKED, f'{name}_BxT'))
    rest = flat[n:]
    assert (rest == (-1 if name == 'parents' else 0)).all()
  np.testing.assert_array_equal(batch.mask.reshape(-1, ROW)[:n], PACKED.loss_mask_BxT)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_token_has_its_own_sequences_advantage_and_the_total_counts_trained_tokens(layout: str) -> None:
  batch = batching.batch(LAYOUTS[layout], 2, 8, ADVANTAGE)
  trained = sum(sum(s.loss_mask) for s in FLAT)
  assert batch.tokens_total == trained == batch.mask.sum() < sum(len(s.tokens) for s in FLAT)
  found = sorted(batch.advantage[batch.mask].tolist())
  assert found == sorted(float(ADVANTAGE[i]) for i, s in enumerate(FLAT) for _ in range(sum(s.loss_mask)))
  assert (batch.behavior[batch.mask] == -2).all() and not batch.behavior[~batch.mask].any()


def test_a_trained_token_that_the_policy_did_not_sample_is_refused() -> None:
  scripted = dataclasses.replace(FLAT[0], logprobs=(math.nan,) * len(FLAT[0].tokens))
  packed = packing.pack([*FLAT[1:3], scripted], ROW)
  first = FLAT[0].loss_mask.index(True)
  with pytest.raises(ValueError, match=f'token {first} of sequence 2 is to be trained on but has no log-probability'):
    batching.batch(packed, 1, 4, np.ones(3))
  batch = batching.batch(packed, 1, 4)  # SFT needs none
  assert not np.isnan(batch.behavior).any() and not batch.advantage.any()


def test_a_trained_token_that_the_sampler_calls_impossible_is_refused() -> None:
  impossible = dataclasses.replace(FLAT[0], logprobs=(-math.inf,) * len(FLAT[0].tokens))
  with pytest.raises(ValueError, match='of sequence 0 is to be trained on but has the log-probability -inf'):
    batching.batch(packing.pack([impossible], ROW), 1, 4, np.ones(1))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_an_advantage_of_each_token_stands_at_that_token(layout: str) -> None:
  packed = LAYOUTS[layout]
  each = [100 * i + np.arange(len(s.tokens), dtype=np.float32) for i, s in enumerate(FLAT)]
  batch = batching.batch(packed, 2, 8, [*each[:-1], 7.0])
  found = batch.advantage.reshape(-1, ROW)[: packed.rows]
  for row, column in zip(*np.nonzero(packed.loss_mask_BxT)):
    i = packed.sequence_BxT[row, column]
    assert found[row, column] == (7.0 if i == len(FLAT) - 1 else 100 * i + packed.positions_BxT[row, column])


def test_demonstrations_are_marked_and_are_in_no_total() -> None:
  replayed = np.arange(len(FLAT)) % 3 == 0
  weight = np.arange(1.0, len(FLAT) + 1)
  batch = batching.batch(PACKED, 2, 6, np.where(replayed, 0, ADVANTAGE), weight, replayed)
  assert batch.tokens_total == batch.mask.sum() == sum(sum(s.loss_mask) for s, r in zip(FLAT, replayed) if not r)
  assert batch.replay.sum() == sum(sum(s.loss_mask) for s, r in zip(FLAT, replayed) if r) and not (batch.mask & batch.replay).any()
  assert not batch.behavior[batch.replay].any() and not batch.revisited
  for trained in (batch.mask, batch.replay):
    expected = [w for s, w, r in zip(FLAT, weight, replayed) for _ in range(sum(s.loss_mask)) if r == (trained is batch.replay)]
    assert sorted(batch.weight[trained].tolist()) == sorted(expected)
  scripted = dataclasses.replace(FLAT[0], logprobs=(math.nan,) * len(FLAT[0].tokens))
  batching.batch(packing.pack([scripted], ROW), 1, 1, np.zeros(1), None, np.array([True]))  # needs no log-probabilities


def test_an_advantage_without_a_token_is_refused() -> None:
  packed = packing.pack([FLAT[0], sequence([1, 2], [False, False])], ROW)
  with pytest.raises(ValueError, match='sequence 1 has an advantage but no token to train on'):
    batching.batch(packed, 1, 4, np.ones(2))
  batching.batch(packed, 1, 4, np.array([1.0, 0.0]))


def test_more_rows_than_room_is_refused() -> None:
  with pytest.raises(ValueError, match=f'{PACKED.rows} rows do not fit 2 micro-batches of 2'):
    batching.batch(PACKED, 2, 2, ADVANTAGE)


def test_nothing_to_train_is_a_batch_too() -> None:
  batch = batching.batch(packing.pack([], ROW), 2, 3, np.zeros(0))
  assert batch.used == 0 and batch.tokens_total == 0 and not batch.mask.any()
  untrained = batching.batch(packing.pack([sequence([1, 2], [False, False])], ROW), 2, 3, np.zeros(1))
  assert untrained.used == 1 and untrained.tokens_total == 0
