"""transformers' torch models of our small decoders (extra `parity`).

  python -m tests.models.torch_models    # writes tests/models/golden/*.npz, their logits, again
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from inftool_jax.models import huggingface
from tests.models.small import SMALL, weights

torch.set_num_threads(1)  # the models are tiny, and threads that wait for each other on busy cores take a hundred times as long
GOLDEN = Path(__file__).parent / 'golden'


def loaded(folder: Path) -> transformers.PreTrainedModel:
  """The model as any user of transformers loads it; every tensor of it must come from the folder."""
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    folder, dtype=torch.float32, attn_implementation='eager', output_loading_info=True
  )
  assert not any(info[kind] for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys')), info
  return model.eval()


def logits(model: transformers.PreTrainedModel, tokens, mask=None, positions=None) -> np.ndarray:
  """[B, T, V] for tokens [B, T]."""
  arrays = {'input_ids': tokens, 'attention_mask': mask, 'position_ids': positions}
  with torch.no_grad():
    return model(**{k: torch.as_tensor(np.asarray(v)).long() for k, v in arrays.items() if v is not None}).logits.numpy()


def golden_file(name: str) -> Path:
  return GOLDEN / (re.sub(r'[^a-z0-9]+', '_', name) + '.npz')


def write_golden() -> None:
  for number, (name, config) in enumerate(SMALL.items()):
    tokens = np.random.default_rng(number).integers(0, config.vocab, 12).astype(np.int32)
    with tempfile.TemporaryDirectory() as folder:
      huggingface.save(folder, weights(config), config, eos=2, pad=0, dtype='float32')
      model = loaded(Path(folder)).double()
    np.savez_compressed(golden_file(name), tokens=tokens, logits=logits(model, tokens[None])[0].astype(np.float32))


if __name__ == '__main__':
  write_golden()
