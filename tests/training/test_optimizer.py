"""Optimizers by name: what moves which parameter, by how much, at which step."""

from __future__ import annotations

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.models import decoder
from inftool_jax.training import optimizer
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG, weights

MATRICES = {'q', 'k', 'v', 'o', 'gate', 'up', 'down'}
SOME = ('q', 'down', 'q_bias', 'attention_norm')  # of a layer: a square matrix, a tall one, a bias and a norm


def _some(seed: int) -> decoder.Params:
  """A decoder with fewer kinds of parameters, for the sake of compile time."""
  whole = weights(CONFIG, seed)
  return {'embed': whole['embed'], 'norm': whole['norm'], 'blocks': {name: whole['blocks'][name] for name in SOME}}


def _names(tree: decoder.Params) -> dict[str, jax.Array]:
  return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _is_matrix(name: str) -> bool:
  return name.startswith('blocks/') and name.split('/')[1] in MATRICES


def _step_sizes(config: OptimizerConfig, steps: int, size: float = 1.0) -> list[float]:
  """How far Adam moves a bias under a constant gradient: the learning rate of each step."""
  params = {'blocks': {'q_bias': jnp.zeros(4)}}
  transform = optimizer.make(config, steps)
  state, out = transform.init(params), []
  update = jax.jit(transform.update)
  for _ in range(steps):
    updates, state = update({'blocks': {'q_bias': jnp.full(4, size)}}, state, params)
    out.append(-float(updates['blocks']['q_bias'][0]))
  return out


WARM = [0.25, 0.4375, 0.625, 0.8125]  # from a quarter of the peak up to it, in four steps


@pytest.mark.parametrize(
  ('name', 'schedule', 'warmup', 'expected'),
  [
    ('adamw', 'constant', 0, [1.0] * 12),
    ('adamw', 'constant', 4, WARM + [1.0] * 8),
    ('adamw', 'linear', 4, WARM + [1 - 0.95 * i / 8 for i in range(8)]),
    ('muon', 'linear', 4, WARM + [1 - 0.95 * i / 8 for i in range(8)]),
    ('adamw', 'cosine', 4, WARM + [0.05 + 0.95 * (1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]),
    ('adamw', 'linear', 0, [1 - 0.95 * i / 12 for i in range(12)]),
    ('adafactor', 'linear', 4, WARM + [1 - 0.95 * i / 8 for i in range(8)]),
  ],
)
def test_the_schedule_rises_to_the_peak_and_falls_to_a_twentieth(name: str, schedule: str, warmup: int, expected: list[float]) -> None:
  # A bias under Muon follows the rate of vectors; the other rate is set apart to tell them from each other.
  rates = {'learning_rate': 3e-3, 'vector_learning_rate': 9.0} if name != 'muon' else {'learning_rate': 9.0, 'vector_learning_rate': 3e-3}
  sizes = _step_sizes(OptimizerConfig(name=name, schedule=schedule, warmup=warmup, **rates), 12)  # type: ignore[arg-type]
  np.testing.assert_allclose(sizes, [3e-3 * e for e in expected], rtol=1e-4)


def test_one_huge_gradient_is_clipped_and_soon_forgotten() -> None:
  params = {'blocks': {'q_bias': jnp.zeros(4)}}
  for clip, bounds in ((1.0, (0.9, 1.1)), (1e9, (0.0, 0.8))):
    transform = optimizer.make(OptimizerConfig(learning_rate=1.0, clip_norm=clip), 10)
    state = transform.init(params)
    for size in (1e6, 1.0):
      updates, state = transform.update({'blocks': {'q_bias': jnp.full(4, size)}}, state, params)
    assert bounds[0] < -float(updates['blocks']['q_bias'][0]) < bounds[1]


def _first_update(config: OptimizerConfig, gradient: decoder.Params, params: decoder.Params) -> dict[str, jax.Array]:
  transform = optimizer.make(config, 10)
  updates, _ = jax.jit(transform.update)(gradient, transform.init(params), params)
  return _names(updates)


def test_muon_orthogonalizes_each_layers_matrices_and_leaves_norms_and_biases_to_adam() -> None:
  params, gradient = _some(0), _some(1)
  rates = {'learning_rate': 0.5, 'vector_learning_rate': 1e-3, 'token_learning_rate': 1e-2}
  updates = _first_update(OptimizerConfig(name='muon', **rates), gradient, params)  # type: ignore[arg-type]
  for name, update in updates.items():
    given = np.asarray(_names(gradient)[name])
    if name == 'embed':
      np.testing.assert_allclose(update, -1e-2 * given / np.linalg.norm(given), rtol=1e-4)
      continue
    if not _is_matrix(name):
      clear = np.abs(given) > 1e-2  # of Adam's epsilon
      np.testing.assert_allclose(np.abs(update)[clear], 1e-3, rtol=1e-3, err_msg=name)
      continue
    for layer in range(CONFIG.layers):
      singular = np.linalg.svd(update[layer], compute_uv=False)
      assert singular.max() / singular.min() < 2, f'{name} of layer {layer}'
      assert 0.3 < singular.mean() < 1, f'{name} of layer {layer}'
      before = np.linalg.svd(given[layer], compute_uv=False)
      assert before.max() / before.min() > 3  # it was not orthogonal


def test_a_token_that_never_occurs_keeps_its_embedding() -> None:
  """What Adam gets wrong on a narrow task: faint gradients, always of one sign, become full steps."""
  embed = jnp.ones((50, 8))
  gradient = jnp.full((50, 8), 1e-6).at[0].set(-1.0)  # token 0 is the target, the softmax pushes all others down
  moved = {}
  for name in optimizer.NAMES:
    transform = optimizer.make(OptimizerConfig(name=name, learning_rate=1e-2, token_learning_rate=0.1), 20)
    params = {'embed': embed}
    state = transform.init(params)
    for _ in range(20):
      updates, state = transform.update({'embed': gradient}, state, params)
      params = optax.apply_updates(params, updates)
    moved[name] = np.abs(params['embed'] - embed).max(axis=1)
  assert moved['adamw'][1:].min() > 0.15 and moved['muon'][0] > 0.15
  assert moved['muon'][1:].max() < 1e-5


def test_embeddings_by_adam_move_entry_by_entry() -> None:
  params, gradient = _some(0), _some(1)
  update = _first_update(OptimizerConfig(name='muon', token_learning_rate=1e-3, token_rule='adam'), gradient, params)['embed']
  clear = np.abs(np.asarray(gradient['embed'])) > 1e-2  # of Adam's epsilon
  np.testing.assert_allclose(np.abs(np.asarray(update))[clear], 1e-3, rtol=1e-3)
  with pytest.raises(ConfigError, match='sgd.*novograd, adam'):
    optimizer.make(OptimizerConfig(name='muon', token_rule='sgd'), 10)


@pytest.mark.parametrize('name', ['adamw', 'muon'])
def test_a_first_moment_in_bfloat16_halves_it_and_follows_the_same_path(name: str) -> None:
  """Thirty noisy gradients around one direction, as training has them."""
  rng, target = np.random.default_rng(0), {'blocks': {'q': jnp.ones((2, 32, 32)), 'q_bias': jnp.ones((2, 32))}}
  gradients = [jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape), jnp.float32), target) for _ in range(30)]
  moved, held = {}, {}
  for moment in optimizer.MOMENTS:
    transform = optimizer.make(OptimizerConfig(name, 1e-2, 1e-2, moment=moment), 30)
    params = jax.tree.map(jnp.zeros_like, target)
    state, update = transform.init(params), jax.jit(transform.update)
    for gradient in gradients:
      updates, state = update(gradient, state, params)
      params = optax.apply_updates(params, updates)
    moved[moment], held[moment] = params['blocks']['q'], sum(x.nbytes for x in jax.tree.leaves(state) if x.shape == (2, 32, 32))
  saved = target['blocks']['q'].nbytes / 2
  assert held['float32'] - held['bfloat16'] == saved
  assert np.linalg.norm(moved['bfloat16'] - moved['float32']) < 0.02 * np.linalg.norm(moved['float32'])


def test_adafactor_is_the_papers() -> None:
  """Two steps of a matrix large enough to be factored, in float64 (arXiv 1804.04235, algorithms 4 and 5)."""
  rng = np.random.default_rng(0)
  gradients = rng.normal(size=(2, 1, 130, 140)).astype(np.float32)
  params = {'blocks': {'q': jnp.zeros((1, 130, 140))}}
  transform = optimizer.make(OptimizerConfig('adafactor', learning_rate=0.1, clip_norm=1e9), 10)
  state, rows, columns = transform.init(params), np.zeros(130), np.zeros(140)
  assert sum(x.size for x in jax.tree.leaves(state)) < 300  # a row and a column, not a matrix
  for step, gradient in enumerate(gradients, start=1):
    updates, state = transform.update({'blocks': {'q': jnp.asarray(gradient)}}, state, params)
    g, decay = gradient[0].astype(np.float64), 1 - step**-0.8
    rows, columns = (decay * v + (1 - decay) * (g**2).mean(axis) for v, axis in ((rows, 1), (columns, 0)))
    u = g / np.sqrt(np.outer(rows, columns) / rows.mean())
    np.testing.assert_allclose(updates['blocks']['q'][0], -0.1 * u / max(1, np.sqrt((u**2).mean())), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name', optimizer.NAMES)
def test_weight_decay_shrinks_matrices_only(name: str) -> None:
  params = _some(0)
  config = OptimizerConfig(name=name, learning_rate=0.1, vector_learning_rate=0.1, weight_decay=0.5)
  updates = _first_update(config, jax.tree.map(jnp.zeros_like, params), params)
  for path, update in updates.items():
    np.testing.assert_allclose(update, -0.05 * _names(params)[path] if _is_matrix(path) else 0.0, rtol=1e-5, atol=1e-8, err_msg=path)


@pytest.mark.parametrize('name', optimizer.NAMES)
def test_one_step_at_1e_6_moves_float32_masters(name: str) -> None:
  params = _some(0)
  updates = _first_update(dataclasses.replace(OptimizerConfig(), name=name), _some(1), params)
  assert OptimizerConfig().learning_rate == 1e-6
  for path, update in updates.items():
    before, change = np.asarray(_names(params)[path]), np.asarray(update)
    assert before.dtype == change.dtype == np.float32
    assert (before + change != before).mean() > 0.9, path
    rounded = before.astype(ml_dtypes.bfloat16)
    assert (rounded + change.astype(ml_dtypes.bfloat16) != rounded).mean() < 0.2, path  # why masters are float32


@pytest.mark.parametrize(('wrong', 'choices'), [({'name': 'sgd'}, optimizer.NAMES), ({'schedule': 'step'}, optimizer.SCHEDULES)])
def test_an_unknown_name_is_refused_with_the_choices(wrong: dict[str, str], choices: tuple[str, ...]) -> None:
  with pytest.raises(ConfigError, match=re.escape(f"{next(iter(wrong.values()))!r} is unknown; have {', '.join(choices)}")):
    optimizer.make(OptimizerConfig(**wrong), 10)  # type: ignore[arg-type]
