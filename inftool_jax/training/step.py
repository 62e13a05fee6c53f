"""One jitted, donated program per update: micro-batches of packed rows, summed gradients, the optimizer."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from inftool_jax.models import attention, decoder, lora
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import placing
from inftool_jax.training import logprobs, objectives, placement
from inftool_jax.training.objectives import Measured, Objective, Tokens

HEAD_CHUNK = 1024  # positions whose logits are alive at once
HOST_LOGITS = 1 << 24  # the most of them on a CPU, which gains nothing from more and has the memory that all else is in


class State(NamedTuple):
  """What an update changes: the parameters that are trained (masters), the optimizer's state and the number of updates."""

  params: decoder.Params
  opt_state: Any
  step: jax.Array  # int32 []


class Micro(NamedTuple):
  """A micro-batch, R rows of T columns; see `data.packing` for the alignment of the columns, `objectives.Tokens` for the meaning."""

  tokens: np.ndarray  # int32 [R, T]
  segments: np.ndarray  # int32
  parents: np.ndarray  # int32
  positions: np.ndarray  # int32
  mask: np.ndarray  # bool, tokens of the policy that are trained
  replay: np.ndarray  # bool, tokens of demonstrations that are trained
  weight: np.ndarray  # float32
  advantage: np.ndarray  # float32
  behavior: np.ndarray  # float32
  old: np.ndarray  # float32, counts only if `revisited`
  reference: np.ndarray  # float32


class Batch(NamedTuple):
  """M micro-batches: the arrays of `Micro`, [M, R, T], and what there is one of."""

  tokens: np.ndarray
  segments: np.ndarray
  parents: np.ndarray
  positions: np.ndarray
  mask: np.ndarray
  replay: np.ndarray
  weight: np.ndarray
  advantage: np.ndarray
  behavior: np.ndarray
  old: np.ndarray
  reference: np.ndarray
  used: np.int32  # micro-batches that hold anything
  tokens_total: np.float32  # trained tokens of the policy in the whole batch: the denominator of loss and metrics
  revisited: np.bool_  # `old` holds log-probabilities; else this update is the batch's first, and they are its own

  def micro(self, m) -> Micro:
    return jax.tree.map(lambda x: x[m], Micro._make(self[: len(Micro._fields)]))


def init(trained: decoder.Params, transform: optax.GradientTransformation, places: State | None = None) -> State:
  """The state before the first update; with `places` the parameters lie there already and the optimizer's state is born beside them."""
  if places is None:
    return State(trained, transform.init(trained), jnp.zeros((), jnp.int32))
  opt_state = jax.jit(transform.init, out_shardings=places.opt_state)(trained)
  return State(trained, opt_state, jnp.zeros((), jnp.int32, device=places.step))


def places(config: DecoderConfig, transform: optax.GradientTransformation, mesh: Mesh | None) -> State | None:
  """A sharding in the place of each array of the state; None on one device."""
  if mesh is None:
    return None
  _, trained = lora.split(decoder.abstract(config))
  _, axes = lora.split(decoder.logical_axes(config))
  return placement.like_parameters(jax.eval_shape(lambda p: init(p, transform), trained), trained, axes, mesh)


def batch_places(mesh: Mesh) -> Batch:
  """A sharding in the place of each array of a batch: rows are divided over the devices, all else is whole."""
  whole, rows = placing.replicated(mesh), placing.rows(mesh, 1)
  return Batch._make(rows if name in Micro._fields else whole for name in Batch._fields)


def make(
  config: DecoderConfig,
  transform: optax.GradientTransformation,
  objective: Objective,
  mesh: Mesh | None = None,
  limit: float = math.inf,
):
  """The update as one compiled program: (state, batch, frozen) -> (state, metrics, logp).

  The state is donated, `frozen` is not: what of the parameters is not trained (`lora.split`), the base of adapters or {}. The gradient
  is that of the objective's mean over all trained tokens of the batch, whatever the micro-batches (invariant 5). Metrics are token
  means and peaks, plus `grad_norm` and `update_norm`. A step whose gradient is not finite, or has a norm above `limit`, changes nothing
  and reports `skipped` = 1; one of a batch that holds nothing changes nothing either. On a mesh the rows of a micro-batch are divided
  over the devices of `batch` (`parallel.rules`), of which R must be a multiple.

  `logp` [M, R, T], float32, are the log-probabilities of the trained tokens before the update: `old` of the batch's next update
  (`again`). They are of this very program, so that the ratio differs from 1 by what the parameters have moved and by nothing else.
  """

  def run(state, batch, frozen):
    with placing.on(mesh):
      return update(state, batch, frozen, config, transform, objective, limit)

  placed: dict[str, Any] = {}
  if mesh is not None:
    state, whole = places(config, transform, mesh), placing.replicated(mesh)
    frozen = placing.shardings(mesh, lora.split(decoder.logical_axes(config))[0])
    placed = {'in_shardings': (state, batch_places(mesh), frozen), 'out_shardings': (state, whole, placing.rows(mesh, 1))}
  return jax.jit(run, donate_argnums=0, **placed)


def again(batch: Batch, logp: Any) -> Batch:
  """The batch for another update, after a first one that found these log-probabilities."""
  return batch._replace(old=logp, revisited=np.bool_(True))


def update(
  state: State, batch: Batch, frozen: decoder.Params, config: DecoderConfig, transform, objective: Objective, limit: float = math.inf
) -> tuple[State, dict[str, jax.Array], jax.Array]:
  _, axes = lora.split(decoder.logical_axes(config))
  # Cast once for all micro-batches, so that what these gather is in the compute dtype. The gradient of an embedding is a sum over tokens
  # that the compute dtype would round at each; it is taken of the master.
  computed = placing.constrain_parameters(decoder.served(state.params, config, masters=('embed',)), axes)

  def grad_fn(trained, micro):
    return jax.grad(lambda p: loss_sum(lora.join(frozen, p), micro, config, objective, batch.revisited), has_aux=True)(trained)

  def accumulate(m, carry):
    grads, measured, logp = carry
    new_grads, (new, logp_RxT) = grad_fn(computed, batch.micro(m))
    grads = placing.constrain_parameters(jax.tree.map(lambda g, new: g + new.astype(g.dtype), grads, new_grads), axes)
    sums, peaks = jax.tree.map(jnp.add, measured.sums, new.sums), jax.tree.map(jnp.maximum, measured.peaks, new.peaks)
    return grads, Measured(sums, peaks), logp.at[m].set(logp_RxT)

  _, (measured, _) = jax.eval_shape(grad_fn, computed, batch.micro(0))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (state.params, measured))
  grads, measured, logp = jax.lax.fori_loop(0, batch.used, accumulate, (*zeros, jnp.zeros(batch.tokens.shape, jnp.float32)))
  total = jnp.maximum(batch.tokens_total, 1.0)
  grads, means = jax.tree.map(lambda g: g / total, (grads, measured.sums))

  norm = optax.tree.norm(grads)
  good = jnp.isfinite(norm) & (norm <= limit)
  updates, opt_state = transform.update(grads, state.opt_state, state.params)
  new = State(optax.apply_updates(state.params, updates), opt_state, state.step + 1)
  moves = good & (batch.used > 0)  # without anything to learn from, momentum and decay would move it all the same
  new = jax.tree.map(lambda a, b: jnp.where(moves, a, b), new, state)
  metrics = objectives.metrics(means, measured.peaks)
  metrics |= {'grad_norm': norm, 'update_norm': jnp.where(moves, optax.tree.norm(updates), 0.0), 'skipped': 1.0 - good}
  return new, metrics, logp


def loss_sum(params: decoder.Params, micro: Micro, config: DecoderConfig, objective: Objective, revisited: jax.Array | bool = False):
  """Sum of the objective over the trained tokens of one micro-batch; what it measured and the log-probabilities [R, T]."""
  R, T = micro.tokens.shape
  after = lambda rows_RxT: rows_RxT[:, 1:].reshape(-1)  # column t is predicted at t - 1
  mask_N, replay_N = after(micro.mask), after(micro.replay)
  logp, entropy = _of_tokens(params, micro, mask_N | replay_N, config)
  own = jax.lax.stop_gradient(logp)
  # Segments count from 1 and begin with a token that is not trained: a trained one of segment s is in column s or after, so s < T.
  sequence_N = after(micro.segments) - 1 + (T - 1) * jnp.repeat(jnp.arange(R), T - 1)
  tokens = Tokens(
    logp, entropy, mask_N, after(micro.advantage), after(micro.behavior), jnp.where(revisited, after(micro.old), own),
    after(micro.reference), after(micro.weight), sequence_N, replay_N,
  )  # fmt: skip
  loss, measured = objective(tokens)
  return loss, (measured, _columns(own, R))


def score(params: decoder.Params, micro: tuple, config: DecoderConfig) -> jax.Array:
  """The learner's log-probabilities [R, T] of each token given its past (0 in column 0): the program behind `loss_sum`."""
  R, T = micro[0].shape
  logp, _ = _of_tokens(params, micro, jnp.ones(R * (T - 1), bool), config)
  return _columns(logp, R)


def scorer(config: DecoderConfig, axes: Any, mesh: Mesh | None = None):
  """Log-probabilities of a batch's trained tokens as one compiled program: (params, batch) -> float32 [M, R, T].

  `axes` are the logical axes of `params`: the whole policy's, or those of a base without its adapters.
  """

  def run(params, batch: Batch):
    def one(m, logp_MxRxT):
      micro = batch.micro(m)
      logp, _ = _of_tokens(params, micro, micro.mask[:, 1:].reshape(-1), config)
      return logp_MxRxT.at[m].set(_columns(logp, micro.tokens.shape[0]))

    with placing.on(mesh):
      return jax.lax.fori_loop(0, batch.used, one, jnp.zeros(batch.tokens.shape, jnp.float32))

  placed: dict[str, Any] = {}
  if mesh is not None:
    placed = {'in_shardings': (placing.shardings(mesh, axes), batch_places(mesh)), 'out_shardings': placing.rows(mesh, 1)}
  return jax.jit(run, **placed)


def _of_tokens(params: decoder.Params, micro: tuple, wanted_N: jax.Array, config: DecoderConfig) -> tuple[jax.Array, jax.Array]:
  """Log-probability and entropy of the tokens from column 1 on, [N] with N = R * (T - 1), where wanted."""
  tokens_RxT, segments, parents, positions = micro[:4]
  hidden_RxTxD, _ = decoder.forward(params, config, tokens_RxT, positions, attention.segment_attention(segments, parents))
  hidden_NxD = placing.constrain(hidden_RxTxD, 'batch', 'context', 'dim')[:, :-1].reshape(-1, config.dim)
  return logprobs.token_logprobs(params, hidden_NxD, tokens_RxT[:, 1:].reshape(-1), wanted_N, _head_chunk(config.vocab))


def _head_chunk(vocab: int) -> int:
  return min(HEAD_CHUNK, max(64, HOST_LOGITS // vocab)) if placing.platform() == 'cpu' else HEAD_CHUNK


def _columns(logp_N: jax.Array, rows: int) -> jax.Array:
  """Back in rows, 0 in column 0, which nothing predicts."""
  return jnp.pad(logp_N.reshape(rows, -1), ((0, 0), (1, 0)))
