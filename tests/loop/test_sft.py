"""What SFT shows the policy: every conversation once an epoch, those over the same tools behind one copy of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

from inftool_jax.data import packing
from inftool_jax.loop import playing, sft
from inftool_jax.synthesis.companions import companions
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS


@pytest.fixture(scope='module')
def played(context):
  tools = context.splits.train
  tasks = plan(tools, dict.fromkeys(KINDS, 2), 3, split='train')
  tasks += companions(tasks, tools, 3, 4, {'single': 1, 'irrelevance': 1}, split='train')
  return tasks, playing.play_all('test', tasks, 1, playing.scripted(context, 'train', 5), 64)


START = sft.Position()


def with_positions(context, played, count, first=START, **changes):
  tasks, trajectories = played
  settings = dataclasses.replace(context.settings.sft, rows=2, micro_batches=2, **changes)
  return list(itertools.islice(sft._batches(context, 'sft', trajectories, tasks, settings, first), count))


def batches(context, played, count, **changes):
  return [packed for packed, _ in with_positions(context, played, count, **changes)]


def trained(packed) -> list[tuple[int, ...]]:
  """The trained tokens of each sequence in these rows."""
  found: dict[tuple[int, int], list[int]] = {}
  for row, column in zip(*np.nonzero(packed.loss_mask_BxT)):
    found.setdefault((row, packed.segments_BxT[row, column]), []).append(int(packed.tokens_BxT[row, column]))
  return [tuple(v) for v in found.values()]


def test_an_epoch_trains_every_conversation_once_and_no_update_is_short(context, played, monkeypatch):
  monkeypatch.setattr(sft, 'WINDOW', 3)  # several windows, whose rests are carried on
  _, trajectories = played
  seen: list[tuple[int, ...]] = []
  for packed in batches(context, played, 200, masked=0.0):
    assert packed.rows == 4
    seen += trained(packed)
  wanted = Counter(tuple(i for i, m in zip(t.tokens, t.loss_mask) if m) for t in trajectories)
  epochs, rest = divmod(len(seen), len(trajectories))
  assert epochs > 2 and all(epochs * n <= Counter(seen)[answer] <= (epochs + 1) * n for answer, n in wanted.items())
  assert sum(Counter(seen).values()) == epochs * len(trajectories) + rest


def test_the_tools_are_read_once_for_all_conversations_of_a_row_that_offer_them(context, played):
  shared = sum(int((p.parents_BxT.max(axis=1) > 0).sum()) for p in batches(context, played, 8, masked=1.0))
  assert shared > 16  # of 32 rows


def test_masked_conversations_of_a_group_have_the_same_new_names(context, played):
  tasks, trajectories = played
  by_id = {t.id: t for t in tasks}
  group = max(sft._by_tools(trajectories, by_id), key=len)
  masked = sft._masked(context, group, by_id, ('lamp', 'river'), 3, context.settings.sft)
  texts = [context.tokenizer.decode(t.tokens).partition('</tools>')[0] for t in masked]
  assert len(group) > 2 and len(set(texts)) == 1
  assert texts[0] != context.tokenizer.decode(group[0].tokens).partition('</tools>')[0]
  for before, after in zip(group, masked):
    runs = [[k for k, _ in itertools.groupby(t.loss_mask)] for t in (before, after)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize('window', [1, 3, 96])  # an update's rows are of several windows, or a window's of several updates
def test_a_resumed_training_goes_on_with_the_same_rows_without_making_those_before_it(window, context, played, monkeypatch):
  monkeypatch.setattr(sft, 'WINDOW', window)
  undisturbed = with_positions(context, played, 40)
  assert undisturbed[-1][1].window * window > 2 * len(sft._by_tools(played[1], {t.id: t for t in played[0]}))  # several epochs
  for done in (1, 5, 20, 39):
    for (a, after_a), (b, after_b) in zip(undisturbed[done:], with_positions(context, played, 40 - done, undisturbed[done - 1][1])):
      assert after_a == after_b
      for name in packing._ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_conversation_that_new_names_make_too_long_is_shown_as_it_was(context, played):
  tasks, trajectories = played
  group = max(sft._by_tools(trajectories, {t.id: t for t in tasks}), key=len)[:2]
  tight = dataclasses.replace(context.settings.sft, row_length=max(len(t.tokens) for t in group))
  masked = sft._masked(context, group, {t.id: t for t in tasks}, ('supercalifragilistic',), 3, tight)
  assert masked == group
