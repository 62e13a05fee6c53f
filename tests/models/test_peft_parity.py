"""Adapters against PEFT itself, both ways. Needs the extra `parity`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

torch = pytest.importorskip('torch')
peft = pytest.importorskip('peft')

from inftool_jax.models import attention, decoder, huggingface, lora  # noqa: E402
from inftool_jax.models import peft as our_peft  # noqa: E402
from inftool_jax.models.config import DecoderConfig  # noqa: E402
from inftool_jax.models.lora import LoraConfig  # noqa: E402
from tests.models import torch_models  # noqa: E402
from tests.models.small import SMALL, same_bits, weights  # noqa: E402

CASES = {  # a family each; rank, alpha and targets all differ
  'qwen2.5': LoraConfig(rank=3, alpha=1.5),
  'qwen3': LoraConfig(rank=4, alpha=4.0, targets=('q', 'v')),
  'llama tied, scaled': LoraConfig(rank=2, alpha=3.0, targets=('gate|up|down',)),
}
TOKENS = np.random.default_rng(0).integers(3, 97, (2, 20)).astype(np.int32)


def _logits(params: decoder.Params, config: DecoderConfig) -> np.ndarray:
  ones = np.ones_like(TOKENS)
  positions = np.broadcast_to(np.arange(TOKENS.shape[1]), TOKENS.shape)
  forward = jax.jit(lambda p: decoder.forward(p, config, TOKENS, positions, attention.segment_attention(ones, -ones))[0])
  return np.asarray(decoder.logits(params, forward(params).reshape(-1, config.dim))).reshape(*TOKENS.shape, config.vocab)


def _close(ours: np.ndarray, theirs: np.ndarray) -> None:
  assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize('name', CASES)
def test_what_we_write_peft_loads_as_the_same_model_and_merges_alike(tmp_path: Path, name: str) -> None:
  config = dataclasses.replace(SMALL[name], lora=CASES[name])
  params = weights(config)
  huggingface.save(tmp_path / 'base', lora.base(params), SMALL[name], eos=2, pad=0, dtype='float32')
  our_peft.save(tmp_path / 'adapter', params, config, str(tmp_path / 'base'))
  base = torch_models.loaded(tmp_path / 'base')
  plain = torch_models.logits(base, TOKENS)
  model = peft.PeftModel.from_pretrained(base, tmp_path / 'adapter').eval()
  theirs = torch_models.logits(model, TOKENS)
  _close(_logits(params, config), theirs)
  assert np.abs(plain - theirs).max() > 0.05 * np.abs(theirs).max()
  huggingface.save(tmp_path / 'merged', params, config, eos=2, pad=0, dtype='float32')
  _close(torch_models.logits(torch_models.loaded(tmp_path / 'merged'), TOKENS), theirs)
  merged = model.merge_and_unload().state_dict()
  for key, value in torch_models.loaded(tmp_path / 'merged').state_dict().items():
    np.testing.assert_allclose(value.numpy(), merged[key].numpy(), rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize('name', CASES)
def test_what_peft_writes_we_load_as_the_same_model(tmp_path: Path, name: str) -> None:
  huggingface.save(tmp_path / 'base', weights(SMALL[name]), SMALL[name], eos=2, pad=0, dtype='float32')
  torch.manual_seed(0)
  targets = [our_peft.MODULES[n].split('.')[-1] for n in CASES[name].names]
  wanted = peft.LoraConfig(r=CASES[name].rank, lora_alpha=CASES[name].alpha, target_modules=targets, init_lora_weights=False)
  model = peft.get_peft_model(torch_models.loaded(tmp_path / 'base'), wanted).eval()
  model.save_pretrained(tmp_path / 'theirs')
  read = our_peft.read_config(tmp_path / 'theirs')
  assert (read.rank, read.alpha, read.names) == (CASES[name].rank, CASES[name].alpha, CASES[name].names)
  config = dataclasses.replace(SMALL[name], lora=read)
  params = lora.join(huggingface.load(tmp_path / 'base', config), our_peft.load(tmp_path / 'theirs', config))
  _close(_logits(params, config), torch_models.logits(model, TOKENS))
  our_peft.save(tmp_path / 'ours', params, config, '')
  assert same_bits(our_peft.load(tmp_path / 'ours', config), lora.split(params)[1])
