"""What must hold on a mesh; run by `test_eight_devices.py` in a process that has eight CPU devices."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from inftool_jax.data import packing
from inftool_jax.errors import ConfigError
from inftool_jax.models import decoder, huggingface, lora, tensorfiles
from inftool_jax.models.lora import LoraConfig
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel.mesh import MeshShape
from inftool_jax.sampling import selftest
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.training import abstract, batching, checkpoint, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from inftool_jax.types import Sample, SampleParams
from tests.models.small import CONFIG, same_bits, weights
from tests.sampling.driving import SIZES, ask, run
from tests.training.rows import ADVANTAGE, FLAT, ROW

assert jax.device_count() == 8
C = dataclasses.replace(CONFIG, vocab=104, heads=16, kv_heads=8, head_dim=4)
CHUNK = 32  # less than a part of the batch has: several chunks, not as many on every device
MESHES = {  # data x fsdp x tensor x sequence
  'fsdp 8': MeshShape(fsdp=8),
  'fsdp 4 x tensor 2': MeshShape(fsdp=4, tensor=2),
  'fsdp 2 x tensor 4': MeshShape(fsdp=2, tensor=4),
  'tensor 8': MeshShape(tensor=8),
  'data 2 x tensor 2 x sequence 2': MeshShape(data=2, tensor=2, sequence=2),
}
KEEP = optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params: (grads, grads))
GRPO = objectives.make(ObjectiveConfig())
BATCH = batching.batch(packing.pack(FLAT, ROW), 8, 2, ADVANTAGE)
build = lambda name: meshes.build(MESHES[name], jax.devices(), decoder.dimensions(C))


def _on(mesh: Mesh | None, transform: optax.GradientTransformation, config=C) -> step.State:
  places = step.places(config, transform, mesh)
  params = weights(config) if places is None else jax.device_put(weights(config), places.params)
  return step.init(params, transform, places)


@functools.cache
def _one_device() -> tuple[decoder.Params, dict[str, jax.Array]]:
  state, metrics, *_ = step.make(C, KEEP, GRPO)(_on(None, KEEP), BATCH, {})
  return jax.tree.map(np.asarray, state.opt_state), metrics


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(step, 'HEAD_CHUNK', CHUNK)


@pytest.mark.parametrize('name', MESHES)
def test_loss_and_gradient_are_those_of_one_device(name: str) -> None:
  mesh = build(name)
  config = dataclasses.replace(C, remat='projections' if mesh.shape['sequence'] > 1 else 'none')
  state = _on(mesh, KEEP, config)
  program = step.make(config, KEEP, GRPO, mesh).lower(state, BATCH, {}).compile()
  state, metrics, *_ = program(state, BATCH, {})
  gradient, expected = _one_device()
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(state.opt_state), jax.tree.leaves(gradient), strict=True):
    assert np.linalg.norm(np.asarray(x) - y) <= 1e-5 * np.linalg.norm(y), jax.tree_util.keystr(path)
  for key, value in metrics.items():
    np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-6, err_msg=key)
  # A device computes the logits of its part of the vocabulary, and nobody gathers them: invariant 9, on each device.
  shapes = {tuple(map(int, dims.split(','))) for dims in re.findall(r'f32\[([\d,]+)\]', program.as_text())}
  part = C.vocab // mesh.shape['tensor']
  assert (CHUNK, part) in shapes
  assert not [shape for shape in shapes if C.vocab in shape and C.dim not in shape and part != C.vocab]
  assert not [shape for shape in shapes if part in shape and np.prod(shape) > part * max(CHUNK, C.dim)]


@pytest.mark.parametrize('name', ['fsdp 8', 'data 2 x tensor 2 x sequence 2'])
def test_scores_and_an_objective_of_whole_sequences_are_those_of_one_device(name: str) -> None:
  objective = objectives.make(ObjectiveConfig('gspo', kl='loss', kl_coefficient=0.3, correction='sequence', sequence_band=0.03))
  results = []
  for where in (None, build(name)):
    config = dataclasses.replace(C, remat='projections' if where is not None and where.shape['sequence'] > 1 else 'none')
    score = step.scorer(config, decoder.logical_axes(config), where)
    logp = score(_on(where, KEEP, config).params, BATCH)
    near = lambda seed: np.asarray(logp) + np.random.default_rng(seed).normal(0, 0.2, logp.shape).astype(np.float32)
    batch = BATCH._replace(reference=near(0), behavior=near(1), old=near(2), revisited=np.bool_(True))
    state, metrics, again = step.make(config, KEEP, objective, where)(_on(where, KEEP, config), batch, {})
    assert metrics['skipped'] == 0 and 0 < metrics['kept'] < 1
    results.append((np.asarray(logp), np.asarray(again), metrics, jax.tree.map(np.asarray, state.opt_state)))
  one, many = results
  np.testing.assert_allclose(many[0], one[0], atol=1e-4)
  np.testing.assert_allclose(many[1], one[1], atol=1e-4)
  for key, value in many[2].items():
    np.testing.assert_allclose(value, one[2][key], rtol=1e-4, atol=1e-5, err_msg=key)
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(many[3]), jax.tree.leaves(one[3]), strict=True):
    assert np.linalg.norm(x - y) <= 1e-4 * np.linalg.norm(y), jax.tree_util.keystr(path)


@pytest.mark.parametrize('name', ['fsdp 4 x tensor 2', 'data 2 x tensor 2 x sequence 2'])
def test_adapters_beside_a_base_in_int8_have_the_gradient_of_one_device(name: str, tmp_path: Path) -> None:
  mesh = build(name)
  config = dataclasses.replace(C, lora=LoraConfig(rank=3, alpha=1.5, int8=True))
  huggingface.save(tmp_path, weights(C), C, eos=2, pad=0, dtype='float32')
  states = []
  for where in (None, mesh):
    params = decoder.adapted(huggingface.load(tmp_path, config, where), config, 0, where)
    frozen, fresh = lora.split(params)
    places = step.places(config, KEEP, where)
    assert places is None or jax.tree.map(lambda x: x.sharding, fresh) == places.params
    _, drawn = lora.split(weights(dataclasses.replace(C, lora=LoraConfig(rank=3, alpha=1.5))))  # of which no part is zero
    trained = jax.device_put(drawn, jax.tree.map(lambda x: x.sharding, fresh))
    state, metrics, *_ = step.make(config, KEEP, GRPO, where)(step.init(trained, KEEP, places), BATCH, frozen)
    states.append(state)
    assert metrics['ratio'] == 1 and metrics['skipped'] == 0
  parts = {name: x.addressable_shards[0].data.shape for name, x in frozen['blocks'].items()}
  assert parts['up'] == (2, 32 // mesh.shape['fsdp'], 24) and parts['up_scale'] == (2, 24)
  one, many = (state.opt_state['blocks'] for state in states)
  for leaf, expected in one.items():
    assert np.linalg.norm(np.asarray(many[leaf]) - np.asarray(expected)) <= 1e-5 * np.linalg.norm(expected), leaf


def test_a_run_goes_on_from_a_checkpoint_of_a_mesh_on_it_and_on_another_layout(tmp_path: Path) -> None:
  mesh, transform = build('fsdp 2 x tensor 4'), optimizer.make(OptimizerConfig('adamw', learning_rate=1e-3), 10)
  program = step.make(C, transform, GRPO, mesh)
  state, *_ = program(_on(mesh, transform), BATCH, {})
  with checkpoint.Checkpointer(tmp_path) as saver:
    saver.save(1, state, 1, None)
  fresh = _on(mesh, transform)
  restored = checkpoint.restore(tmp_path, fresh).state
  assert same_bits(restored, state) and checkpoint.params_hash(restored) == checkpoint.params_hash(state)
  assert all(jax.tree.leaves(jax.tree.map(lambda a, b: a.sharding == b.sharding, restored, fresh)))
  for like in (_on(build('fsdp 4 x tensor 2'), transform), _on(None, transform), jax.eval_shape(lambda: _on(None, transform))):
    other = checkpoint.restore(tmp_path, like).state
    assert checkpoint.params_hash(other) == checkpoint.params_hash(state)
    wanted = getattr(like.params['embed'], 'sharding', None) or jax.sharding.SingleDeviceSharding(jax.devices()[0])
    assert other.params['embed'].sharding == wanted
  after, again = (program(s, BATCH, {})[0] for s in (state, restored))
  assert same_bits(after, again) and after.step == 2 and program._cache_size() == 1


def test_adafactors_rows_and_columns_lie_like_the_matrix_and_move_it_as_on_one_device() -> None:
  config = dataclasses.replace(C, vocab=128, dim=128, head_dim=8, ffn=160, layers=1)
  transform = optimizer.make(OptimizerConfig('adafactor', learning_rate=1e-2), 10)
  mesh = build('fsdp 2 x tensor 4')
  after = []
  for where in (None, mesh):
    program, state = step.make(config, transform, GRPO, where), _on(where, transform, config)
    for _ in range(2):
      state, *_ = program(state, BATCH, {})
    after.append(state)
  for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(after[1]), jax.tree.leaves(after[0]), strict=True):
    assert np.linalg.norm(np.asarray(x) - y) <= 1e-4 * np.linalg.norm(y), jax.tree_util.keystr(path)
  factored = next(s for s in jax.tree.leaves(after[1].opt_state, is_leaf=lambda s: hasattr(s, 'v_row')) if hasattr(s, 'v_row'))
  parts = lambda x: (x.shape, x.addressable_shards[0].data.shape)
  assert parts(factored.v_row['blocks']['up']) == ((1, 128), (1, 64)) and parts(factored.v_col['blocks']['up']) == ((1, 160), (1, 40))
  assert parts(factored.v['blocks']['q_bias']) == ((1, 128), (1, 32)) and parts(factored.v_row['blocks']['q']) == ((1, 128), (1, 128))


def test_an_import_puts_each_part_where_it_lies_and_an_export_is_that_of_one_device(tmp_path: Path, monkeypatch) -> None:
  monkeypatch.setattr(tensorfiles, 'BLOCK_BYTES', 700)  # several rows of most tensors: blocks and parts do not end together
  huggingface.save(tmp_path / 'a', weights(C), C, eos=2, pad=0)
  whole = huggingface.load(tmp_path / 'a', C)
  for name in ('fsdp 2 x tensor 4', 'data 2 x tensor 2 x sequence 2'):
    mesh = build(name)
    loaded = huggingface.load(tmp_path / 'a', C, mesh)
    assert same_bits(loaded, whole)
    assert all(jax.tree.leaves(jax.tree.map(lambda x, s: x.sharding == s, loaded, step.places(C, KEEP, mesh).params)))
    huggingface.save(tmp_path / name, loaded, C, eos=2, pad=0)
    assert (tmp_path / name / 'model.safetensors').read_bytes() == (tmp_path / 'a' / 'model.safetensors').read_bytes()
  q = loaded['blocks']['q']
  assert {s.data.shape for s in q.addressable_shards} == {(2, 32, 32)} and q.shape == (2, 32, 64)


@pytest.mark.parametrize('adapters', [None, LoraConfig(4, 8.0, int8=True)])
def test_what_an_update_is_compiled_for_is_what_it_gets(adapters: LoraConfig | None) -> None:
  mesh, transform = build('fsdp 2 x tensor 4'), optimizer.make(OptimizerConfig('adamw'), 10)
  config = dataclasses.replace(C, lora=adapters)
  frozen, trained = lora.split(decoder.init(config, 3, mesh))
  given = (step.init(trained, transform, step.places(config, transform, mesh)), BATCH, frozen)
  M, R, T = BATCH.tokens.shape
  told = (abstract.state(config, transform, mesh), abstract.batch(M, R, T, mesh), abstract.frozen(config, mesh))
  assert jax.tree.structure(told) == jax.tree.structure(given)
  assert [(x.shape, x.dtype) for x in jax.tree.leaves(told)] == [(np.shape(x), x.dtype) for x in jax.tree.leaves(given)]
  for like, x in zip(jax.tree.leaves((told[0], told[2])), jax.tree.leaves((given[0], given[2])), strict=True):
    assert like.sharding.is_equivalent_to(x.sharding, x.ndim)
  program = step.make(config, transform, GRPO, mesh)
  assert program.lower(*told).as_text() == program.lower(*given).as_text()


def test_random_parameters_are_those_of_one_device() -> None:
  there, here = decoder.init(C, 3, build('fsdp 2 x tensor 4')), decoder.init(C, 3)
  for a, b in zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
  assert there['blocks']['up'].addressable_shards[0].data.shape == (2, 16, 12)


def test_the_sampler_gathers_the_weights_of_a_mesh_on_one_device() -> None:
  sampler = BatchedSampler(decoder.init(C, 3, build('tensor 8')), C, SIZES)
  assert {x.sharding for x in jax.tree.leaves(sampler._params)} == {jax.sharding.SingleDeviceSharding(jax.local_devices()[0])}


# Of two key/value heads on four devices: each head is on two of them.
SAMPLED = dataclasses.replace(C, head_dim=16, kv_heads=2)


@pytest.fixture(scope='module')
def replicas() -> Replicas:
  """Two, on four devices each, of weights that came from another mesh."""
  return Replicas(decoder.init(SAMPLED, 3, build('fsdp 4 x tensor 2')), SAMPLED, SIZES, tensor=4)


async def _sampled(sampler, asked) -> list[list[Sample]]:
  """Two turns of each."""
  first = await asyncio.gather(*(sampler.sample(r.tokens, r.params, f'{i}') for i, r in enumerate(asked)))
  longer = [(*r.tokens, *s.tokens, 5) for r, s in zip(asked, first)]
  second = await asyncio.gather(*(sampler.sample(t, r.params, f'{i}') for i, (t, r) in enumerate(zip(longer, asked))))
  for i in range(len(asked)):
    sampler.release(f'{i}')
  return [first, second]


ASKED = [dataclasses.replace(ask(i // 4, 100), params=SampleParams(seed=i, max_new_tokens=9)) for i in range(16)]  # four groups


def test_a_sampler_over_several_devices_samples_the_same(replicas: Replicas) -> None:
  """Log-probabilities within 1e-4 in fp32; tokens, but for near ties, alike; and its bits are its own in any company."""
  one = BatchedSampler(decoder.init(SAMPLED, 3), SAMPLED, SIZES)
  several = replicas.all[0]
  found = zip(run(_sampled(one, ASKED))[0], run(_sampled(several, ASKED))[0], strict=True)
  alike = 0
  for a, b in found:
    same = next((i for i, (x, y) in enumerate(zip(a.tokens, b.tokens)) if x != y), len(a.tokens))
    alike += same == len(a.tokens)
    np.testing.assert_allclose(a.logprobs[:same], b.logprobs[:same], atol=1e-4)
  assert alike >= len(ASKED) - 1
  assert several._pool.k.addressable_shards[0].data.shape[1] == 1
  assert several._params['blocks']['up'].addressable_shards[0].data.shape[2] == SAMPLED.ffn // 4
  assert selftest.reproducible(several) and several.compilations <= len(SIZES.prefill_rows) + 1 + len(SIZES.decode_rows)


def test_matrices_in_8_bits_are_divided_like_others() -> None:
  params, sizes = decoder.init(SAMPLED, 3, build('fsdp 4 x tensor 2')), dataclasses.replace(SIZES, int8=True)
  several = BatchedSampler(params, SAMPLED, sizes, devices=jax.local_devices()[:4])
  one = BatchedSampler(params, SAMPLED, sizes)
  (a,), (b,) = (run(_sampled(sampler, ASKED[:1]))[0] for sampler in (several, one))
  assert a.tokens == b.tokens
  np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
  parts = {name: several._params['blocks'][name].addressable_shards[0].data for name in ('up', 'up_scale', 'k_scale', 'down', 'down_scale')}
  L, D, F, E = SAMPLED.layers, SAMPLED.dim, SAMPLED.ffn, SAMPLED.head_dim
  assert parts['up'].dtype == parts['down'].dtype == np.int8
  shapes = {name: x.shape for name, x in parts.items()}
  assert shapes == {'up': (L, D, F // 4), 'up_scale': (L, F // 4), 'k_scale': (L, E), 'down': (L, F // 4, D), 'down_scale': (L, D)}


def test_replicas_share_the_conversations_and_sample_what_one_would(replicas: Replicas) -> None:
  assert replicas.slots == 2 * SIZES.slots
  params = decoder.init(SAMPLED, 3)
  replicas.update(params, 0)
  expected = run(_sampled(replicas.all[0], ASKED))
  replicas.update(params, 0)
  before = [dataclasses.replace(r.stats) for r in replicas.all]
  assert run(_sampled(replicas, ASKED)) == expected  # bit for bit: the same programs on other devices
  did = [(r.stats.requests - b.requests, r.stats.prefilled_tokens - b.prefilled_tokens) for r, b in zip(replicas.all, before)]
  assert did[0] == did[1] and did[0][0] == 16  # two groups each, no opening read twice
  assert did[0][1] == 2 * 99 + 8 * 1 and all(r.pages_in_use == 0 for r in replicas.all)
  replicas.update(jax.tree.map(lambda x: 1.1 * x, params), 5)
  assert {s.version for s in run(_sampled(replicas, ASKED))[0]} == {5}
  with pytest.raises(ConfigError, match='--config.sampling.tensor=3: the 8 devices'):
    Replicas(params, SAMPLED, SIZES, tensor=3)


def test_devices_that_do_not_divide_the_model_are_refused() -> None:
  with pytest.raises(ConfigError, match=r'--config.sampling.tensor=3: .* the nearest that does is'):
    BatchedSampler(decoder.init(C, 3), C, SIZES, devices=jax.local_devices()[:3])


def test_what_the_others_leave_is_filled_in() -> None:
  assert dict(meshes.build(MeshShape(fsdp=-1, tensor=2), jax.devices(), []).shape) == {'data': 1, 'fsdp': 4, 'tensor': 2, 'sequence': 1}
  assert meshes.rows(build('data 2 x tensor 2 x sequence 2')) == 2 and meshes.rows(build('fsdp 8')) == 8
