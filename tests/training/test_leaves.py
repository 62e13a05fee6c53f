"""The hash of a leaf is that of its content, wherever it lies; two states are compared tensor by tensor."""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from inftool_jax.training import leaves


@pytest.mark.parametrize('dtype', [np.float32, np.int8, np.int64, np.bool_, ml_dtypes.bfloat16])
@pytest.mark.parametrize('shape', [(), (3, 0), (5, 7)])
def test_a_leaf_is_hashed_with_its_dtype_and_shape_in_row_major_order(dtype: type, shape: tuple[int, ...]) -> None:
  array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
  leaf = leaves.describe({'x': array})['x']
  assert leaf.sha256 == hashlib.sha256(f'{array.dtype.name}{array.shape}'.encode() + array.tobytes()).hexdigest()
  assert (leaf.shape, leaf.dtype, leaf.size) == (shape, array.dtype.name, array.nbytes)
  assert leaves.describe({'x': array.copy(order='F')})['x'] == leaf
  if array.dtype != np.int64:
    assert leaves.describe({'x': jnp.asarray(array)})['x'] == leaf


def test_a_tree_is_its_named_leaves() -> None:
  tree = {'params': {'b': jnp.ones(2), 'a': jnp.zeros(3)}, 'moments': [jnp.ones(1)], 'step': 3, 'rate': 0.5, 'done': False}
  flat = leaves.flatten(tree)
  assert set(flat) == {'params.a', 'params.b', 'moments.0', 'step', 'rate', 'done'}
  again = leaves.unflatten(flat, tree)
  assert jax.tree.structure(again) == jax.tree.structure(tree)
  assert [type(again[name]) for name in ('step', 'rate', 'done')] == [int, float, bool]
  with pytest.raises(ValueError, match='same name'):
    leaves.flatten({'a.b': 1, 'a': {'b': 2}})


def test_the_first_difference_is_named_and_the_others_are_counted() -> None:
  saved = leaves.describe({'a': np.ones(2, np.float32), 'c': np.ones((2, 3), np.float32), 'x': np.ones(1)})
  like = lambda **changes: {'a': np.ones(2, np.float32), 'c': np.ones((2, 3), np.float32), 'x': np.ones(1)} | changes
  assert leaves.difference(saved, like()) == ''
  assert leaves.difference(saved, like(c=np.ones((3, 2), np.float32))) == 'tensor c is float32[2, 3] there and float32[3, 2] here'
  assert leaves.difference(saved, {'b': np.ones(1), **like(x=np.ones(1, int))}) == (
    'tensor b is missing there and float64[1] here; 1 more differ'
  )
  assert leaves.difference(saved, {'a': np.ones(2, np.float32)}) == 'tensor c is float32[2, 3] there and not expected here; 1 more differ'
