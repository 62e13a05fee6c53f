"""The forward program is each family's, in any packing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.errors import CheckpointError
from inftool_jax.models import attention, decoder, rope
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import rules
from tests.models import cached, reference
from tests.models.small import CONFIG, SMALL, same_bits, weights


def _run(params: decoder.Params, config: DecoderConfig, tokens, segments, positions) -> jax.Array:
  """Hidden states of rows, compiled once per config and shape."""
  attend = attention.segment_attention(segments, jnp.full_like(segments, -1))
  return decoder.forward(params, config, tokens, positions, attend)[0]


run = jax.jit(_run, static_argnums=1)


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


def _close(ours, reference) -> None:
  """Within 1e-4 of the largest logit: float32 against float64."""
  assert np.abs(np.asarray(ours) - reference).max() < 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize('name', SMALL)
def test_logits_of_packed_rows_are_those_of_an_independent_float64_model(name: str) -> None:
  config = SMALL[name]
  params = weights(config)
  assert ('head' in params) == (not config.tied)
  rows = _rows(SEQUENCES[:2], SEQUENCES[2:3], SEQUENCES[3:])
  hidden = run(params, config, *rows)
  ours = decoder.logits(params, hidden.reshape(-1, config.dim)).reshape(3, 24, config.vocab)
  assert hidden.dtype == ours.dtype == jnp.float32
  for sequence, where in zip(SEQUENCES, [(0, 0), (0, len(SEQUENCES[0])), (1, 0), (2, 0)], strict=True):
    _close(ours[where[0], where[1] : where[1] + len(sequence)], reference.logits(params, config, sequence))


@pytest.mark.parametrize('name', SMALL)
def test_padding_on_either_side_changes_nothing(name: str) -> None:
  config = SMALL[name]
  params, expected = weights(config), reference.logits(weights(config), config, SEQUENCES[2])
  tokens, segments, positions = np.zeros((3, 2, 24), np.int32)
  n = len(SEQUENCES[2])
  for row, columns in enumerate((slice(0, n), slice(24 - n, 24))):
    tokens[row, columns], segments[row, columns], positions[row, columns] = SEQUENCES[2], 1, np.arange(n)
    tokens[row, segments[row] == 0] = 5
  hidden = run(params, config, tokens, segments, positions)
  for row, columns in enumerate((slice(0, n), slice(24 - n, 24))):
    _close(decoder.logits(params, hidden[row, columns]), expected)


@pytest.mark.parametrize('name', SMALL)
def test_prefill_and_decode_through_the_cache_are_the_full_forward(name: str) -> None:
  config, params = SMALL[name], weights(SMALL[name])
  _close(cached.logits(params, config, SEQUENCES[3], prompt=8), reference.logits(params, config, SEQUENCES[3]))


@pytest.mark.parametrize('name', SMALL)
def test_parameters_as_they_are_served_compute_the_same_bits(name: str) -> None:
  config = dataclasses.replace(SMALL[name], compute_dtype='bfloat16')
  params = weights(config)
  served = decoder.served(params, config)
  tokens, segments, positions = np.array([SEQUENCES[3]]), np.ones((1, len(SEQUENCES[3])), np.int32), np.arange(len(SEQUENCES[3]))[None]
  assert same_bits(run(params, config, tokens, segments, positions), run(served, config, tokens, segments, positions))
  assert {x.dtype for path, x in jax.tree.leaves_with_path(served) if not path[-1].key.endswith('norm')} == {jnp.dtype('bfloat16')}
  assert same_bits(decoder.served(params, SMALL[name]), params)


@pytest.mark.parametrize('remat', ['projections', 'attention', 'full'])
def test_what_is_computed_again_in_the_backward_pass_changes_nothing(remat: str) -> None:
  params, (tokens, segments, positions) = weights(CONFIG), _rows(SEQUENCES[:2])

  def loss(params, config):
    return (_run(params, config, tokens, segments, positions)[:, :15] ** 2).mean()

  other = dataclasses.replace(CONFIG, remat=remat)
  assert same_bits(run(params, CONFIG, tokens, segments, positions), run(params, other, tokens, segments, positions))
  grads = [jax.jit(jax.grad(loss), static_argnums=1)(params, config) for config in (CONFIG, other)]
  for a, b in zip(*map(jax.tree.leaves, grads), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
  products = [str(jax.make_jaxpr(jax.grad(loss), static_argnums=1)(params, c)).count('dot_general') for c in (CONFIG, other)]
  # Of a layer's 9 products, 7 are with parameters and 2 are attention's. The last one's result is not needed again.
  assert products[1] - products[0] == {'projections': 2, 'attention': 4, 'full': 8}[remat]


def test_an_unknown_policy_is_refused() -> None:
  with pytest.raises(CheckpointError, match="'some' is unknown; have none, projections, attention, full"):
    dataclasses.replace(CONFIG, remat='some')


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
  angles = rope.angles(jnp.array([[0, 1, 5]]), 4, 100.0, None)
  np.testing.assert_allclose(angles[0], [[0, 0], [1, 0.1], [5, 0.5]], rtol=1e-6)
  x = jnp.tile(jnp.array([1.0, 2.0, 3.0, 4.0]), (1, 3, 1, 1))
  out = rope.rotate(x, angles)[0, :, 0]
  np.testing.assert_array_equal(out[0], [1, 2, 3, 4])
  a, b = 1.0, 0.1  # the halves (1, 3) and (2, 4) are turned against each other, not neighbors
  expected = [np.cos(a) - 3 * np.sin(a), 2 * np.cos(b) - 4 * np.sin(b), 3 * np.cos(a) + np.sin(a), 4 * np.cos(b) + 2 * np.sin(b)]
  np.testing.assert_allclose(out[1], expected, rtol=1e-5)


def test_attention_scores_depend_on_distance_only() -> None:
  q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 8))

  def score(at: int, to: int) -> float:
    turned = [rope.rotate(jnp.asarray(x), rope.angles(jnp.array([[p]]), 8, 1e4, None)) for x, p in ((q, at), (k, to))]
    return float((turned[0] * turned[1]).sum())

  assert score(7, 3) == pytest.approx(score(104, 100), abs=1e-4)
  assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-2)


@pytest.mark.parametrize('name', SMALL)
def test_the_stated_number_of_parameters_is_the_real_one(name: str) -> None:
  config = SMALL[name]
  assert config.parameters == sum(x.size for x in jax.tree.leaves(decoder.abstract(config)))


@pytest.mark.parametrize('name', SMALL)
def test_every_axis_of_every_parameter_has_a_name_and_the_named_size(name: str) -> None:
  c = SMALL[name]
  sizes = {'layers': {c.layers}, 'vocab': {c.vocab}, 'dim': {c.dim}, 'norm': {c.dim}, 'ffn': {c.ffn}, 'head': {c.head_dim}}
  sizes |= {'heads': {c.heads * c.head_dim}, 'kv_heads': {c.kv_heads * c.head_dim}}
  like, named = decoder.abstract(c), dict(rules.flatten(decoder.logical_axes(c)))
  assert list(named) == [path for path, _ in rules.flatten(jax.tree.map(lambda x: x.shape, like))]
  for (path, names), array in zip(named.items(), jax.tree.leaves(like), strict=True):
    assert len(names) == array.ndim and all(size in sizes[axis] for axis, size in zip(names, array.shape)), path


def test_init_has_the_abstract_shapes_and_follows_its_seed() -> None:
  config = dataclasses.replace(CONFIG, param_dtype='bfloat16')
  first = decoder.init(config, 0)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), first) == jax.tree.map(lambda x: (x.shape, x.dtype), decoder.abstract(config))
  assert same_bits(first, decoder.init(config, 0))
  other = decoder.init(config, 1)
  for name in ('q', 'k', 'v', 'o', 'gate', 'up', 'down'):
    assert not same_bits(first['blocks'][name], other['blocks'][name])
    assert not same_bits(first['blocks'][name][0], first['blocks'][name][1]), 'two layers start alike'
