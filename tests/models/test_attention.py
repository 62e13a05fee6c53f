"""Who sees whom: segments and parents in training rows, slots and positions in the cache."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from inftool_jax.models import attention
from inftool_jax.parallel import placing, rules

H, K, E = 4, 2, 8


def _qkv(B: int, T: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  return tuple(rng.normal(size=(B, T, heads, E)).astype(np.float32) for heads in (H, K, K))  # type: ignore[return-value]


def _expected(q: np.ndarray, k: np.ndarray, v: np.ndarray, visible: np.ndarray) -> np.ndarray:
  """float64 attention [T, H, E] of one row; `visible` [T, S] says which keys each query sees."""
  out = np.zeros(q.shape)
  for t in range(q.shape[0]):
    for h in range(H):
      keys, values = k[visible[t], h // (H // K)], v[visible[t], h // (H // K)]
      scores = keys.astype(np.float64) @ q[t, h] / np.sqrt(E)
      e = np.exp(scores - scores.max())
      out[t, h] = (e / e.sum()) @ values
  return out


SEGMENTS = np.array([[1, 1, 1, 2, 2, 3, 3, 3, 0, 0], [1, 1, 2, 2, 2, 2, 0, 0, 0, 0], [0] * 10], np.int32)
PARENTS = np.array([[-1, -1, -1, 1, 1, 1, 1, 1, -1, -1], [-1] * 10, [-1] * 10], np.int32)
# By hand, row 0: columns each column sees. Segments 2 and 3 see their parent 1 and themselves, never each other.
SEEN_IN_ROW_0 = [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 5}, {0, 1, 2, 5, 6}, {0, 1, 2, 5, 6, 7}]
SEEN_IN_ROW_1 = [{0}, {0, 1}, {2}, {2, 3}, {2, 3, 4}, {2, 3, 4, 5}]


def test_a_token_sees_the_past_of_its_own_segment_and_of_its_parent() -> None:
  q, k, v = _qkv(3, 10)
  out, cache = attention.segment_attention(SEGMENTS, PARENTS)(0, q, k, v, ())
  assert cache == () and out.shape == q.shape
  for row, seen in ((0, SEEN_IN_ROW_0), (1, SEEN_IN_ROW_1)):
    visible = np.array([[column in columns for column in range(10)] for columns in seen])
    n = len(seen)
    np.testing.assert_allclose(out[row, :n], _expected(q[row, :n], k[row], v[row], visible), atol=1e-5)


def test_what_is_not_seen_does_not_change_a_bit() -> None:
  q, k, v = _qkv(3, 10)
  attend = attention.segment_attention(SEGMENTS, PARENTS)
  before = attend(0, q, k, v, ())[0]
  for hidden in (3, 4, 8, 9):  # segment 2 and padding, seen from segment 3 in row 0
    k[0, hidden], v[0, hidden] = 1e4, -1e4
  after = attend(0, q, k, v, ())[0]
  np.testing.assert_array_equal(after[0, 5:8], before[0, 5:8])
  np.testing.assert_array_equal(after[1:], before[1:])
  assert (after[0, 3:5] != before[0, 3:5]).any()


def test_padding_is_finite_forward_and_backward() -> None:
  q, k, v = _qkv(3, 10)
  attend = attention.segment_attention(SEGMENTS, PARENTS)
  out, grads = jax.jit(jax.value_and_grad(lambda *qkv: (attend(0, *qkv, ())[0] ** 2).sum(), argnums=(0, 1, 2)))(q, k, v)
  assert np.isfinite(out) and all(np.isfinite(g).all() for g in grads)
  assert np.isfinite(attend(0, q, k, v, ())[0][2]).all()  # a row of padding only


# --- Which backend ---


@pytest.mark.parametrize(
  ('platform', 'length', 'head_size', 'name'),
  [
    ('tpu', 1024, 128, 'splash'),
    ('tpu', 128, 64, 'splash'),
    ('tpu', 1000, 128, 'xla'),  # no whole number of lanes
    ('tpu', 1024, 32, 'xla'),
    ('gpu', 1024, 128, 'xla'),  # cuDNN knows no segments
    ('cpu', 1024, 128, 'xla'),
  ],
)
def test_packed_rows_get_a_backend_that_honors_segments_and_takes_the_shape(platform, length, head_size, name) -> None:
  assert attention.choose(attention.SEGMENTS, length, head_size, platform).name == name


def test_the_platform_is_that_of_the_mesh_not_of_the_host() -> None:
  assert placing.platform() == jax.default_backend()
  device = AbstractDevice(device_kind='TPU v5', num_cores=1, platform='tpu')
  with jax.sharding.use_abstract_mesh(AbstractMesh((1, 2, 1, 1), rules.AXES, abstract_device=device)):
    assert placing.platform() == 'tpu'
