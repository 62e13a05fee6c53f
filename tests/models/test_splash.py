"""The kernels for TPU, interpreted on any platform, against the plain path: the same mask, the same numbers, the same gradient."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from inftool_jax.models import attention, splash

T = 384  # three blocks of the kernels
# (segment, parent, length) from left to right; what is left is padding.
ROWS = (
  ((1, -1, 100), (2, 1, 60), (3, 1, 130), (4, -1, 50)),  # two samples behind a prompt, all across blocks; another conversation
  ((1, -1, 128), (2, -1, 256)),  # no prompt is shared, no padding, an edge on a block's
)
PLAIN = next(b.function for b in attention.SEGMENTS if b.name == 'xla')


def _ids(rows) -> tuple[np.ndarray, np.ndarray]:
  segments, parents = np.zeros((len(rows), T), np.int32), np.full((len(rows), T), -1, np.int32)
  for b, row in enumerate(rows):
    start = 0
    for segment, parent, length in row:
      segments[b, start : start + length], parents[b, start : start + length] = segment, parent
      start += length
  return segments, parents


def _value_and_gradients(function, rows, pull: np.ndarray, *qkv: np.ndarray):
  def pulled(*qkv):
    out = function(*qkv, *_ids(rows))
    return (out * pull).sum(), out

  gradients, out = jax.jit(jax.grad(pulled, argnums=(0, 1, 2), has_aux=True))(*qkv)
  return {'out': out, **dict(zip('qkv', gradients))}


@pytest.mark.parametrize(
  ('rows', 'heads', 'kv_heads', 'head_size'),
  [(ROWS, 4, 2, 64), (ROWS, 2, 1, 128), (ROWS[1:], 2, 1, 128)],
  ids=['heads of 64', 'heads of 128', 'without parents'],
)
def test_output_and_gradients_are_those_of_the_plain_path(rows, heads: int, kv_heads: int, head_size: int) -> None:
  assert splash.fits(T, head_size)
  rng = np.random.default_rng(head_size)
  draw = lambda n: rng.normal(size=(len(rows), T, n, head_size)).astype(np.float32)
  pull, q, k, v = draw(heads), draw(heads), draw(kv_heads), draw(kv_heads)
  wanted = _value_and_gradients(PLAIN, rows, pull, q, k, v)
  got = _value_and_gradients(functools.partial(splash.attention, interpret=True), rows, pull, q, k, v)
  for name, x in wanted.items():
    np.testing.assert_allclose(got[name], x, rtol=0, atol=2e-6 * np.abs(x).max(), err_msg=name)


def test_shapes_that_the_kernels_do_not_take() -> None:
  assert splash.fits(128, 128) and splash.fits(8192, 64)
  assert not splash.fits(100, 128) and not splash.fits(128, 32) and not splash.fits(128, 96)
