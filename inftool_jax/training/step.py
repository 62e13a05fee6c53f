"""One jitted, donated program per update: micro-batches of packed rows, summed gradients, the optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from inftool_jax.models import attention, decoder, lora
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import placing
from inftool_jax.training import logprobs, placement
from inftool_jax.training.objectives import Objective, Tokens

HEAD_CHUNK = 1024  # positions whose logits are alive at once


class State(NamedTuple):
  """What an update changes: the parameters that are trained (masters), the optimizer's state and the number of updates."""

  params: decoder.Params
  opt_state: Any
  step: jax.Array  # int32 []


class Batch(NamedTuple):
  """M micro-batches of R rows of T columns; see `data.packing` for the alignment of the columns."""

  tokens: np.ndarray  # int32 [M, R, T]
  segments: np.ndarray  # int32
  parents: np.ndarray  # int32
  positions: np.ndarray  # int32
  mask: np.ndarray  # bool, trained tokens
  advantage: np.ndarray  # float32
  behavior: np.ndarray  # float32
  used: np.int32  # , micro-batches that hold anything
  tokens_total: np.float32  # trained tokens of the whole batch: the denominator of loss and metrics


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


def make(config: DecoderConfig, transform: optax.GradientTransformation, objective: Objective, mesh: Mesh | None = None):
  """The update as one compiled program: (state, batch, frozen) -> (state, metrics).

  The state is donated, `frozen` is not: what of the parameters is not trained (`lora.split`), the base of adapters or {}. The gradient
  is that of the objective's mean over all trained tokens of the batch, whatever the micro-batches (invariant 5). Metrics are token
  means, plus `grad_norm` and `update_norm`. A step whose gradient is not finite changes nothing and reports `skipped` = 1. On a mesh
  the rows of a micro-batch are divided over the devices of `batch` (`parallel.rules`), of which R must be a multiple.
  """

  def run(state, batch, frozen):
    with placing.on(mesh):
      return update(state, batch, frozen, config, transform, objective)

  placed: dict[str, Any] = {}
  if mesh is not None:
    state, whole, rows = places(config, transform, mesh), placing.replicated(mesh), placing.rows(mesh, 1)
    frozen = placing.shardings(mesh, lora.split(decoder.logical_axes(config))[0])
    placed = {'in_shardings': (state, Batch._make([*[rows] * 7, whole, whole]), frozen), 'out_shardings': (state, whole)}
  return jax.jit(run, donate_argnums=0, **placed)


def update(
  state: State, batch: Batch, frozen: decoder.Params, config: DecoderConfig, transform, objective: Objective
) -> tuple[State, dict[str, jax.Array]]:
  _, axes = lora.split(decoder.logical_axes(config))

  def grad_fn(trained, micro):
    return jax.grad(lambda p: loss_sum(lora.join(frozen, p), micro, config, objective), has_aux=True)(trained)

  def accumulate(m, carry):
    grads, sums = carry
    micro = jax.tree.map(lambda x: x[m], batch[:7])
    new_grads, new_sums = grad_fn(state.params, micro)
    grads = placing.constrain_parameters(jax.tree.map(jnp.add, grads, new_grads), axes)
    return grads, jax.tree.map(jnp.add, sums, new_sums)

  shapes = jax.eval_shape(grad_fn, state.params, jax.tree.map(lambda x: x[0], batch[:7]))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  grads, sums = jax.lax.fori_loop(0, batch.used, accumulate, zeros)
  total = jnp.maximum(batch.tokens_total, 1.0)
  grads, metrics = jax.tree.map(lambda g: g / total, (grads, sums))

  norm = optax.global_norm(grads)
  finite = jnp.isfinite(norm)
  updates, opt_state = transform.update(grads, state.opt_state, state.params)
  new = State(optax.apply_updates(state.params, updates), opt_state, state.step + 1)
  new = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
  metrics |= {'grad_norm': norm, 'update_norm': optax.global_norm(updates), 'skipped': 1.0 - finite}
  return new, metrics


def loss_sum(params: decoder.Params, micro: tuple, config: DecoderConfig, objective: Objective):
  """Sum of the objective over the trained tokens of one micro-batch [R, T], and the sums of its metrics."""
  tokens_RxT, segments, parents, positions, mask, advantage, behavior = micro
  hidden_RxTxD, _ = decoder.forward(params, config, tokens_RxT, positions, attention.segment_attention(segments, parents))
  hidden_NxD = placing.constrain(hidden_RxTxD, 'batch', 'context', 'dim')[:, :-1].reshape(-1, config.dim)
  mask_N, advantage_N, behavior_N = (x[:, 1:].reshape(-1) for x in (mask, advantage, behavior))
  logp, entropy = logprobs.token_logprobs(params, hidden_NxD, tokens_RxT[:, 1:].reshape(-1), mask_N, HEAD_CHUNK)
  return objective(Tokens(logp, entropy, mask_N, advantage_N, behavior_N))


def score(params: decoder.Params, micro: tuple, config: DecoderConfig) -> jax.Array:
  """The learner's log-probabilities [R, T] of each token given its past (0 in column 0): the program behind `loss_sum`."""
  tokens_RxT, segments, parents, positions = micro[:4]
  hidden_RxTxD, _ = decoder.forward(params, config, tokens_RxT, positions, attention.segment_attention(segments, parents))
  hidden_NxD, targets_N = hidden_RxTxD[:, :-1].reshape(-1, config.dim), tokens_RxT[:, 1:].reshape(-1)
  logp, _ = logprobs.token_logprobs(params, hidden_NxD, targets_N, jnp.ones(targets_N.shape, bool), HEAD_CHUNK)
  return jnp.pad(logp.reshape(tokens_RxT.shape[0], -1), ((0, 0), (1, 0)))
