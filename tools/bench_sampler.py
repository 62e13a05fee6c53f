"""Rollouts of ours on a file of ready-made requests, timed as the peers' benchmarks time theirs.

Prints one JSON line. The work is `group` (prompts, each with the lengths of its samples) or `multiturn` (conversations that append
tokens and sample, turn by turn) of a JSON file; lengths are forced and no token stops. What compiles is compiled before (`compile_s`).
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from inftool_jax.errors import ConfigError
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.training import step
from inftool_jax.types import SampleParams
from tools.bench_update import roofline

WORKLOAD = flags.DEFINE_enum('workload', 'group', ['group', 'multiturn'], 'sampler: which of the file')
SLOTS = flags.DEFINE_integer('slots', 64, 'sampler: conversations decoded at once', lower_bound=1)
RUNS = flags.DEFINE_integer('runs', 2, 'sampler: the work is done so many times, each time from an empty cache', lower_bound=1)
DECODE_STEPS = flags.DEFINE_integer('decode_steps', 8, 'sampler: steps of a dispatch', lower_bound=1)


def read(path: Path) -> dict[str, Any]:
  """Raises ConfigError when the file is no such work."""
  try:
    work = json.loads(path.read_text())
    return {'temperature': float(work['temperature']), 'group': work['group'], 'multiturn': work['multiturn']}
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise ConfigError(f'--work: {path} cannot be read as work ({type(e).__name__}: {e})') from e


def longest(work: dict[str, Any], workload: str) -> int:
  """Tokens of the longest conversation, at its end."""
  if workload == 'group':
    return max(len(g['prompt']) + max(g['max_new']) for g in work['group']['prompts'])
  conversations = work['multiturn']['conversations']
  return max(len(c['system']) + sum(len(t['append']) + t['max_new'] for t in c['turns']) for c in conversations)


async def roll_out(sampler: BatchedSampler, work: dict[str, Any], workload: str, run: int) -> int:
  """Tokens sampled. Raises RuntimeError when a request got fewer tokens than it asked for."""

  async def one(tokens: list[int], new: int, session: str, number: int) -> list[int]:
    params = SampleParams(temperature=work['temperature'], seed=(run << 32) + number, max_new_tokens=new)
    sample = await sampler.sample(tokens, params, session)
    if len(sample.tokens) != new:
      raise RuntimeError(f'{session}: {len(sample.tokens)} tokens instead of {new} ({sample.finish})')
    return list(sample.tokens)

  async def group(prompt: list[int], new: int, number: int) -> int:
    sampled = await one(prompt, new, str(number), number)
    sampler.release(str(number))
    return len(sampled)

  async def conversation(c: dict[str, Any], number: int) -> int:
    history, total = list(c['system']), 0
    for turn in c['turns']:
      history += turn['append']
      sampled = await one(history, turn['max_new'], str(number), number)
      history, total = history + sampled, total + len(sampled)
    sampler.release(str(number))
    return total

  todo: list[Coroutine[Any, Any, int]]
  if workload == 'group':
    requests = [(g['prompt'], new) for g in work['group']['prompts'] for new in g['max_new']]
    todo = [group(prompt, new, number) for number, (prompt, new) in enumerate(requests)]
  else:
    todo = [conversation(c, number) for number, c in enumerate(work['multiturn']['conversations'])]
  return sum(await asyncio.gather(*todo))


def run(path: Path, model: Path) -> None:
  work = read(path)
  config = decoder_config.from_huggingface(model)
  params = huggingface.load(model, config)
  sizes = SamplerConfig(slots=SLOTS.value, context=longest(work, WORKLOAD.value) + 1, decode_steps=DECODE_STEPS.value)
  sampler = BatchedSampler(params, config, sizes)
  started = time.perf_counter()
  sampler.warm_up()
  compiling = time.perf_counter() - started
  walls, useful, compiled = [], 0, sampler.compilations
  for number in range(RUNS.value):
    sampler.update(params, number)
    prefilled = sampler.prefilled_tokens
    started = time.perf_counter()
    useful = asyncio.run(roll_out(sampler, work, WORKLOAD.value, number))
    walls.append(round(time.perf_counter() - started, 2))
    prefilled = sampler.prefilled_tokens - prefilled
  if sampler.compilations != compiled:
    raise RuntimeError('a program was compiled while requests waited for it')
  facts = {
    'bench': 'rollout', 'engine': 'inftool_jax', 'workload': WORKLOAD.value, 'model': str(model), 'batch': SLOTS.value,
    'decode_steps': DECODE_STEPS.value, 'useful_tokens': useful, 'prefilled_tokens': prefilled, 'walls_s': walls,
    'compile_s': round(compiling, 2), 'tokens_per_s': round(useful / min(walls), 1), 'check_logp': _logp(params, config, work),
    'peak_rss_mib': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), 'matmul_gflops': round(roofline(), 1),
    'cores': os.cpu_count(), 'versions': {'jax': jax.__version__}, 'python': platform.python_version(),
    'date': time.strftime('%Y-%m-%d %H:%M'),
  }  # fmt: skip
  print(json.dumps(facts), flush=True)


def _logp(params, config, work: dict[str, Any]) -> float:
  """Of the first prompt of `group` after its first token: the peers' loaded the same model if theirs is the same."""
  tokens = np.array(work['group']['prompts'][0]['prompt'], np.int32)[None]
  where = np.arange(tokens.shape[1], dtype=np.int32)[None]
  logp_RxT = jax.jit(step.score, static_argnums=2)(params, (tokens, np.ones_like(tokens), np.full_like(tokens, -1), where), config)
  return float(jnp.sum(logp_RxT))
