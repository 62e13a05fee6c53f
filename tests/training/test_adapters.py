"""An update of adapters: their gradient alone, the base untouched, resumed to the same bits."""

from __future__ import annotations

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inftool_jax.data import packing
from inftool_jax.models import decoder, lora
from inftool_jax.models.lora import LoraConfig
from inftool_jax.training import batching, checkpoint, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG, same_bits, weights
from tests.training.rows import ADVANTAGE, FLAT, ROW

LORA = LoraConfig(rank=3, alpha=6.0)
ADAPTED = dataclasses.replace(CONFIG, lora=LORA)
GRPO = objectives.make(ObjectiveConfig())
BATCH = batching.batch(packing.pack(FLAT, ROW), 4, 4, ADVANTAGE)
TRANSFORM = optimizer.make(OptimizerConfig(learning_rate=1e-2), 10)
KEEP = optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params: (grads, grads))
program = functools.cache(lambda config, transform=TRANSFORM: step.make(config, transform, GRPO))


def _policy(int8: bool = False) -> decoder.Params:
  base = lora.quantized(weights(CONFIG)) if int8 else weights(CONFIG)
  return decoder.adapted(base, ADAPTED, 0)


def _updated(params: decoder.Params, config=ADAPTED, steps: int = 3):
  frozen, trained = lora.split(params)
  state = step.init(jax.tree.map(jnp.copy, trained), TRANSFORM)
  for _ in range(steps):
    state, metrics, *_ = program(config)(state, BATCH, frozen)
  return state, metrics, frozen


@pytest.mark.parametrize('int8', [False, True])
def test_updates_move_every_adapter_and_nothing_else(int8: bool) -> None:
  config = dataclasses.replace(CONFIG, lora=dataclasses.replace(LORA, int8=int8))
  params = _policy(int8)
  before = jax.tree.map(np.array, params)
  state, metrics, frozen = _updated(params, config)
  assert same_bits(frozen, lora.base(before))  # not donated, not changed
  assert metrics['skipped'] == 0 and state.step == 3
  assert {name for name in state.params['blocks']} == {n + part for n in lora.PROJECTIONS for part in (lora.A, lora.B)}
  for name, leaf in state.params['blocks'].items():
    for layer in range(CONFIG.layers):
      assert (np.asarray(leaf[layer]) != before['blocks'][name][layer]).mean() > 0.9, (name, layer)
  held = sum(x.size for x in jax.tree.leaves(state.opt_state))
  assert held < 2.1 * sum(x.size for x in jax.tree.leaves(state.params))  # Adam's two moments of the adapters


def test_the_gradient_of_adapters_is_the_chain_rule_of_that_of_merged_weights() -> None:
  # Of W + s A B with gradient G the adapters' are s G B^T and s A^T G.
  params = weights(ADAPTED)
  plain = {**lora.base(params)}
  plain['blocks'] = {name: lora.merged(lora.parts(params['blocks'], name), name, LORA) for name in plain['blocks']}
  whole, *_ = program(CONFIG, KEEP)(step.init(plain, KEEP), BATCH, {})
  frozen, trained = lora.split(weights(ADAPTED))
  state, metrics, *_ = program(ADAPTED, KEEP)(step.init(trained, KEEP), BATCH, frozen)
  assert metrics['ratio'] == 1
  blocks, gradient = weights(ADAPTED)['blocks'], state.opt_state['blocks']
  for name in lora.PROJECTIONS:
    g, a, b = (np.asarray(x, np.float64) for x in (whole.opt_state['blocks'][name], blocks[name + lora.A], blocks[name + lora.B]))
    for part, expected in ((lora.A, 2 * np.einsum('lio,lro->lir', g, b)), (lora.B, 2 * np.einsum('lir,lio->lro', a, g))):
      assert np.linalg.norm(gradient[name + part] - expected) < 1e-4 * np.linalg.norm(expected), name + part


def test_no_gradient_of_the_base_is_computed() -> None:
  config = dataclasses.replace(ADAPTED, vocab=1009, ffn=56)  # no other axes have these lengths
  plain = dataclasses.replace(config, lora=None)
  assert {_gradients(plain, 'up'), _gradients(plain, 'head')} == {True}  # the search finds what must not be there
  assert {_gradients(config, 'up'), _gradients(config, 'head')} == {False}


@functools.cache
def _compiled(config) -> str:
  params = decoder.abstract(config)
  frozen, trained = lora.split(params)
  state = jax.eval_shape(lambda p: step.init(p, KEEP), trained)
  return step.make(config, KEEP, GRPO).lower(state, BATCH, frozen).compile().as_text()


def _gradients(config, name: str) -> bool:
  """Whether a product in the compiled update has the shape of a parameter."""
  rows, columns = {'up': (config.dim, config.ffn), 'head': (config.vocab, config.dim)}[name]
  return bool(re.search(rf'= f32\[({rows},{columns}|{columns},{rows})\]\S* dot\(', _compiled(config)))


def test_a_run_of_adapters_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path) -> None:
  params = _policy()
  straight, *_ = _updated(params, steps=3)
  first, *_ = _updated(params, steps=1)
  with checkpoint.Checkpointer(tmp_path) as saver:
    saver.save(1, first, 1, None)
  frozen, trained = lora.split(_policy())
  restored = checkpoint.restore(tmp_path, step.init(trained, TRANSFORM))
  assert restored is not None
  state = restored.state
  for _ in range(2):
    state, *_ = program(ADAPTED)(state, BATCH, frozen)
  assert same_bits(state, straight)
  assert all(LORA.rank in x.shape for x in jax.tree.leaves(restored.state) if x.ndim)  # nothing of the base is in it
