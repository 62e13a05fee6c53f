"""One GRPO update of ours on a file of ready-made rollouts, timed as the peers' benchmarks time theirs.

Prints one JSON line. The work is `train` of a JSON file: `prompt` and `completion` (token ids of each sequence, neighbours with
the same prompt are a group) and `advantages`. The objective is GRPO's without divergence, the optimizer AdamW behind a clip of the
global norm at 1, all in float32. Samples stand behind one copy of their prompt, as many to a row as `--row_length` has room for.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from inftool_jax.data import prefix
from inftool_jax.errors import ConfigError
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface
from inftool_jax.training import batching, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig

WORK = flags.DEFINE_string('work', None, 'update, sampler: JSON file of the work')
MODEL = flags.DEFINE_string('model', None, 'update, sampler: Hugging Face folder of the policy')
SEQUENCES = flags.DEFINE_integer('sequences', 64, 'update: use the first so many', lower_bound=1)
STEPS = flags.DEFINE_integer('steps', 3, 'update: updates, of which the first compiles', lower_bound=2)
ROW = flags.DEFINE_integer('row_length', 1284, 'update: tokens of a row', lower_bound=1)
ROWS = flags.DEFINE_integer('rows', 1, 'update: rows of a micro-batch', lower_bound=1)
REMAT = flags.DEFINE_enum('remat', 'projections', decoder_config.REMAT, 'update: what is computed again')

OBJECTIVE = ObjectiveConfig('grpo', clip_low=0.2, clip_high=0.2)
OPTIMIZER = OptimizerConfig('adamw', learning_rate=1e-6, weight_decay=0.01, b1=0.9, b2=0.999, clip_norm=1.0)


@dataclasses.dataclass(frozen=True)
class Sample:
  """A sequence as packing sees it. On policy: what the sampler thought of its tokens goes into metrics only."""

  tokens: tuple[int, ...]
  loss_mask: tuple[bool, ...]

  @property
  def logprobs(self) -> tuple[float, ...]:
    return (0.0,) * len(self.tokens)


def read(path: Path, count: int) -> tuple[list[list[Sample]], np.ndarray]:
  """Groups of the first `count` sequences, and their advantages. Raises ConfigError when the file is no such work."""
  try:
    work = json.loads(path.read_text())['train']
    pairs = [(tuple(p), tuple(c)) for p, c in zip(work['prompt'][:count], work['completion'][:count], strict=True)]
    advantages = np.array(work['advantages'][:count], np.float32)
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise ConfigError(f'--work: {path} cannot be read as work ({type(e).__name__}: {e})') from e
  groups = [
    [Sample(p + c, (False,) * len(p) + (True,) * len(c)) for p, c in group] for _, group in itertools.groupby(pairs, lambda pair: pair[0])
  ]
  return groups, advantages


def batch(groups: Sequence[Sequence[Sample]], advantages: np.ndarray, row_length: int, rows: int) -> step.Batch:
  """The rollouts as one update's batch. Raises ConfigError when a sequence is longer than a row."""
  packed = prefix.pack_groups(groups, row_length)
  if packed.dropped:
    raise ConfigError(f'--row_length={row_length}: sequence {packed.dropped[0].sequence} has {packed.dropped[0].length} tokens')
  lengths = np.array([sum(s.loss_mask) for group in groups for s in group])
  weight = objectives.shares(OBJECTIVE, lengths, len(lengths), 1)
  return batching.batch(packed, rows, -(-packed.rows // rows), advantages, weight)


def measure(groups: Sequence[Sequence[Sample]], advantages: np.ndarray, model: Path) -> dict[str, Any]:
  """Seconds of each update, loss and gradient norm of the first, and the most memory this process ever had."""
  config = decoder_config.from_huggingface(model, remat=REMAT.value)
  transform = optimizer.make(OPTIMIZER, STEPS.value)
  work = batch(groups, advantages, ROW.value, ROWS.value)
  state = step.init(huggingface.load(model, config), transform)
  program = step.make(config, transform, objectives.make(OBJECTIVE))
  walls, first = [], {}
  for _ in range(STEPS.value):
    started = time.perf_counter()
    state, metrics, _ = program(state, work, {})
    jax.block_until_ready(state)
    walls.append(round(time.perf_counter() - started, 2))
    first = first or {name: float(value) for name, value in metrics.items()}
  sequences = [s for group in groups for s in group]
  tokens = sum(len(s.tokens) for s in sequences)
  return {
    'bench': 'grpo_step', 'engine': 'inftool_jax', 'model': str(model), 'sequences': len(sequences), 'tokens': tokens,
    'micro': ROWS.value, 'row_length': ROW.value, 'rows': int(work.tokens.shape[0] * work.tokens.shape[1]), 'remat': REMAT.value,
    'walls_s': walls, 'step_s': min(walls[1:]), 'tokens_per_s': round(tokens / min(walls[1:]), 1),
    'first_loss': first['loss'], 'first_grad_norm': first['grad_norm'], 'optimizer': 'adamw',
    'peak_rss_mib': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
  }  # fmt: skip


def roofline(n: int = 2048, repeats: int = 5) -> float:
  """10^9 operations a second of a float32 product of two n x n matrices, the best of `repeats`."""
  a = jnp.asarray(np.random.default_rng(0).normal(size=(n, n)).astype(np.float32))
  product = jax.jit(jnp.matmul)
  jax.block_until_ready(product(a, a))
  best = float('inf')
  for _ in range(repeats):
    started = time.perf_counter()
    jax.block_until_ready(product(a, a))
    best = min(best, time.perf_counter() - started)
  return 2 * n**3 / best / 1e9


def run(work: Path, model: Path) -> None:
  groups, advantages = read(work, SEQUENCES.value)
  facts = measure(groups, advantages, model)
  facts |= {'matmul_gflops': round(roofline(), 1), 'cores': os.cpu_count(), 'versions': {'jax': jax.__version__}}
  print(json.dumps(facts | {'python': platform.python_version(), 'date': time.strftime('%Y-%m-%d %H:%M')}), flush=True)
