"""What devices send where sums are left in parts, seen in what the TPU compiler makes of it."""

from __future__ import annotations

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding

from inftool_jax.parallel import hlo, placing, rules, topology
from inftool_jax.parallel import mesh as meshes

B, T, D, F = 4, 1024, 256, 512
needs_compiler = pytest.mark.skipif(importlib.util.find_spec('libtpu') is None, reason='needs the TPU compiler, extra tpu')


@needs_compiler
@pytest.mark.parametrize('name', ['v5p:2x2x1', 'v5e:2x4', 'v6e:2x4'])
def test_a_sum_that_is_left_in_parts_is_nowhere_made_whole(name: str) -> None:
  devices, _ = topology.devices(name)
  mesh = meshes.build(meshes.MeshShape(fsdp=-1, tensor=4), devices, ())
  axes = ('batch', 'length', 'ffn'), ('ffn', 'dim')
  arguments = [
    jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=NamedSharding(mesh, rules.spec(names, rules.ACTIVATIONS)))
    for shape, names in zip(((B, T, F), (F, D)), axes)
  ]

  def product(h, w):
    with placing.on(mesh):
      return placing.by_shard(lambda h, w: placing.scattered(h @ w, 'ffn', 1), axes, ('batch', 'residual', 'dim'))(h, w)

  sent = hlo.collective_bytes(jax.jit(product).lower(*arguments).compile().as_text(), mesh, ())
  rows = B // mesh.shape['fsdp']
  assert sent == {'tensor': pytest.approx(3 / 4 * rows * T * D * 2)}
