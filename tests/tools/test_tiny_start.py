"""The structured start: heads that look back by a fixed distance, and heads that find their own token again."""

import jax
import numpy as np
import pytest

from inftool_jax.models import decoder, rope
from tools import tiny_start
from tools.pretrain_tiny import CONFIG

PARAMS = tiny_start.init(CONFIG, 0)
TOKENS = np.arange(5, 125, dtype=np.int32)[None]
TOKENS = np.concatenate([TOKENS, TOKENS[:, ::-1]], axis=1)  # every token twice, at distances of 1 to 239


def weights(layer: int) -> np.ndarray:
  """[H, T, T]: causal attention of one layer on the embeddings of TOKENS."""
  block = jax.tree.map(lambda x: x[layer], PARAMS['blocks'])
  seen = {}

  def attend(q, k, v, cache):
    k = k.repeat(CONFIG.heads // CONFIG.kv_heads, axis=2)
    scores = np.einsum('bthe,bshe->hts', q, k) / CONFIG.head_dim**0.5
    scores = np.where(np.tri(TOKENS.shape[1], dtype=bool), scores, -np.inf)
    seen['weights'] = np.exp(scores - scores.max(-1, keepdims=True))
    return q, cache

  angles = rope.angles(np.arange(TOKENS.shape[1])[None], CONFIG.head_dim, CONFIG.rope_theta, None)
  decoder.apply_block(block, CONFIG, PARAMS['embed'][TOKENS], angles, attend, ())
  return seen['weights'] / seen['weights'].sum(-1, keepdims=True)


def test_the_first_layer_looks_back_by_its_distances():
  for head, distance in zip(weights(0), tiny_start.DISTANCES):
    looked = np.arange(len(head))[10:] - head[10:].argmax(-1)
    assert (looked == distance).mean() > 0.95


@pytest.mark.parametrize('layer', (1, CONFIG.layers - 1))
def test_other_heads_find_their_token_where_it_stood_before(layer):
  later = np.arange(125, 240)
  for head in weights(layer)[2:]:
    own, before = head[later, later], head[later, 239 - later]
    assert np.median(own + before) > 0.5  # of 240 tokens, itself and its double get most
    assert np.median(before) > 0.15


def test_a_seed_gives_the_same_start():
  again, other = tiny_start.init(CONFIG, 0), tiny_start.init(CONFIG, 1)
  for a, b in zip(jax.tree.leaves(PARAMS), jax.tree.leaves(again)):
    np.testing.assert_array_equal(a, b)
  assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(jax.tree.leaves(PARAMS), jax.tree.leaves(other)))


def test_tokens_that_no_text_had_become_average_ones_apart_from_each_other():
  embed = PARAMS['embed'].at[7].mul(30)
  made = np.asarray(tiny_start.unseen(embed, [3, 7], 0))
  others = np.delete(np.asarray(embed), [3, 7], axis=0)
  np.testing.assert_array_equal(np.delete(made, [3, 7], axis=0), others)
  for token in (3, 7):
    assert np.linalg.norm(made[token]) < np.median(np.linalg.norm(others, axis=1))
  assert (made[3] != made[7]).all()
