"""Operations of matrix products, wherever in a program they stand."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from inftool_jax.models import attention, decoder, splash
from inftool_jax.parallel import counting
from tests.models.small import CONFIG

N = 2 * 8 * 16 * 32  # of one product
A, B = jax.ShapeDtypeStruct((8, 16), 'float32'), jax.ShapeDtypeStruct((16, 32), 'float32')


def _refuse(name: str, grid: tuple[int, ...]) -> float:
  raise AssertionError(f'{name} {grid} is not part of this test')


def _flops(function, *arguments, loops=(), cells=_refuse) -> float:
  return counting.flops(jax.make_jaxpr(function)(*arguments).jaxpr, loops, cells)


def test_a_product_is_two_operations_for_each_of_its_terms() -> None:
  assert _flops(lambda a, b: jnp.tanh(a @ b) + 1, A, B) == N
  assert _flops(lambda a, b: jnp.einsum('gik,gkj->gij', a, b), jnp.ones((3, 8, 16)), jnp.ones((3, 16, 32))) == 3 * N


def test_a_scan_counts_as_often_as_it_runs_and_a_condition_as_its_longer_branch() -> None:
  assert _flops(lambda a, b: jax.lax.scan(lambda c, _: (c + (a @ b).sum(), ()), 0.0, length=7)[0], A, B) == 7 * N
  assert _flops(lambda a, b: jax.lax.cond(a.sum() > 0, lambda: a @ b @ b.T, lambda: a), A, B) == 2 * N


def test_what_a_backward_pass_computes_again_counts_again() -> None:
  function = lambda a, b: jnp.tanh(jnp.tanh(a @ b) @ b.T).sum()
  assert _flops(jax.value_and_grad(function), A, B) == 4 * N  # of a: forward two, backward two
  assert _flops(jax.value_and_grad(jax.checkpoint(function)), A, B) == 6 * N


def test_what_nobody_asks_for_does_not_count() -> None:
  assert _flops(lambda a, b: (a @ b, a)[1], A, B) == 0
  assert _flops(lambda a, b: jax.lax.scan(lambda c, _: (c + 1, a @ b), 0.0, length=7)[0], A, B) == 0


def test_loops_that_data_ends_run_as_often_as_is_said_by_depth() -> None:
  def nested(a, b, n):
    inner = lambda _, c: c + (a @ b).sum()
    return jax.lax.fori_loop(0, n, lambda _, c: c + jax.lax.fori_loop(0, n, inner, 0.0), 0.0)

  count = jax.ShapeDtypeStruct((), 'int32')
  assert _flops(nested, A, B, count, loops=(5, 3)) == 15 * N
  with pytest.raises(ValueError, match='how often was not given'):
    _flops(nested, A, B, count, loops=(5,))


def test_what_is_written_for_one_device_counts_for_all() -> None:
  mesh = AbstractMesh((2, 3), ('x', 'y'))
  with jax.sharding.use_abstract_mesh(mesh):
    product = jax.shard_map(jnp.matmul, in_specs=(PartitionSpec('x'), PartitionSpec()), out_specs=PartitionSpec('x'), check_vma=False)
    assert _flops(product, jax.ShapeDtypeStruct((16, 16), 'float32'), B) == 6 * N  # along y all do the same


def test_a_forward_pass_is_what_the_config_says() -> None:
  B, T = 2, 64
  config = dataclasses.replace(CONFIG, layers=3)
  ids = np.zeros((B, T), np.int32)

  def forward(params):
    hidden, _ = decoder.forward(params, config, ids, ids, attention.segment_attention(ids, ids))
    return decoder.logits(params, hidden.reshape(-1, config.dim))

  # The plain path computes the scores of the upper half of this short row, too.
  above = 2 * config.layers * config.heads * config.head_dim * T
  assert _flops(forward, decoder.abstract(config)) == B * T * (config.forward_flops(T) + above)


def test_the_kernels_of_splash_attention_count_the_blocks_up_to_the_diagonal() -> None:
  B, T, H, K, E = 1, 1024, 2, 1, 64  # two blocks of 512: three of four compute
  q, k = (jax.ShapeDtypeStruct((B, T, n, E), 'float32') for n in (H, K))
  ids = jax.ShapeDtypeStruct((B, T), 'int32')
  product = 2 * H * E * T * T * 3 / 4
  function = functools.partial(splash.attention, interpret=True)
  assert _flops(function, q, k, k, ids, ids, cells=splash.cells) == 2 * 2 * product  # own part and parent's
  gradient = jax.grad(lambda *x: function(*x).sum(), argnums=(0, 1, 2))
  sums = 2 * H * E * T  # out times its cotangent, by position
  assert _flops(gradient, q, k, k, ids, ids, cells=splash.cells) == 2 * ((2 + 3 + 4) * product + sums)
  with pytest.raises(ValueError, match='none of splash'):
    splash.cells('other', (2, 2))
