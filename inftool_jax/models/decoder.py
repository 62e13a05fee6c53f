"""One decoder-only transformer (Qwen2.5, Qwen3, Llama 3) for training, prefill and decode.

Flax NNX defines the parameters; `split` turns them into a pure pytree and everything hot is a free function of
that pytree. The layers are stacked along a leading L axis and scanned: compile time does not grow with depth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh

from inftool_jax.models import lora, rope, splash
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel import placing
from inftool_jax.parallel.placing import constrain

Params = dict[str, Any]
Cache = Any
# (layer index, q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, cache) -> (out_BxTxHxE, cache)
Attend = Callable[[jax.Array, jax.Array, jax.Array, jax.Array, Cache], tuple[jax.Array, Cache]]


# Models of so few layers are unrolled: XLA's CPU backend runs a loop's body on fewer threads (tiny preset, 2 cores, 2026-11-22:
# 4,040 against 3,230 training tokens a second).
UNROLLED = 8


# What of a layer is kept for the backward pass beside its input, by `DecoderConfig.remat` ('none': all of it, nothing is computed
# again). 'projections' keeps the results of the matrix products with parameters and of the TPU's attention kernels, and computes other
# attention, norms and SiLU again; 'attention' keeps of them what attention takes and gives, and computes the widest again, those of the
# feed-forward; 'full' keeps nothing and computes the whole layer again.
_ATTENTION = ('q', 'k', 'v', 'o', splash.RESULT)
REMAT_POLICIES = {
  'projections': jax.checkpoint_policies.save_only_these_names(*_ATTENTION, 'gate', 'up', lora.A),
  'attention': jax.checkpoint_policies.save_only_these_names(*_ATTENTION, lora.A),
  'full': jax.checkpoint_policies.nothing_saveable,
}


class Block(nnx.Module):
  """One layer's parameters."""

  def __init__(self, config: DecoderConfig, *, rngs: nnx.Rngs):
    c, dtype = config, jnp.dtype(config.param_dtype)
    init = nnx.initializers.normal(0.02)
    out_init = nnx.initializers.normal(0.02 / (2 * c.layers) ** 0.5)  # residual branches shrink with depth (GPT-2)

    def matrix(rows: int, columns: int, initializer=init) -> nnx.Param:
      return nnx.Param(initializer(rngs.params(), (rows, columns), dtype))

    self.attention_norm = nnx.Param(jnp.ones((c.dim,), dtype))
    self.q = matrix(c.dim, c.heads * c.head_dim)
    self.k = matrix(c.dim, c.kv_heads * c.head_dim)
    self.v = matrix(c.dim, c.kv_heads * c.head_dim)
    self.o = matrix(c.heads * c.head_dim, c.dim, out_init)
    if c.qkv_bias:
      self.q_bias = nnx.Param(jnp.zeros((c.heads * c.head_dim,), dtype))
      self.k_bias = nnx.Param(jnp.zeros((c.kv_heads * c.head_dim,), dtype))
      self.v_bias = nnx.Param(jnp.zeros((c.kv_heads * c.head_dim,), dtype))
    if c.qk_norm:
      self.q_norm = nnx.Param(jnp.ones((c.head_dim,), dtype))
      self.k_norm = nnx.Param(jnp.ones((c.head_dim,), dtype))
    self.ffn_norm = nnx.Param(jnp.ones((c.dim,), dtype))
    self.gate = matrix(c.dim, c.ffn)
    self.up = matrix(c.dim, c.ffn)
    self.down = matrix(c.ffn, c.dim, out_init)


class Decoder(nnx.Module):
  """Embedding, L stacked blocks, final norm and head."""

  def __init__(self, config: DecoderConfig, *, rngs: nnx.Rngs):
    dtype = jnp.dtype(config.param_dtype)
    init = nnx.initializers.normal(0.02)
    self.embed = nnx.Param(init(rngs.params(), (config.vocab, config.dim), dtype))

    @nnx.split_rngs(splits=config.layers)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def stack(rngs: nnx.Rngs) -> Block:
      return Block(config, rngs=rngs)

    self.blocks = stack(rngs)
    self.norm = nnx.Param(jnp.ones((config.dim,), dtype))
    if not config.tied:
      self.head = nnx.Param(init(rngs.params(), (config.vocab, config.dim), dtype))


# The logical axes of each parameter; what they mean on a mesh is `parallel.rules`' business. Those of a block have `layers` before them.
AXES = {'embed': ('vocab', 'dim'), 'norm': ('norm',), 'head': ('vocab', 'dim')}
BLOCK_AXES = {
  'attention_norm': ('norm',),
  'q': ('dim', 'heads'),
  'k': ('dim', 'kv_heads'),
  'v': ('dim', 'kv_heads'),
  'o': ('heads', 'dim'),
  'q_bias': ('heads',),
  'k_bias': ('kv_heads',),
  'v_bias': ('kv_heads',),
  'q_norm': ('head',),
  'k_norm': ('head',),
  'ffn_norm': ('norm',),
  'gate': ('dim', 'ffn'),
  'up': ('dim', 'ffn'),
  'down': ('ffn', 'dim'),
}


def logical_axes(config: DecoderConfig) -> Params:
  """The tree of the parameters with a tuple of axis names in the place of each array."""
  return axes_of(abstract(config))


def axes_of(params: Params) -> Params:
  """The same for a tree like the parameters, with whatever stands beside its matrices."""
  blocks = {name: ('layers', *_block_axes(name)) for name in params['blocks']}
  return {name: blocks if name == 'blocks' else AXES[name] for name in params}


def _block_axes(name: str) -> tuple[str, ...]:
  matrix = name.removesuffix(lora.A).removesuffix(lora.B).removesuffix(lora.SCALE)
  if matrix == name:
    return BLOCK_AXES[name]
  rows, columns = BLOCK_AXES[matrix]
  return {matrix + lora.A: (rows, 'rank'), matrix + lora.B: ('rank', columns), matrix + lora.SCALE: (columns,)}[name]


def dimensions(config: DecoderConfig) -> Iterator[meshes.Dimension]:
  """What must divide evenly for the parameters to lie on a mesh, and attention to run there."""
  c = config
  sizes = {'vocab': c.vocab, 'dim': c.dim, 'heads': c.heads, 'kv_heads': c.kv_heads, 'ffn': c.ffn}
  yield from meshes.parameters(logical_axes(config), sizes)
  yield meshes.activation(f'attention has {c.kv_heads} key/value heads', c.kv_heads, 'attended_heads')


def init(config: DecoderConfig, seed: int, mesh: Mesh | None = None) -> Params:
  """Random parameters as a plain nested dict of arrays (`blocks` leaves have a leading L axis), each born where it lies on the mesh."""

  def drawn() -> Params:
    base = split(Decoder(config, rngs=nnx.Rngs(params=seed)))
    return adapted(lora.quantized(base) if config.lora and config.lora.int8 else base, config, seed)

  return drawn() if mesh is None else jax.jit(drawn, out_shardings=placing.shardings(mesh, logical_axes(config)))()


def adapted(base: Params, config: DecoderConfig, seed: int, mesh: Mesh | None = None) -> Params:
  """The base with fresh adapters beside it; itself where the config has none."""
  if config.lora is None:
    return base
  places = None if mesh is None else placing.shardings(mesh, lora.split(logical_axes(config))[1])
  return lora.join(base, jax.jit(functools.partial(lora.init, base, config.lora, seed), out_shardings=places)())


def split(model: Decoder) -> Params:
  """The model's parameters as a plain nested dict of arrays."""
  return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def abstract(config: DecoderConfig) -> Params:
  """Shapes and dtypes of the parameters, nothing allocated."""
  return jax.eval_shape(lambda: init(config, 0))


def served(params: Params, config: DecoderConfig, masters: tuple[str, ...] = ()) -> Params:
  """The parameters as `forward` uses them: in the compute dtype, but for norms' and int8 scales, which it computes with in their own.

  A sampler that holds these computes what the learner does from its masters, bit for bit, in half of their memory under bfloat16.
  `masters` names those that stay as they are, too.
  """
  dtype = jnp.dtype(config.compute_dtype)

  def cast(path, x):
    name = path[-1].key
    kept = name.endswith(('norm', lora.SCALE)) or name in masters or not jnp.issubdtype(x.dtype, jnp.floating)
    return x if kept or x.dtype == dtype else x.astype(dtype)

  return jax.tree_util.tree_map_with_path(cast, params)


def with_kv_heads(params: Params, config: DecoderConfig, kv_heads: int) -> Params:
  """The same decoder with each key/value head there several times, for meshes with more devices than heads: `kv_heads` in all."""
  times = kv_heads // config.kv_heads
  columns = {matrix + suffix for matrix in ('k', 'v') for suffix in ('', '_bias', lora.B, lora.SCALE)}

  def repeated(x):
    heads = x.reshape(*x.shape[:-1], config.kv_heads, config.head_dim)
    return jnp.repeat(heads, times, axis=-2).reshape(*x.shape[:-1], kv_heads * config.head_dim)

  blocks = {name: repeated(x) if name in columns else x for name, x in params['blocks'].items()}
  return params if times == 1 else {**params, 'blocks': blocks}


def forward(
  params: Params,
  config: DecoderConfig,
  tokens_BxT: jax.Array,
  positions_BxT: jax.Array,
  attend: Attend,
  cache: Cache = (),
) -> tuple[jax.Array, Cache]:
  """Final-norm hidden states of the tokens, int32 [B, T] -> compute dtype [B, T, D], and the cache.

  The one forward program of sampler and learner (invariant 3); phases differ in `attend` and `cache` only.
  What its backward pass keeps is `config.remat`'s choice.
  """
  dtype = jnp.dtype(config.compute_dtype)
  x_BxTxD = _embedded(params['embed'], tokens_BxT, dtype)
  angles_BxTxE = rope.angles(positions_BxT, config.head_dim, config.rope_theta, config.rope_scaling)

  def layer(carry, scanned):
    x, cache = carry
    block, index = scanned
    x, cache = apply_block(block, config, x, angles_BxTxE, lambda q, k, v, c: attend(index, q, k, v, c), cache)
    return (x, cache), None

  policy = REMAT_POLICIES.get(config.remat)
  body = layer if policy is None else jax.checkpoint(layer, policy=policy)
  unroll = config.layers <= UNROLLED
  (x_BxTxD, cache), _ = jax.lax.scan(body, (x_BxTxD, cache), (params['blocks'], jnp.arange(config.layers)), unroll=unroll)
  return rms_norm(x_BxTxD, params['norm'], config.norm_eps), cache


def _embedded(embed_VxD: jax.Array, tokens_BxT: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """Rows of the embedding, [B, T, D], as the residual stream lies.

  Not the table goes around but tokens and what each device's columns have for them: of a vocabulary of 152,064 a micro-batch needs few.
  """

  def rows(embed, tokens):
    found = placing.look_up(embed, placing.shown(tokens, 'stored_dim'), 'vocab').astype(dtype)
    return placing.traded(placing.scattered(found, 'vocab', axis=1), 'stored_dim', axis=2)

  inputs = (('vocab', 'stored_dim'), ('batch', 'length'))
  return placing.by_shard(rows, inputs, ('batch', 'residual', 'dim'))(embed_VxD, tokens_BxT)


def apply_block(block: Params, config: DecoderConfig, x_BxTxD, angles_BxTxE, attend, cache):
  """One pre-norm transformer layer."""
  c, dtype = config, x_BxTxD.dtype
  B, T, _ = x_BxTxD.shape

  def normed(name: str):
    return placing.gathered(rms_norm(x_BxTxD, block[name], c.norm_eps), ('batch', 'length', 'dim'), ('batch', 'residual', 'dim'))

  def matrix(name: str):
    w = block[name]
    axes = BLOCK_AXES[name]
    if jnp.issubdtype(w.dtype, jnp.floating):
      return placing.gathered_parameter(w.astype(dtype), axes)
    return placing.gathered_parameter(w, axes).astype(dtype)  # 8 bits are sent, not 16

  def finished(h, y, name: str):
    if name + lora.SCALE in block:
      y = (y * block[name + lora.SCALE]).astype(dtype)
    if c.lora is not None and name + lora.A in block:
      low_BxTxR = constrain(matmul(h, block[name + lora.A].astype(dtype)), 'batch', 'length', 'rank')
      y = y + matmul(checkpoint_name(low_BxTxR, lora.A) * c.lora.scale, block[name + lora.B].astype(dtype))
    return checkpoint_name(y, name)

  def products(h, axis: str, *names: str):
    """`h` times each of the matrices, their scales and adapters included; `axis` is what their results' columns are."""
    return (finished(h, y, name) for name, y in zip(names, matmuls(h, [matrix(name) for name in names], axis)))

  def added(h, axis: str, name: str):
    """The residual stream and `h`, whose columns are `axis`, times a matrix."""
    return x_BxTxD + constrain(finished(h, matmul_scattered(h, matrix(name), axis), name), 'batch', 'residual', 'dim')

  def in_heads(y, name: str, heads: int):
    if c.qkv_bias:
      y = y + block[name + '_bias'].astype(dtype)
    return constrain(y.reshape(B, T, heads, c.head_dim), 'batch', 'length', 'heads', 'head')

  def rotated(y, name: str, heads: int):
    y = in_heads(y, name, heads)
    if c.qk_norm:
      y = rms_norm(y, block[name + '_norm'], c.norm_eps)
    return rope.rotate(y, angles_BxTxE, c.rope_scaling)

  q, k, v = products(normed('attention_norm'), 'heads', 'q', 'k', 'v')
  q_BxTxHxE = rotated(q, 'q', c.heads)
  k_BxTxKxE = rotated(k, 'k', c.kv_heads)
  v_BxTxKxE = in_heads(v, 'v', c.kv_heads)
  out_BxTxHxE, cache = attend(q_BxTxHxE, k_BxTxKxE, v_BxTxKxE, cache)
  out_BxTxHE = constrain(out_BxTxHxE.reshape(B, T, c.heads * c.head_dim), 'batch', 'length', 'heads')
  x_BxTxD = added(out_BxTxHE, 'heads', 'o')

  gate_BxTxF, up_BxTxF = products(normed('ffn_norm'), 'ffn', 'gate', 'up')
  gated_BxTxF = jax.nn.silu(gate_BxTxF) * up_BxTxF
  return added(constrain(gated_BxTxF, 'batch', 'length', 'ffn'), 'ffn', 'down'), cache


@jax.custom_vjp
def matmul(x_BxTxI: jax.Array, w_IxO: jax.Array) -> jax.Array:
  """`x @ w`, [B, T, O]; its gradient is computed once and then used twice.

  Left alone, XLA's CPU backend computes what leads to the incoming gradient (SiLU, norm) again inside a transposing loop on one
  thread: a training step of the tiny preset takes 1.3 times as long (2 cores, 2026-11-25). Other backends see plain products.
  """
  return x_BxTxI @ w_IxO


def _matmul_forward(x_BxTxI, w_IxO):
  return x_BxTxI @ w_IxO, (x_BxTxI, w_IxO)


def _matmul_backward(residuals, g_BxTxO):
  x_BxTxI, w_IxO = residuals
  g_BxTxO = jax.lax.platform_dependent(g_BxTxO, cpu=jax.lax.optimization_barrier, default=lambda g: g)
  return jnp.einsum('bto,io->bti', g_BxTxO, w_IxO), jnp.einsum('bti,bto->io', x_BxTxI, g_BxTxO)


matmul.defvjp(_matmul_forward, _matmul_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul_scattered(x_BxTxI: jax.Array, w_IxO: jax.Array, axis: str) -> jax.Array:
  """`x @ w`, [B, T, O], where I is the logical axis `axis`; as the residual stream lies.

  What devices contribute to the sum over I is added up where it stays. A compiler that is told where the sum has to lie may make it
  whole everywhere and cut it afterwards (XLA for v6e, 2026-11-30).
  """
  part = lambda x, w: placing.scattered(x @ w, axis, axis=1)
  return placing.by_shard(part, (('batch', 'length', axis), (axis, 'dim')), ('batch', 'residual', 'dim'))(x_BxTxI, w_IxO)


matmul_scattered.defvjp(
  lambda x, w, axis: (matmul_scattered(x, w, axis), (x, w)),
  lambda axis, residuals, g_BxTxO: _matmul_backward(residuals, constrain(g_BxTxO, 'batch', 'length', 'dim')),
)


def matmuls(x_BxTxI: jax.Array, weights: Sequence[jax.Array], axis: str) -> Sequence[jax.Array]:
  """`x @ w` for each of the weights [I, O], [B, T, O], where O, which may differ, is the logical axis `axis`.

  Where that is divided, what devices contribute to the gradient of `x` is computed by one product, so that it is added up once and not
  for each of the weights.
  """
  return _matmuls(x_BxTxI, weights, axis) if placing.divided(axis) else [matmul(x_BxTxI, w) for w in weights]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _matmuls(x_BxTxI, weights, axis: str):
  return _matmuls_forward(x_BxTxI, weights, axis)[0]


def _matmuls_forward(x_BxTxI, weights, axis: str):
  del axis
  return [x_BxTxI @ w for w in weights], (x_BxTxI, weights)


def _matmuls_backward(axis: str, residuals, gradients):
  x_BxTxI, weights = residuals

  def part(gradients, weights):
    joined = (jnp.concatenate(arrays, axis=-1) for arrays in (gradients, weights))
    return placing.scattered(jnp.einsum('bto,io->bti', *joined), axis, axis=1)

  inputs = [('batch', 'length', axis)] * len(weights), [('dim', axis)] * len(weights)
  d_x = placing.by_shard(part, inputs, ('batch', 'residual', 'dim'))(gradients, weights)
  return d_x, [jnp.einsum('bti,bto->io', x_BxTxI, g) for g in gradients]


_matmuls.defvjp(_matmuls_forward, _matmuls_backward)


def head(params: Params) -> jax.Array:
  """The output matrix, [V, D]."""
  return params['head'] if 'head' in params else params['embed']


def logits(params: Params, hidden_NxD: jax.Array) -> jax.Array:
  """float32 logits [N, V] of the hidden states [N, D]."""
  weight_VxD = head(params).astype(hidden_NxD.dtype)
  return jnp.einsum('nd,vd->nv', hidden_NxD, weight_VxD, preferred_element_type=jnp.float32)


def rms_norm(x: jax.Array, scale: jax.Array, eps: float) -> jax.Array:
  """Root-mean-square norm over the last axis, computed in float32 (arXiv 1910.07467)."""
  x32 = x.astype(jnp.float32)
  x32 = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * scale.astype(jnp.float32)).astype(x.dtype)
