"""Every objective has one device's gradient on eight; run by `test_objectives_on_a_mesh.py` in a process that has them."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from inftool_jax.models import decoder
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel import placing
from inftool_jax.parallel.mesh import MeshShape
from inftool_jax.training import batching, objectives, step
from tests.models.small import CONFIG, weights
from tests.training.rows import ADVANTAGE, LAYOUTS
from tests.training.test_layouts import DEMONSTRATION, KEEP, OBJECTIVES

assert jax.device_count() == 8
C = dataclasses.replace(CONFIG, vocab=104, heads=16, kv_heads=8, head_dim=4)
MESHES = {'fsdp 8': MeshShape(fsdp=8), 'fsdp 4 x tensor 2': MeshShape(fsdp=4, tensor=2)}
BATCH = batching.batch(LAYOUTS['one by one'], 8, 2, ADVANTAGE * ~DEMONSTRATION, None, DEMONSTRATION)


@functools.cache
def _batch() -> step.Batch:
  """With log-probabilities of policies not far from the learner."""
  scored = BATCH._replace(mask=BATCH.mask | BATCH.replay)
  logp = np.asarray(step.scorer(C, decoder.logical_axes(C))(weights(C), scored))
  rng = np.random.default_rng(7)
  near = lambda: np.where(BATCH.mask, logp + rng.normal(0, 0.3, logp.shape[:2])[..., None] + rng.normal(0, 0.3, logp.shape), 0)
  return BATCH._replace(**{name: near().astype(np.float32) for name in ('old', 'behavior', 'reference')}, revisited=np.bool_(True))


@functools.cache
def _program(mesh: Mesh | None):
  """By objective number so and so: one program for all, for the sake of compile time."""
  branches = [objectives.with_replay(objectives.make(config)) for config in OBJECTIVES.values()]

  def run(state: step.State, batch: step.Batch, number: int):
    with placing.on(mesh):
      return step.update(state, batch, {}, C, KEEP, lambda tokens: jax.lax.switch(number, branches, tokens))

  if mesh is None:
    return jax.jit(run)
  return jax.jit(run, in_shardings=(step.places(C, KEEP, mesh), step.batch_places(mesh), placing.replicated(mesh)))


@functools.cache
def _result(name: str, on: str | None) -> tuple[decoder.Params, dict[str, float]]:
  mesh = meshes.build(MESHES[on], jax.devices(), decoder.dimensions(C)) if on else None
  places = step.places(C, KEEP, mesh)
  params = weights(C) if places is None else jax.device_put(weights(C), places.params)
  state, metrics, _ = _program(mesh)(step.init(params, KEEP, places), _batch(), list(OBJECTIVES).index(name))
  return jax.tree.map(np.asarray, state.opt_state), {key: float(value) for key, value in metrics.items()}


@pytest.mark.parametrize('on', MESHES)
@pytest.mark.parametrize('name', OBJECTIVES)
def test_gradient_and_metrics_are_those_of_one_device(name: str, on: str) -> None:
  (gradient, metrics), (expected, told) = _result(name, on), _result(name, None)
  assert told['clipped low'] + told['clipped high'] > 0 and told['replay loss'] > 0 and told['skipped'] == 0
  assert 0 < told['kept'] < 1 or not OBJECTIVES[name].sequence_band
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(gradient), jax.tree.leaves(expected), strict=True):
    assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y), jax.tree_util.keystr(path)
  for key, value in metrics.items():
    np.testing.assert_allclose(value, told[key], rtol=2e-5, atol=1e-6, err_msg=key)
