"""The update: the right gradient in every layout, by one program, without [batch, length, vocabulary]."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inftool_jax.data import packing, prefix
from inftool_jax.data.packing import Packed
from inftool_jax.models import decoder
from inftool_jax.training import batching, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models import reference
from tests.models.small import CONFIG, same_bits, weights
from tests.training.rows import ADVANTAGE, FLAT, LAYOUTS, ROW, Sequenced, one_by_one, sequence

GRPO = objectives.make(ObjectiveConfig())
MICRO = {1: 16, 4: 4}  # rows of a micro-batch -> micro-batches, 16 rows at most


# AdamW whose state also holds the last gradient as the update program computed it.
KEEP = optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params: (grads, grads))
TRANSFORM = optax.chain(KEEP, optimizer.make(OptimizerConfig(learning_rate=1e-3), 10))
PLAIN = optax.chain(KEEP)  # the gradient only: compiles a third faster
program = functools.cache(lambda objective, transform=TRANSFORM: step.make(CONFIG, transform, objective))


def _fresh(transform: optax.GradientTransformation = TRANSFORM) -> step.State:
  return step.init(weights(CONFIG), transform)


def _gradient(packed: Packed, advantage: np.ndarray | None, rows: int = 1) -> tuple[decoder.Params, dict[str, jax.Array]]:
  batch = batching.batch(packed, rows, MICRO[rows], advantage)
  if advantage is None:
    state, metrics, *_ = program(objectives.sft, PLAIN)(_fresh(PLAIN), batch, {})
  elif rows == 1:
    state, metrics, *_ = program(GRPO)(_fresh(), batch, {})  # the program of the tests of the state
  else:
    state, metrics, *_ = program(GRPO, PLAIN)(_fresh(PLAIN), batch, {})
  return state.opt_state[0], metrics


def _assert_close(a: decoder.Params, b: decoder.Params, relative: float = 1e-5) -> None:
  """Every parameter's gradient, in the norm."""
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
    assert np.linalg.norm(x - y) <= relative * np.linalg.norm(y), jax.tree_util.keystr(path)


# --- The gradient is right ---


def _exact_loss(params: decoder.Params, sequences: Sequence[Sequenced], weight: Sequence[float]) -> float:
  """Minus the weighted mean log-probability of trained tokens, in float64."""
  total = sum(sum(s.loss_mask) for s in sequences)
  logp = (reference.logprobs(params, CONFIG, list(s.tokens))[np.array(s.loss_mask)].sum() for s in sequences)
  return -sum(w * x for w, x in zip(weight, logp, strict=True)) / total


@pytest.mark.parametrize('advantage', [None, ADVANTAGE], ids=['sft', 'grpo'])
def test_the_gradient_is_that_of_a_float64_reference(advantage: np.ndarray | None) -> None:
  weight = np.ones(len(FLAT)) if advantage is None else advantage
  gradient, metrics = _gradient(LAYOUTS['packed'], advantage)
  norm = np.sqrt(sum(float((np.asarray(g, np.float64) ** 2).sum()) for g in jax.tree.leaves(gradient)))
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), weights(CONFIG))
  rng = np.random.default_rng(0)
  for _ in range(3):
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
    moved = [_exact_loss(jax.tree.map(lambda p, d: p + h * d, params, direction), FLAT, weight) for h in (1e-5, -1e-5)]
    slope = sum(float((np.asarray(g, np.float64) * d).sum()) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    assert slope == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=1e-5 * norm)
  assert float(metrics['grad_norm']) == pytest.approx(norm, rel=1e-5)
  if advantage is None:
    assert float(metrics['loss']) == pytest.approx(_exact_loss(params, FLAT, weight), rel=1e-5)


def test_score_is_the_reference_log_probability_in_every_layout() -> None:
  params, score = weights(CONFIG), jax.jit(step.score, static_argnums=2)
  exact = [reference.logprobs(params, CONFIG, list(s.tokens)) for s in FLAT]
  for name, packed in LAYOUTS.items():
    rows = batching.batch(packed, 16, 1)[:4]
    logp = np.asarray(score(params, tuple(x[0] for x in rows), CONFIG))
    checked = 0
    for row, column in zip(*np.nonzero(packed.loss_mask_BxT)):
      expected = exact[packed.sequence_BxT[row, column]][packed.positions_BxT[row, column]]
      assert logp[row, column] == pytest.approx(expected, abs=1e-4), name
      checked += 1
    assert checked == sum(sum(s.loss_mask) for s in FLAT) and not logp[:, 0].any()


# --- Invariant 5: it does not depend on the layout ---


@pytest.fixture(scope='module')
def packed_gradient() -> decoder.Params:
  return _gradient(LAYOUTS['packed'], ADVANTAGE)[0]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('rows', MICRO)
def test_one_by_one_packed_or_behind_shared_prompts_in_any_micro_batch(layout: str, rows: int, packed_gradient: decoder.Params) -> None:
  gradient, metrics = _gradient(LAYOUTS[layout], ADVANTAGE, rows)
  _assert_close(gradient, packed_gradient)
  assert metrics['ratio'] == 1 and metrics['skipped'] == 0


def test_any_order(packed_gradient: decoder.Params) -> None:
  order = random.Random(0).sample(range(len(FLAT)), len(FLAT))
  shuffled = packing.pack([FLAT[i] for i in order], ROW)
  assert shuffled.rows > 1 and not np.array_equal(shuffled.tokens_BxT, LAYOUTS['packed'].tokens_BxT)
  _assert_close(_gradient(shuffled, ADVANTAGE[order])[0], packed_gradient)


def test_a_group_split_over_rows_has_the_gradient_of_the_group() -> None:
  wide = [s for seed in range(3) for s in _same_prompt(seed, 8)]
  groups = [wide[i : i + 8] for i in (0, 8, 16)]
  shared = prefix.pack_groups(groups, ROW)
  assert (shared.positions_BxT[shared.segments_BxT > 0] == 0).sum() > 3  # some prompt stands there twice
  advantage = np.random.default_rng(1).normal(size=24).astype(np.float32)
  _assert_close(_gradient(shared, advantage, 4)[0], _gradient(packing.pack(wide, ROW), advantage, 4)[0])


def _same_prompt(seed: int, samples: int) -> list[Sequenced]:
  rng = np.random.default_rng([9, seed])
  prompt = rng.integers(0, CONFIG.vocab, 12).tolist()
  ends = [rng.integers(0, CONFIG.vocab, rng.integers(4, 14)).tolist() for _ in range(samples)]
  return [sequence([*prompt, *end], [False] * 12 + [True] * len(end)) for end in ends]


# --- Tool text is read, not trained, and in no denominator ---


def test_tool_text_is_in_no_denominator() -> None:
  base = FLAT[:5]
  longer = [sequence([*s.tokens, *range(15)], [*s.loss_mask, *[False] * 15]) for s in base]
  plain, with_text = (_gradient(one_by_one(s), ADVANTAGE[:5]) for s in (base, longer))
  _assert_close(with_text[0], plain[0])
  for name in ('loss', 'entropy', 'gap', 'k3', 'ratio'):
    assert float(with_text[1][name]) == pytest.approx(float(plain[1][name]), rel=1e-5)


def test_one_normalizer_for_all_micro_batches() -> None:
  # Rows with 1 and with 40 trained tokens: a mean per row or micro-batch would weigh the single one 40-fold.
  rng = np.random.default_rng(4)
  few = sequence(rng.integers(0, 97, 41).tolist(), [False] * 40 + [True])
  many = sequence(rng.integers(0, 97, 41).tolist(), [False] + [True] * 40)
  sums = [_exact_loss(weights(CONFIG), [s], [1.0]) * n for s, n in ((few, 1), (many, 40))]
  rows = one_by_one([few, many])
  assert float(_gradient(rows, None)[1]['loss']) == pytest.approx(sum(sums) / 41, rel=1e-5)


# --- Invariant 9: memory ---


def _arrays(jaxpr: Any) -> Iterator[tuple[int, ...]]:
  """Shapes of everything a program computes, programs inside it included."""
  for equation in jaxpr.eqns:
    yield from (v.aval.shape for v in [*equation.invars, *equation.outvars] if hasattr(v.aval, 'shape'))
    for parameter in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')):
      inner = getattr(parameter, 'jaxpr', parameter)
      if hasattr(inner, 'eqns'):
        yield from _arrays(inner)


def _largest_with_vocabulary(function, *args, vocab: int) -> int:
  """Elements per vocabulary entry of the largest array with a vocabulary axis."""
  shapes = set(_arrays(jax.make_jaxpr(function)(*args).jaxpr))
  return max(int(np.prod(shape)) // vocab for shape in shapes if vocab in shape)


@pytest.mark.parametrize('objective', [objectives.sft, GRPO], ids=['sft', 'grpo'])
def test_no_array_holds_the_vocabulary_for_more_than_a_chunk_of_positions(objective: objectives.Objective) -> None:
  config = dataclasses.replace(CONFIG, vocab=1009)  # a prime: no other axis has this length
  transform = optimizer.make(OptimizerConfig(), 10)
  state = jax.eval_shape(lambda: step.init(decoder.init(config, 0), transform))
  M, R, T = 3, 8, 512
  batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((M, R, T), x.dtype), batching.batch(LAYOUTS['packed'], 2, 8, ADVANTAGE))
  scalar = lambda dtype: jax.ShapeDtypeStruct((), dtype)
  batch = batch._replace(used=scalar(jnp.int32), tokens_total=scalar(jnp.float32), revisited=scalar(jnp.bool_))
  update = lambda s, b: step.update(s, b, {}, config, transform, objective)
  largest = _largest_with_vocabulary(update, state, batch, vocab=config.vocab)
  assert largest == step.HEAD_CHUNK < R * (T - 1)

  def naive(params: decoder.Params, hidden: jax.Array) -> jax.Array:  # the search finds what must not be there
    return jax.nn.log_softmax(decoder.logits(params, hidden)).sum()

  hidden = jax.ShapeDtypeStruct((R * T, config.dim), jnp.float32)
  assert _largest_with_vocabulary(jax.grad(naive), state.params, hidden, vocab=config.vocab) == R * T


# --- The state ---


def _batch(seed: int, n: int) -> step.Batch:
  chosen = random.Random(seed).sample(range(len(FLAT)), n)
  return batching.batch(packing.pack([FLAT[i] for i in chosen], ROW), 1, MICRO[1], ADVANTAGE[chosen])


def test_one_program_for_all_batches_and_the_state_goes_on() -> None:
  state, *_ = program(GRPO)(_fresh(), _batch(0, 14), {})
  compiled = program(GRPO)._cache_size()
  for n, size in enumerate((3, 14, 9, 1), 1):
    before = jax.tree.map(np.array, state.params)
    state, metrics, *_ = program(GRPO)(state, _batch(n, size), {})
    assert not same_bits(before, state.params) and metrics['skipped'] == 0 and metrics['update_norm'] > 0
    assert state.step == n + 1
  assert program(GRPO)._cache_size() == compiled


@pytest.mark.parametrize('rubbish', [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_changes_nothing(rubbish: float) -> None:
  state, *_ = program(GRPO)(_fresh(), _batch(0, 9), {})
  before = jax.tree.map(np.array, state)
  bad = _batch(1, 9)
  bad.advantage[0, 0, np.nonzero(bad.mask[0, 0])[0][0]] = rubbish
  state, metrics, *_ = program(GRPO)(state, bad, {})
  assert metrics['skipped'] == 1 and not np.isfinite(metrics['grad_norm'])
  assert same_bits(state, before)
  after, metrics, *_ = program(GRPO)(state, _batch(2, 9), {})
  assert metrics['skipped'] == 0 and after.step == 2


def test_a_gradient_beyond_the_limit_changes_nothing() -> None:
  batch = _batch(0, 9)
  norm = float(program(GRPO)(_fresh(), batch, {})[1]['grad_norm'])
  limited = step.make(CONFIG, PLAIN, GRPO, limit=0.99 * norm)
  state, metrics, _ = limited(_fresh(PLAIN), batch, {})
  assert metrics['skipped'] == 1 and metrics['grad_norm'] == pytest.approx(norm, rel=1e-5) and same_bits(state, _fresh(PLAIN))
  batch.advantage[:] *= 0.9
  state, metrics, _ = limited(state, batch, {})
  assert metrics['skipped'] == 0 and state.step == 1


# --- Several updates on one batch ---


@pytest.mark.parametrize('compute', ['float32', 'bfloat16'])
def test_at_learning_rate_0_nothing_drifts_over_ten_updates(compute: str) -> None:
  transform = optimizer.make(OptimizerConfig(learning_rate=0.0), 10)
  update = step.make(dataclasses.replace(CONFIG, compute_dtype=compute), transform, GRPO)
  batch, state, first = _batch(0, 14), step.init(weights(CONFIG), transform), None
  for n in range(10):
    state, metrics, logp = update(state, batch, {})
    assert metrics['ratio'] == 1 and metrics['log ratio, largest'] == 0 == metrics['clipped low'] + metrics['clipped high'], n
    first = logp if first is None else first
    assert np.array_equal(logp, first) and np.abs(logp[batch.mask]).min() > 0 and not logp[~batch.mask].any()
    batch = step.again(batch, first)
  assert same_bits(state.params, weights(CONFIG)) and state.step == 10


def test_the_ratio_of_a_later_update_is_against_the_policy_before_the_first() -> None:
  batch = _batch(0, 14)
  state, metrics, old = program(GRPO)(_fresh(), batch, {})
  assert metrics['ratio'] == 1
  score = step.scorer(CONFIG, None)
  np.testing.assert_allclose(old, score(weights(CONFIG), batch), atol=1e-5)
  for _ in range(2):
    now = np.asarray(score(state.params, batch))[batch.mask].astype(np.float64)
    drift = now - np.asarray(old)[batch.mask]
    state, metrics, _ = program(GRPO)(state, step.again(batch, old), {})
    assert metrics['log ratio'] == pytest.approx(np.abs(drift).mean(), rel=1e-3) and metrics['log ratio'] > 1e-3
    assert metrics['log ratio, largest'] == pytest.approx(np.abs(drift).max(), rel=1e-3)
    assert metrics['ratio'] == pytest.approx(np.exp(drift).mean(), rel=1e-5)
    gap = np.asarray(old, np.float64)[batch.mask] - batch.behavior[batch.mask]
    assert metrics['gap'] == pytest.approx(np.abs(gap).mean(), rel=1e-5)  # the sampler's distance is the first policy's


def test_micro_batches_beyond_those_in_use_are_not_computed() -> None:
  batch = _batch(0, 3)
  assert batch.used < MICRO[1]
  spoiled = batch._replace(advantage=batch.advantage.copy(), mask=batch.mask.copy())
  spoiled.advantage[batch.used :], spoiled.mask[batch.used :] = np.nan, True
  states = [program(GRPO)(_fresh(), b, {})[0] for b in (batch, spoiled)]
  assert same_bits(*states)


def test_an_empty_batch_changes_nothing_whatever_momentum_there_is() -> None:
  empty = batching.batch(packing.pack([], ROW), 1, MICRO[1], np.zeros(0))
  before, *_ = program(GRPO)(_fresh(), _batch(0, 14), {})
  state, metrics, *_ = program(GRPO)(jax.tree.map(jnp.copy, before), empty, {})
  assert same_bits(state, before) and metrics['skipped'] == 0 == metrics['update_norm']
  assert all(np.isfinite(x) for x in metrics.values())


def test_the_same_update_twice_is_the_same_bits() -> None:
  states = [program(GRPO)(_fresh(), _batch(0, 14), {}) for _ in range(2)]
  assert same_bits(*states)


def test_an_update_at_1e_6_in_bfloat16_moves_float32_masters_by_just_as_much() -> None:
  config, rate = dataclasses.replace(CONFIG, compute_dtype='bfloat16'), OptimizerConfig().learning_rate
  transform = optax.chain(KEEP, optimizer.make(OptimizerConfig(), 10))
  state, metrics, *_ = step.make(config, transform, GRPO)(step.init(weights(config), transform), _batch(0, 14), {})
  clipped = min(1.0, 1.0 / float(metrics['grad_norm']))
  for after, before, gradient in zip(*map(jax.tree.leaves, (state.params, weights(config), state.opt_state[0])), strict=True):
    before, change = np.asarray(before), np.asarray(after, np.float64) - np.asarray(before, np.float64)
    gradient = np.asarray(gradient, np.float64) * clipped
    expected = -rate * gradient / (np.abs(gradient) + 1e-8)  # Adam's first step
    assert rate == 1e-6 and after.dtype == np.float32
    assert (np.abs(change - expected) <= np.spacing(np.abs(before) + np.float32(2e-6)) + 1e-9).all()
    assert (change != 0)[np.abs(expected) > 0.9e-6].mean() > 0.99


def test_bfloat16_compute_keeps_float32_masters_and_gradients() -> None:
  config = dataclasses.replace(CONFIG, compute_dtype='bfloat16')
  micro = batching.batch(LAYOUTS['packed'], 2, 8, ADVANTAGE).micro(0)
  params = decoder.abstract(config)
  gradient, _ = jax.eval_shape(jax.grad(lambda p: step.loss_sum(p, micro, config, GRPO), has_aux=True), params)
  assert {g.dtype for g in jax.tree.leaves((params, gradient))} == {jnp.dtype('float32')}
  code = str(jax.make_jaxpr(lambda p: step.loss_sum(p, micro, config, GRPO)[0])(params))
  assert f'bf16[2,{ROW},{config.ffn}] = dot_general' in code and f'f32[2,{ROW},{config.ffn}] = dot_general' not in code
