"""The optimizer's state lies where its parameters do."""

from __future__ import annotations

import dataclasses

import jax
import optax
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from inftool_jax.models import decoder
from inftool_jax.parallel import rules
from inftool_jax.training import optimizer, step
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG

CONFIG = dataclasses.replace(CONFIG, vocab=104, kv_heads=4)
MESH = AbstractMesh((1, 2, 4, 1), rules.AXES)


def _specs(transform: optax.GradientTransformation) -> dict[str, tuple[tuple[int, ...], P]]:
  """Path of each leaf of the state -> its shape and where it lies."""
  state = jax.eval_shape(lambda p: step.init(p, transform), decoder.abstract(CONFIG))
  places = step.places(CONFIG, transform, MESH)
  assert jax.tree.structure(state) == jax.tree.structure(places)
  named = jax.tree_util.tree_leaves_with_path(state)
  return {jax.tree_util.keystr(k, simple=True, separator='.'): (x.shape, s.spec) for (k, x), s in zip(named, jax.tree.leaves(places))}


@pytest.mark.parametrize('name', optimizer.NAMES)
def test_moments_lie_like_their_parameters_and_all_else_everywhere(name: str) -> None:
  specs = _specs(optimizer.make(OptimizerConfig(name), 10))
  params = {path.removeprefix('params.'): place for path, place in specs.items() if path.startswith('params.')}
  assert params['blocks.q'] == ((2, 32, 32), P(None, 'fsdp', 'tensor')) and params['embed'][1] == P('tensor', 'fsdp')
  moments = 0
  for path, (shape, spec) in specs.items():
    parameter = next((p for p in params if path.endswith(f'.{p}')), None)
    if parameter is None or shape in ((), (1,)):  # (1,): what Adafactor puts in the place of what it does not keep
      assert spec == P(), path
    else:
      assert (shape, spec) == params[parameter], path
      moments += not path.startswith('params.')
  assert moments >= len(params) - 2  # Muon, NovoGrad and Adafactor keep one for each parameter, Adam two; the norms of NovoGrad are scalars


def test_factored_moments_keep_the_axes_that_are_left() -> None:
  specs = _specs(optax.adafactor(1e-3, min_dim_size_to_factor=8))
  found = {path.split('.', 1)[1]: place for path, place in specs.items() if 'v_' in path}
  by_shape = {shape: spec for path, (shape, spec) in found.items() if path.endswith(('.blocks.gate', '.embed'))}
  assert by_shape == {
    (2, 32): P(None, 'fsdp'), (2, 48): P(None, 'tensor'),  # of gate [2, 32, 48]
    (32,): P('fsdp'), (104,): P('tensor'),  # of embed [104, 32]
  }  # fmt: skip
  # [2, 32] may be either side of a square matrix [2, 32, 32]: whole.
  assert {spec for path, (shape, spec) in found.items() if path.endswith('.blocks.q') and shape == (2, 32)} == {P()}
