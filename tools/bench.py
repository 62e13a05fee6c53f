"""Measures what the README's figures are made of.

  python -m tools.bench checkpoint --gb=2              # import and export of a random checkpoint of so many 10^9 bytes, in shards
  python -m tools.bench checkpoint --gb=2 --int8       # the same import as the frozen base of adapters

`checkpoint` tells the times, and the most host memory that was in use above the arrays themselves (Linux). It writes twice `--gb` into
`--dir` and removes it again.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from absl import app, flags

from inftool_jax.errors import InftoolError
from inftool_jax.models import huggingface, tensorfiles
from inftool_jax.models.config import DecoderConfig, to_huggingface
from inftool_jax.models.huggingface import Place
from inftool_jax.models.lora import LoraConfig

GB = flags.DEFINE_float('gb', 2.0, 'size of the checkpoint in 10^9 bytes', lower_bound=0.01)
DIR = flags.DEFINE_string('dir', None, 'where to write; a temporary folder if not given')
INT8 = flags.DEFINE_bool('int8', False, 'load the layers in int8, as the base of adapters')

QWEN2_5_3B = DecoderConfig(
  vocab=151_936, layers=36, dim=2048, heads=16, kv_heads=2, head_dim=128, ffn=11_008, rope_theta=1e6, norm_eps=1e-6, tied=True,
  context=32_768, param_dtype='bfloat16', compute_dtype='bfloat16',
)  # fmt: skip
SHARDS = 4


def checkpoint(folder: Path, config: DecoderConfig) -> dict[str, Any]:
  """Writes a random checkpoint, loads it, and, if nothing of it was rounded away, exports it again and compares the files."""
  plain, wanted = dataclasses.replace(config, lora=None), huggingface.places(config)
  tensors = [tensorfiles.Tensor(p.name, p.shape, functools.partial(_random, n, p)) for n, p in enumerate(wanted)]
  sizes = [2 * int(np.prod(t.shape)) for t in tensors]
  limit = max(sum(sizes) // SHARDS, 1)
  source, copy = folder / 'source', folder / 'copy'
  source.mkdir(parents=True)
  tensorfiles.write(source, tensors, 'BF16', limit)
  tensorfiles.write_json(source / 'config.json', to_huggingface(plain, eos=2, pad=0))
  params, spent, grown = _measured(lambda: jax.block_until_ready(huggingface.load(source, config)))
  held = sum(x.nbytes for x in jax.tree.leaves(params))
  facts = {
    'checkpoint': sum(sizes), 'files': len(list(source.glob('*.safetensors'))), 'largest tensor': max(sizes), 'arrays': held,
    'import time': spent, 'import memory above the arrays': grown - held,
  }  # fmt: skip
  if config.lora is None:
    save = functools.partial(huggingface.save, copy, params, config, eos=2, pad=0, shard_bytes=limit)
    _, facts['export time'], facts['export memory'] = _measured(save)
    facts['bit for bit'] = all(f.read_bytes() == (copy / f.name).read_bytes() for f in source.iterdir())
  return facts


def _random(number: int, place: Place) -> np.ndarray:
  """Numbers of either sign and a size around 0.01, at the speed of random bits."""
  bits = np.random.default_rng(number).integers(0, 1 << 16, place.shape, np.uint16)
  return ((bits & 0x80FF) | 0x3C00).view(ml_dtypes.bfloat16)


def _measured(work: Callable[[], Any]) -> tuple[Any, tuple[float, float], int]:
  """The result; seconds on the clock and of processor time; and by how many bytes this process grew at its largest."""
  Path('/proc/self/clear_refs').write_text('5')  # the peak so far is forgotten
  before, started, used = _resident('VmRSS'), time.monotonic(), time.process_time()
  result = work()
  return result, (time.monotonic() - started, time.process_time() - used), _resident('VmHWM') - before


def _resident(name: str) -> int:
  found = re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())
  assert found
  return 1024 * int(found[1])


def cut(gigabytes: float) -> DecoderConfig:
  """Qwen2.5-3B with as many of its layers as make a checkpoint of this size, in bfloat16."""
  one, none = (dataclasses.replace(QWEN2_5_3B, layers=n).parameters for n in (1, 0))
  return dataclasses.replace(QWEN2_5_3B, layers=max(1, round((gigabytes * 1e9 / 2 - none) / (one - none))))


def main(argv: list[str]) -> None:
  if argv[1:] != ['checkpoint']:
    raise app.UsageError('name what to measure: checkpoint')
  config = dataclasses.replace(cut(GB.value), lora=LoraConfig(16, 32.0, int8=True) if INT8.value else None)
  print(f'Qwen2.5-3B with {config.layers} layers, {os.cpu_count()} CPU cores, {jax.default_backend()}, {time.strftime("%Y-%m-%d")}')
  try:
    with tempfile.TemporaryDirectory(dir=DIR.value) as folder:
      for name, value in checkpoint(Path(folder), config).items():
        print(f'  {name:32} {_readable(name, value)}')
  except InftoolError as e:
    sys.exit(str(e))


def _readable(name: str, value: Any) -> str:
  if name.endswith('time'):
    return f'{value[0]:.1f} s, {value[1]:.1f} s of processor time'
  return f'{value / 1e6:,.0f} MB' if isinstance(value, int) and not isinstance(value, bool) and name != 'files' else str(value)


if __name__ == '__main__':
  app.run(main)
