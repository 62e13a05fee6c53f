"""Adapters: the base at first, what PEFT's formula says afterwards, merged or not; and a base in int8."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inftool_jax.models import attention, decoder, huggingface, lora
from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.lora import LoraConfig
from inftool_jax.parallel import rules
from tests.models.small import CONFIG, SMALL, same_bits, weights

ALL = LoraConfig(rank=3, alpha=1.5)
SOME = LoraConfig(rank=3, alpha=1.5, targets=('q|v', 'down'))
adapted = lambda lora_config, config=CONFIG: dataclasses.replace(config, lora=lora_config)
TOKENS = np.random.default_rng(0).integers(0, CONFIG.vocab, (2, 24)).astype(np.int32)


@functools.partial(jax.jit, static_argnums=1)
def _hidden(params: decoder.Params, config: DecoderConfig) -> jax.Array:
  ones = jnp.ones(TOKENS.shape, jnp.int32)
  positions = jnp.broadcast_to(jnp.arange(TOKENS.shape[1]), TOKENS.shape)
  return decoder.forward(params, config, TOKENS, positions, attention.segment_attention(ones, -ones))[0]


def _merged(params: decoder.Params, config: DecoderConfig) -> decoder.Params:
  plain = decoder.abstract(dataclasses.replace(config, lora=None))['blocks']
  return {**params, 'blocks': {name: lora.merged(lora.parts(params['blocks'], name), name, config.lora) for name in plain}}


def _relative(a, b) -> float:
  a, b = (np.asarray(x, np.float64) for x in (a, b))
  return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize('compute', ['float32', 'bfloat16'])
def test_fresh_adapters_leave_the_base_as_it_is_bit_for_bit(compute: str) -> None:
  config = dataclasses.replace(CONFIG, compute_dtype=compute)
  base = weights(CONFIG)
  fresh = decoder.adapted(base, adapted(ALL, config), 5)
  assert set(fresh['blocks']) - set(base['blocks']) == {name + part for name in lora.PROJECTIONS for part in (lora.A, lora.B)}
  assert same_bits(_hidden(fresh, adapted(ALL, config)), _hidden(base, config))
  assert same_bits(lora.base(fresh), base) and decoder.adapted(base, config, 5) is base


def test_every_layer_and_projection_starts_with_another_a_and_with_b_zero() -> None:
  _, fresh = lora.split(decoder.adapted(weights(CONFIG), adapted(ALL), 5))
  drawn = [np.asarray(a)[layer] for name, a in fresh['blocks'].items() if name.endswith(lora.A) for layer in range(CONFIG.layers)]
  assert len({a.tobytes() for a in drawn}) == len(drawn) == 7 * CONFIG.layers
  for a in drawn:
    assert 0.8 * len(a) ** -0.5 < np.abs(a).max() <= len(a) ** -0.5
  assert not any(np.asarray(b).any() for name, b in fresh['blocks'].items() if name.endswith(lora.B))
  assert same_bits(fresh, lora.init(weights(CONFIG), ALL, 5)) and not same_bits(fresh, lora.init(weights(CONFIG), ALL, 6))


@pytest.mark.parametrize(('name', 'adapters'), [*((name, ALL) for name in SMALL), ('qwen2.5', SOME)])
def test_merged_weights_are_the_formulas_and_compute_what_adapters_beside_the_base_do(name: str, adapters: LoraConfig) -> None:
  config = adapted(adapters, SMALL[name])
  params = weights(config)  # adapters of which no part is zero
  merged = _merged(params, config)
  assert jax.tree.structure(merged) == jax.tree.structure(decoder.abstract(SMALL[name]))
  for projection in lora.PROJECTIONS:
    w, held = np.asarray(params['blocks'][projection], np.float64), lora.parts(params['blocks'], projection)
    if projection in adapters.names:
      a, b = (np.asarray(held[projection + part], np.float64) for part in (lora.A, lora.B))
      w = w + 0.5 * np.einsum('lir,lro->lio', a, b)  # 1.5 / 3
    np.testing.assert_allclose(merged['blocks'][projection], w, rtol=1e-5, atol=1e-6)
  beside = _hidden(params, config)
  assert _relative(beside, _hidden(merged, SMALL[name])) < 1e-5
  assert _relative(beside, _hidden(lora.base(params), SMALL[name])) > 0.1


def test_targets_are_names_or_regular_expressions_of_whole_names() -> None:
  assert ALL.names == lora.PROJECTIONS and SOME.names == ('q', 'v', 'down')
  assert LoraConfig(1, 1.0, ('.*',)).names == lora.PROJECTIONS and LoraConfig(1, 1.0, ('[qkvo]',)).names == ('q', 'k', 'v', 'o')
  assert LoraConfig(1, 1.0, ('ga', 'p')).names == ()
  _, trained = lora.split(weights(adapted(SOME)))
  assert set(trained['blocks']) == {name + part for name in ('q', 'v', 'down') for part in (lora.A, lora.B)}


def test_a_tree_with_adapters_falls_into_two_parts_and_one_without_is_trained_whole() -> None:
  params, plain = weights(adapted(SOME)), weights(CONFIG)
  frozen, trained = lora.split(params)
  assert same_bits(lora.join(frozen, trained), params) and same_bits(frozen, lora.base(params))
  assert set(trained) == {'blocks'} and len(trained['blocks']) == 6
  assert lora.split(plain) == ({}, plain) and lora.join({}, plain).keys() == plain.keys()


@pytest.mark.parametrize('int8', [False, True])
def test_random_weights_axes_and_dtypes_follow_the_config(int8: bool) -> None:
  config = dataclasses.replace(adapted(dataclasses.replace(SOME, int8=int8)), param_dtype='bfloat16')
  params, like, axes = decoder.init(config, 3), decoder.abstract(config), dict(rules.flatten(decoder.logical_axes(config)))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(lambda x: (x.shape, x.dtype), like)
  blocks = params['blocks']
  assert blocks['q_lora_a'].shape == (2, 32, 3) and blocks['q_lora_b'].shape == (2, 3, 32) and blocks['down_lora_a'].shape == (2, 48, 3)
  assert {x.dtype.name for x in jax.tree.leaves(lora.split(params)[1])} == {'float32'}
  assert blocks['gate'].dtype == ('int8' if int8 else 'bfloat16') and params['embed'].dtype == blocks['q_bias'].dtype == 'bfloat16'
  assert ('gate_scale' in blocks) == int8
  assert axes['blocks.down_lora_a'] == ('layers', 'ffn', 'rank')
  assert axes['blocks.v_lora_b'] == ('layers', 'rank', 'kv_heads')
  assert axes.get('blocks.v_scale') == (('layers', 'kv_heads') if int8 else None)
  assert all(len(names) == x.ndim for names, x in zip(axes.values(), jax.tree.leaves(params), strict=True))
  assert config.parameters == CONFIG.parameters


# --- A base in int8 ---


def test_int8_is_symmetric_by_output_channel_and_off_by_half_a_scale_at_most() -> None:
  w = weights(CONFIG)['blocks']['gate'].at[0, :, 3].set(0.0).at[1, 5, 7].set(9.0)
  values, scale = lora.quantize(w)
  assert values.dtype == jnp.int8 and scale.shape == (2, 48) and scale.dtype == jnp.float32
  assert np.abs(values).max() == 127 and scale[1, 7] == pytest.approx(9 / 127) and scale[0, 3] == 1.0
  assert (np.abs(values * scale[:, None] - w) <= scale[:, None] * 0.5001).all()
  bounded = jnp.abs(w).max(axis=1)[:, None] / 254 * 1.0001
  assert (np.abs(values * scale[:, None] - w) <= bounded).all()


@pytest.mark.parametrize('compute', ['float32', 'bfloat16'])
def test_a_base_in_int8_computes_what_its_numbers_say_and_is_within_three_percent_of_the_base(compute: str) -> None:
  config = dataclasses.replace(adapted(dataclasses.replace(SOME, int8=True)), compute_dtype=compute)
  params = weights(adapted(SOME))
  small = lora.quantized(params)
  beside = _hidden(small, config)
  numbers = _merged(small, config)
  assert {x.dtype for x in jax.tree.leaves(numbers)} == {jnp.dtype('float32')}
  expected = _hidden(numbers, dataclasses.replace(CONFIG, compute_dtype=compute))
  assert _relative(beside, expected) < {'float32': 1e-5, 'bfloat16': 0.03}[compute]
  assert 1e-4 < _relative(_hidden(small, adapted(config.lora)), _hidden(params, adapted(SOME))) < 0.03


def test_a_checkpoint_is_loaded_into_int8_as_its_whole_weights_would_be_rounded(tmp_path, monkeypatch) -> None:
  config = adapted(dataclasses.replace(SOME, int8=True))
  huggingface.save(tmp_path, weights(CONFIG), CONFIG, eos=2, pad=0, dtype='float32')
  monkeypatch.setattr(huggingface.tensorfiles, 'BLOCK_BYTES', 700)  # several rows of most tensors
  loaded = huggingface.load(tmp_path, config)
  assert same_bits(loaded, lora.quantized(weights(CONFIG)))
  assert same_bits(huggingface.load(tmp_path, adapted(SOME)), weights(CONFIG))


@pytest.mark.parametrize('int8', [False, True])
def test_an_export_is_the_merged_model(tmp_path, int8: bool) -> None:
  config = adapted(dataclasses.replace(SOME, int8=int8))
  params = weights(adapted(SOME))
  params = lora.quantized(params) if int8 else params
  huggingface.save(tmp_path, params, config, eos=2, pad=0, dtype='float32')
  exported, expected = huggingface.load(tmp_path, CONFIG), _merged(params, config)
  for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(exported), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=jax.tree_util.keystr(path))
  untouched = [name for name in weights(CONFIG)['blocks'] if name not in (lora.PROJECTIONS if int8 else SOME.names)]
  assert same_bits({n: exported['blocks'][n] for n in untouched}, {n: params['blocks'][n] for n in untouched})
