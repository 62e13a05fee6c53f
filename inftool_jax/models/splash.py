"""Attention of packed rows by JAX's splash kernels for TPU, which never hold the scores of a whole row.

A kernel's mask is causal and one equality of segment ids. Ours needs two, for a token sees its own segment and its parent: the kernel
runs twice and both parts are merged by their log-sum-exp, as a flash kernel merges its blocks. The gradient of the merged softmax is
that of either kernel when given the merged output and log-sum-exp, so the backward kernels run twice as well and their results add up.
Rows in which nobody has a parent, as in SFT, are spared the second. The kernels' own gradient rule does not know of the merger; hence the
two functions without a public name.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

LANES = 128  # a row's length must be a multiple
BLOCK = 512  # queries and keys of a kernel's step, at most
HEAD_SIZES = (64, 128)
RESULT = 'attention'  # as a rematerialization policy names output and log-sum-exp


def fits(length: int, head_size: int) -> bool:
  """Whether the kernels take rows of this length and heads of this size."""
  return length % LANES == 0 and head_size in HEAD_SIZES


def attention(q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, segments_BxT, parents_BxT, interpret: bool = False):
  """Softmax attention [B, T, H, E] under the mask of `attention.segment_attention`.

  Args:
    interpret: runs the kernels' code as ordinary operations, on any platform and slowly.
  """
  scaled = q_BxTxHxE * (1 / math.sqrt(q_BxTxHxE.shape[-1]))
  q_BxHxTxE, k_BxKxTxE, v_BxKxTxE = (x.transpose(0, 2, 1, 3) for x in (scaled, k_BxTxKxE, v_BxTxKxE))
  return _merged(q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, segments_BxT, parents_BxT, interpret).transpose(0, 2, 1, 3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _merged(q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, segments_BxT, parents_BxT, interpret: bool):
  return _forward(q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, segments_BxT, parents_BxT, interpret)[0]


def _forward(q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, segments_BxT, parents_BxT, interpret: bool):
  _, H, T, _ = q_BxHxTxE.shape
  kernel = _kernel(H, T, interpret)

  def part(ids_BxT):
    row = lambda q, k, v, ids, segments: kernel(q, k, v, kernels.SegmentIds(ids, segments))
    out_BxHxTxE, (lse_BxHxT,) = jax.vmap(row)(q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, ids_BxT, segments_BxT)
    return out_BxHxTxE, lse_BxHxT

  # A token without a parent sees nothing in the second part: its log-sum-exp is that of the kernel's mask value, its weight 0.
  own, own_lse = part(segments_BxT)
  none = lambda ids: (jnp.zeros_like(own), jnp.full_like(own_lse, kernels.DEFAULT_MASK_VALUE))
  parent, parent_lse = jax.lax.cond((parents_BxT >= 0).any(), part, none, parents_BxT)
  lse_BxHxT = jnp.logaddexp(own_lse, parent_lse)
  weighted = ((out, jnp.exp(lse - lse_BxHxT)[..., None]) for out, lse in ((own, own_lse), (parent, parent_lse)))
  out_BxHxTxE = sum(out.astype(jnp.float32) * weight for out, weight in weighted).astype(q_BxHxTxE.dtype)
  out_BxHxTxE, lse_BxHxT = checkpoint_name((out_BxHxTxE, lse_BxHxT), RESULT)
  return out_BxHxTxE, (q_BxHxTxE, k_BxKxTxE, v_BxKxTxE, segments_BxT, parents_BxT, out_BxHxTxE, lse_BxHxT)


def _backward(interpret: bool, residuals, d_out_BxHxTxE):
  q, k, v, segments_BxT, parents_BxT, out, lse = residuals
  kernel = _kernel(q.shape[1], q.shape[2], interpret)
  options = {**kernel.kwargs, 'save_residuals': False}

  def row(ids, q, k, v, segments, out, lse, d_out):
    saved = (q, k, v, kernels.SegmentIds(ids, segments), None, out, lse, kernel.dq_mask_info, kernel.dkv_mask_info)
    return kernels._splash_attention_bwd(**options, res=saved, do=d_out)[3:6]

  part = lambda ids: jax.vmap(row)(ids, q, k, v, segments_BxT, out, lse, d_out_BxHxTxE)
  own = part(segments_BxT)
  both = lambda ids: jax.tree.map(jnp.add, own, part(ids))
  return *jax.lax.cond((parents_BxT >= 0).any(), both, lambda ids: own, parents_BxT), None, None


_merged.defvjp(_forward, _backward)


def _kernel(heads: int, length: int, interpret: bool) -> kernels.SplashAttentionKernel:
  """The causal kernel of one row, which returns output and log-sum-exp."""
  block = math.gcd(length, BLOCK)
  sizes = kernels.BlockSizes(block, block, block, block, block, block, block, block)
  mask = masks.MultiHeadMask([masks.CausalMask((length, length))] * heads)
  return kernels.make_splash_mha(mask, block_sizes=sizes, head_shards=1, q_seq_shards=1, save_residuals=True, interpret=interpret)


def cells(name: str, grid: tuple[int, ...]) -> float:
  """How many cells of a kernel's grid compute: those at and below the diagonal of its blocks. The kernels declare no cost of their own."""
  if not name.startswith('splash'):
    raise ValueError(f'the kernel {name} is none of splash attention')
  blocks = grid[-1]  # as many along the keys: blocks of queries and keys are of one size
  return math.prod(grid) * (blocks + 1) / (2 * blocks)
