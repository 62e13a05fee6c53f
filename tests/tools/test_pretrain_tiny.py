"""The base's training: rows that keep documents apart, and nothing lost on a stop."""

import functools

import numpy as np
import pytest
from jax.tree_util import tree_leaves

from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.loop.context import SHIPPED
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface
from tools import pretrain_tiny, tiny_rows

TOKENIZER = SHIPPED / 'tokenizer.json'
SHORT = (
  pretrain_tiny.Course({'table': 1.0}, 1, 64, 4, short=True),
  pretrain_tiny.Course({'cards': 0.5, 'repeats': 0.5}, 1, 64, 5),
)


def test_a_row_holds_documents_apart_from_each_other():
  rows = tiny_rows.Drawer(str(TOKENIZER), 0, {'table': 0.5, 'repeats': 0.5}, 4, 256, False).draw(1)
  for tokens, segments, positions, weights, _, _ in zip(*rows):
    for segment in range(1, segments.max() + 1):
      here = segments == segment
      assert (positions[here] == np.arange(here.sum())).all()
      assert weights[here][0] == 0  # no document predicts the next one's first token
      assert (weights[here][1:] > 0).all()
    assert (weights[segments == 0] == 0).all() and (tokens[segments == 0] == 0).all()
  assert (rows.weights_BxT >= 1).any()


def test_what_a_token_points_to_is_in_its_own_document():
  rows = tiny_rows.Drawer(str(TOKENIZER), 0, {'selection': 0.5, 'cards': 0.5}, 4, 512, False).draw(1)
  for tokens, segments, own, meant in zip(rows.tokens_BxT, rows.segments_BxT, rows.own_BxTx2, rows.meant_BxTx2):
    for pointers in (own, meant):
      for at in np.flatnonzero(pointers[:, 0] >= 0):
        before = tokens[:at][segments[:at] == segments[at]]
        assert pointers[at, 0] in before
        assert (pointers[at] >= 0).all()
  assert (rows.own_BxTx2 >= 0).any() and (rows.meant_BxTx2 >= 0).any()
  assert not ((rows.own_BxTx2 >= 0) & (rows.meant_BxTx2 >= 0)).any()


def test_an_updates_rows_depend_on_its_number_and_the_courses_seed_alone():
  first, second = (tiny_rows.Drawer(str(TOKENIZER), 0, {'desk': 1.0}, 2, 256, False) for _ in range(2))
  first.draw(0)
  alike, other = second.draw(7), second.draw(8)
  for a, b in zip(first.draw(7), alike):
    np.testing.assert_array_equal(a, b)
  assert (alike.tokens_BxT != other.tokens_BxT).any()
  assert (alike.tokens_BxT != tiny_rows.Drawer(str(TOKENIZER), 1, {'desk': 1.0}, 2, 256, False).draw(7).tokens_BxT).any()


def test_a_stopped_training_ends_like_an_undisturbed_one(tmp_path, monkeypatch):
  monkeypatch.setattr(pretrain_tiny, 'COURSES', SHORT)
  whole, facts = pretrain_tiny.train(TOKENIZER, tmp_path / 'whole')
  assert facts['steps'] == 9

  made, left = pretrain_tiny.batches, iter(range(6))

  def stopped(*args):
    for rows in made(*args):
      if next(left, None) is None:
        raise KeyboardInterrupt
      yield rows

  monkeypatch.setattr(pretrain_tiny, 'SAVE_SECONDS', 0)
  monkeypatch.setattr(pretrain_tiny, 'batches', stopped)
  with pytest.raises(KeyboardInterrupt):
    pretrain_tiny.train(TOKENIZER, tmp_path / 'stopped')
  monkeypatch.setattr(pretrain_tiny, 'batches', made)
  resumed, again = pretrain_tiny.train(TOKENIZER, tmp_path / 'stopped')
  finished, once_more = pretrain_tiny.train(TOKENIZER, tmp_path / 'stopped')
  for a, b, c in zip(tree_leaves(whole), tree_leaves(resumed), tree_leaves(finished)):
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)
  assert facts['told'] == again['told'] == once_more['told']

  monkeypatch.setattr(pretrain_tiny, 'COURSES', SHORT[:1])
  with pytest.raises(ValueError, match='other courses'):
    pretrain_tiny.train(TOKENIZER, tmp_path / 'stopped')


def test_it_replaces_a_folder_only_when_all_is_done(tmp_path, monkeypatch):
  monkeypatch.setattr(pretrain_tiny, 'COURSES', SHORT)
  monkeypatch.setattr(pretrain_tiny, 'tokenizer_texts', functools.partial(pretrain_tiny.tokenizer_texts, samples=300))
  out = tmp_path / 'base'
  out.mkdir()
  (out / 'tokenizer.json').write_text('of the base before')
  made, trained = pretrain_tiny.batches, []

  def stopped(*args):
    for rows in made(*args):
      if len(trained) == 6:
        raise KeyboardInterrupt
      trained.append(rows)
      yield rows

  monkeypatch.setattr(pretrain_tiny, 'batches', stopped)
  with pytest.raises(KeyboardInterrupt):
    pretrain_tiny.make(out)
  assert [f.name for f in out.iterdir()] == ['tokenizer.json'] and (out / 'tokenizer.json').read_text() == 'of the base before'
  monkeypatch.setattr(pretrain_tiny, 'batches', made)
  pretrain_tiny.make(out)

  assert not out.with_name('base.partial').exists() and not (out / 'state').exists()
  shape = decoder_config.from_huggingface(out)
  tokenizer = ChatTokenizer.load(out)
  assert tokenizer.vocab_size <= shape.vocab == pretrain_tiny.CONFIG.vocab
  assert tree_leaves(huggingface.load(out, shape))[0].shape
  assert f'{4 * 64 + 5 * 64:,} tokens in 9 updates' in (out / 'README.md').read_text()
