"""Learning where the answer is known: requests for a tool and its argument, one token each, whose best policy can be computed.

The reward is gated: the wrong tool earns nothing, the right one a little, and 1 with the right argument.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.data import prefix
from inftool_jax.models import attention, decoder
from inftool_jax.training import batching, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG, weights
from tests.training.rows import Sequenced

SMALL = dataclasses.replace(CONFIG, vocab=12, layers=1, dim=16, heads=2, kv_heads=1, ffn=24)
REQUESTS = ((1, 2), (3, 1), (2, 2), (5, 4))
ANSWERS = ((7, 3), (2, 9), (7, 5), (0, 11))  # tool and argument; two requests share a tool
GROUP, STEPS, UPDATES = 48, 120, 2
ROW = 2 + 3 * GROUP  # a group behind one copy of its request
EVERY = {
  **{name: ObjectiveConfig(name, scale_advantage=name != 'dr_grpo') for name in objectives.NAMES},
  'dapo, corrected': ObjectiveConfig(correction='token', sequence_band=0.5),
  'grpo, near its start': ObjectiveConfig('grpo', kl='loss', kl_coefficient=0.01),
}
TRANSFORM = optimizer.make(OptimizerConfig(learning_rate=3e-3), STEPS * UPDATES)


def reward(request: int, tool: int, argument: int) -> float:
  """Of an answer; the best there is has 1."""
  wanted = ANSWERS[request]
  return float(tool == wanted[0]) * (1.0 if argument == wanted[1] else 0.2)


REWARDS = np.array([[[reward(r, t, a) for a in range(SMALL.vocab)] for t in range(SMALL.vocab)] for r in range(len(REQUESTS))])


def start() -> decoder.Params:
  """A policy that has tried nothing yet: all answers are about as likely."""
  params = weights(SMALL)
  return {**params, 'head': 0.1 * params['head']}


@jax.jit
def _next(params: decoder.Params, tokens_BxT: jax.Array) -> jax.Array:
  """Log-probabilities of what follows, [B, V]."""
  positions = jnp.broadcast_to(jnp.arange(tokens_BxT.shape[1]), tokens_BxT.shape)
  attend = attention.segment_attention(jnp.ones_like(tokens_BxT), jnp.full_like(tokens_BxT, -1))
  hidden, _ = decoder.forward(params, SMALL, tokens_BxT, positions, attend)
  return jax.nn.log_softmax(decoder.logits(params, hidden[:, -1]))


def expected_reward(params: decoder.Params) -> float:
  """Over all answers to all requests, exactly."""
  tools = _next(params, jnp.array(REQUESTS))
  pairs = jnp.array([(*request, tool) for request in REQUESTS for tool in range(SMALL.vocab)])
  arguments = _next(params, pairs).reshape(len(REQUESTS), SMALL.vocab, SMALL.vocab)
  return float((np.exp(tools[:, :, None] + arguments) * REWARDS).sum() / len(REQUESTS))


def rollouts(params: decoder.Params, seed: int) -> tuple[list[list[Sequenced]], np.ndarray]:
  """A group for each request, and its rewards."""
  rng = np.random.default_rng(seed)
  asked = np.repeat(np.arange(len(REQUESTS)), GROUP)
  tokens, found = np.array(REQUESTS)[asked], []
  for _ in range(2):
    logp = np.asarray(_next(params, jnp.asarray(tokens)))
    chosen = (logp + rng.gumbel(size=logp.shape)).argmax(axis=1)
    found.append(logp[np.arange(len(asked)), chosen])
    tokens = np.concatenate([tokens, chosen[:, None]], axis=1)
  samples = [Sequenced(tuple(t), (False, False, True, True), (math.nan, math.nan, *lp)) for t, lp in zip(tokens.tolist(), zip(*found))]
  groups = [samples[i : i + GROUP] for i in range(0, len(samples), GROUP)]
  return groups, REWARDS[asked, tokens[:, 2], tokens[:, 3]].astype(np.float32).reshape(-1, GROUP)


@functools.partial(jax.jit, donate_argnums=0)
def _update(state: step.State, batch: step.Batch, number: int):
  """By objective number so and so: one program for all, for the sake of compile time."""
  branches = [objectives.make(dataclasses.replace(c, kl='loss')) for c in EVERY.values()]
  return step.update(state, batch, {}, SMALL, TRANSFORM, lambda tokens: jax.lax.switch(number, branches, tokens))


_score = step.scorer(SMALL, None)


@pytest.mark.parametrize('name', EVERY)
def test_every_objective_finds_the_best_answers(name: str) -> None:
  config, state = EVERY[name], step.init(start(), TRANSFORM)
  before = expected_reward(state.params)
  for n in range(STEPS):
    groups, rewards = rollouts(state.params, n)
    advantage = objectives.advantages(rewards, config.scale_advantage).reshape(-1)
    share = objectives.shares(config, np.full(advantage.size, 2), advantage.size, 2)
    batch = batching.batch(prefix.pack_groups(groups, ROW), 2, 2, advantage, share)
    batch = batch._replace(reference=_score(start(), batch))
    for _ in range(UPDATES):
      state, metrics, logp = _update(state, batch, list(EVERY).index(name))
      assert metrics['skipped'] == 0 and metrics['gap, largest'] < 1e-4
      batch = batch if batch.revisited else step.again(batch, logp)
  assert before < 0.1 and expected_reward(state.params) > 0.95, expected_reward(state.params)


def test_rewards_of_other_samples_teach_nothing() -> None:
  """The figures above are learned, not drifted into."""
  state = step.init(start(), TRANSFORM)
  for n in range(STEPS):
    groups, rewards = rollouts(state.params, n)
    advantage = objectives.advantages(np.random.default_rng(n).permuted(rewards, axis=1), True).reshape(-1)
    batch = batching.batch(prefix.pack_groups(groups, ROW), 2, 2, advantage)
    state, *_ = _update(state, batch, 0)
  assert expected_reward(state.params) < 0.2
