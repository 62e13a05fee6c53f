"""The forward program is Qwen2's, in any packing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.models import attention, decoder
from inftool_jax.models.config import DecoderConfig
from tests.models import reference
from tests.models.small import CONFIG, TIED, same_bits, weights


def _run(params: decoder.Params, config: DecoderConfig, tokens, segments, positions, remat: bool = False) -> jax.Array:
  """Hidden states of rows, compiled once per config and shape."""
  attend = attention.segment_attention(segments, jnp.full_like(segments, -1))
  return decoder.forward(params, config, tokens, positions, attend, remat=remat)[0]


run = jax.jit(_run, static_argnums=(1, 5))


def _rows(*rows: list[list[int]], length: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Tokens, segments and positions of rows that hold the given sequences one after another."""
  tokens, segments, positions = np.zeros((3, len(rows), length), np.int32)
  for r, sequences in enumerate(rows):
    column = 0
    for number, sequence in enumerate(sequences, 1):
      columns = slice(column, column + len(sequence))
      tokens[r, columns], segments[r, columns], positions[r, columns] = sequence, number, np.arange(len(sequence))
      column += len(sequence)
  return tokens, segments, positions


SEQUENCES = [np.random.default_rng(seed).integers(0, CONFIG.vocab, 6 + 3 * seed).tolist() for seed in range(4)]
WIDE = dataclasses.replace(CONFIG, kv_heads=1, head_dim=12, rope_theta=1_000_000.0, norm_eps=1e-3)


@pytest.mark.parametrize('config', [CONFIG, TIED, WIDE], ids=['grouped', 'tied', 'one key head, heads wider than the model'])
def test_logits_are_those_of_an_independent_float64_qwen2(config: DecoderConfig) -> None:
  params = weights(config)
  assert ('head' in params) == (not config.tied)
  rows = _rows(SEQUENCES[:2], SEQUENCES[2:3], SEQUENCES[3:])
  hidden = run(params, config, *rows)
  ours = decoder.logits(params, hidden.reshape(-1, config.dim)).reshape(3, 24, config.vocab)
  assert hidden.dtype == ours.dtype == jnp.float32
  for sequence, where in zip(SEQUENCES, [(0, 0), (0, len(SEQUENCES[0])), (1, 0), (2, 0)], strict=True):
    mine = ours[where[0], where[1] : where[1] + len(sequence)]
    np.testing.assert_allclose(mine, reference.logits(params, config, sequence), rtol=1e-5, atol=1e-5)


def test_recomputing_layers_in_the_backward_pass_changes_nothing() -> None:
  params, rows = weights(CONFIG), _rows(SEQUENCES[:2])
  assert same_bits(run(params, CONFIG, *rows), run(params, CONFIG, *rows, True))


def test_compute_dtype_is_the_configs_and_logits_are_float32() -> None:
  config = dataclasses.replace(CONFIG, compute_dtype='bfloat16')
  params, rows = weights(config), _rows(SEQUENCES[:2])
  hidden = run(params, config, *rows)
  assert hidden.dtype == jnp.bfloat16 and params['embed'].dtype == jnp.float32
  logits = decoder.logits(params, hidden[0])
  assert logits.dtype == jnp.float32
  expected = reference.logits(params, CONFIG, SEQUENCES[0])
  assert np.abs(logits[: len(SEQUENCES[0])] - expected).mean() < 0.05


def test_rotation_by_hand() -> None:
  config = dataclasses.replace(CONFIG, head_dim=4, rope_theta=100.0)
  angles = decoder.rope_angles(jnp.array([[0, 1, 5]]), config)
  np.testing.assert_allclose(angles[0], [[0, 0], [1, 0.1], [5, 0.5]], rtol=1e-6)
  x = jnp.tile(jnp.array([1.0, 2.0, 3.0, 4.0]), (1, 3, 1, 1))
  out = decoder.apply_rope(x, angles)[0, :, 0]
  np.testing.assert_array_equal(out[0], [1, 2, 3, 4])
  a, b = 1.0, 0.1  # the halves (1, 3) and (2, 4) are turned against each other, not neighbors
  expected = [np.cos(a) - 3 * np.sin(a), 2 * np.cos(b) - 4 * np.sin(b), 3 * np.cos(a) + np.sin(a), 4 * np.cos(b) + 2 * np.sin(b)]
  np.testing.assert_allclose(out[1], expected, rtol=1e-5)


def test_attention_scores_depend_on_distance_only() -> None:
  q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 8))

  def score(at: int, to: int) -> float:
    turned = [decoder.apply_rope(jnp.asarray(x), decoder.rope_angles(jnp.array([[p]]), CONFIG)) for x, p in ((q, at), (k, to))]
    return float((turned[0] * turned[1]).sum())

  assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
  assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-2)


@pytest.mark.parametrize('config', [CONFIG, TIED, dataclasses.replace(CONFIG, qkv_bias=False), WIDE])
def test_the_stated_number_of_parameters_is_the_real_one(config: DecoderConfig) -> None:
  assert config.parameters == sum(x.size for x in jax.tree.leaves(decoder.abstract(config)))


def test_init_has_the_abstract_shapes_and_follows_its_seed() -> None:
  config = dataclasses.replace(CONFIG, param_dtype='bfloat16')
  first = decoder.init(config, 0)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), first) == jax.tree.map(lambda x: (x.shape, x.dtype), decoder.abstract(config))
  assert same_bits(first, decoder.init(config, 0))
  other = decoder.init(config, 1)
  for name in ('q', 'k', 'v', 'o', 'gate', 'up', 'down'):
    assert not same_bits(first['blocks'][name], other['blocks'][name])
    assert not same_bits(first['blocks'][name][0], first['blocks'][name][1]), 'two layers start alike'
