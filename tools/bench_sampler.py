"""Rollouts of ours on a file of ready-made requests, timed as the peers' benchmarks time theirs.

Prints one JSON line. The work is `group` (prompts, each with the lengths of its samples) or `multiturn` (conversations that append
tokens and sample, turn by turn) of a JSON file; lengths are forced and no token stops. What compiles is compiled before (`compile_s`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import NamedTuple

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
PAGE = SamplerConfig.page
SLOTS = flags.DEFINE_integer('slots', 64, 'sampler: conversations decoded at once', lower_bound=1)
RUNS = flags.DEFINE_integer('runs', 2, 'sampler: the work is done so many times, each time from an empty cache', lower_bound=1)
DECODE_STEPS = flags.DEFINE_integer('decode_steps', 8, 'sampler: steps of a dispatch', lower_bound=1)


class Turn(NamedTuple):
  """What is appended to a conversation, and how many tokens are sampled after it."""

  append: list[int]
  new: int


Work = list[list[Turn]]


def read(path: Path, workload: str) -> tuple[Work, float]:
  """(conversations, temperature); a sample of a group is one of a single turn. Raises ConfigError when the file is no such work."""
  try:
    work = json.loads(path.read_text())
    if workload == 'group':
      found = [[Turn(g['prompt'], new)] for g in work['group']['prompts'] for new in g['max_new']]
    else:
      found = [[Turn(t['append'], t['max_new']) for t in c['turns']] for c in work['multiturn']['conversations']]
      for turns, c in zip(found, work['multiturn']['conversations'], strict=True):
        turns[0] = turns[0]._replace(append=c['system'] + turns[0].append)
    return found, float(work['temperature'])
  except (OSError, ValueError, KeyError, TypeError, IndexError) as e:
    raise ConfigError(f'--work: {path} cannot be read as work ({type(e).__name__}: {e})') from e


async def roll_out(sampler: BatchedSampler, work: Work, temperature: float, run: int) -> int:
  """Tokens sampled, all conversations at once. Raises RuntimeError when a request got fewer tokens than it asked for."""

  async def conversation(number: int, turns: list[Turn]) -> int:
    history: list[int] = []
    for append, new in turns:
      history += append
      params = SampleParams(temperature=temperature, seed=(run << 32) + number, max_new_tokens=new)
      sample = await sampler.sample(history, params, str(number))
      if len(sample.tokens) != new:
        raise RuntimeError(f'conversation {number}: {len(sample.tokens)} tokens instead of {new} ({sample.finish})')
      history += sample.tokens
    sampler.release(str(number))
    return sum(turn.new for turn in turns)

  return sum(await asyncio.gather(*(conversation(*numbered) for numbered in enumerate(work))))


def run(path: Path, model: Path) -> None:
  work, temperature = read(path, WORKLOAD.value)
  longest = max(sum(len(turn.append) + turn.new for turn in turns) for turns in work)
  config = decoder_config.from_huggingface(model)
  params = huggingface.load(model, config)
  together = sum(sum(len(turn.append) + turn.new for turn in turns) for turns in work) // PAGE + len(work)
  slots = min(SLOTS.value, max(64, len(work)))
  context = longest + 1
  pages = 1 + min(together, slots * -(-context // PAGE))
  sizes = SamplerConfig(slots, context, PAGE, pages, decode_steps=DECODE_STEPS.value)
  sampler = BatchedSampler(params, config, sizes)
  started = time.perf_counter()
  sampler.warm_up()
  compiling = time.perf_counter() - started
  walls, useful, compiled = [], 0, sampler.compilations
  did: dict[str, float] = {}
  for number in range(RUNS.value):
    sampler.update(params, number)
    before = dataclasses.replace(sampler.stats)
    started = time.perf_counter()
    useful = asyncio.run(roll_out(sampler, work, temperature, number))
    walls.append(round(time.perf_counter() - started, 2))
    prefilled, did = sampler.stats.prefilled_tokens - before.prefilled_tokens, sampler.stats.metrics(before)
  if sampler.compilations != compiled:
    raise RuntimeError('a program was compiled while requests waited for it')
  facts = {
    'bench': 'rollout', 'engine': 'inftool_jax', 'workload': WORKLOAD.value, 'model': str(model), 'batch': slots,
    'decode_steps': DECODE_STEPS.value, 'useful_tokens': useful, 'prefilled_tokens': prefilled, 'walls_s': walls,
    'did': {name: round(value, 3) for name, value in did.items()},
    'compile_s': round(compiling, 2), 'tokens_per_s': round(useful / min(walls), 1),
    'peak_rss_mib': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), 'matmul_gflops': round(roofline(), 1),
    'check_logp': _logp(params, config, read(path, 'group')[0][0][0].append),
    'cores': os.cpu_count(), 'versions': {'jax': jax.__version__}, 'python': platform.python_version(),
    'date': time.strftime('%Y-%m-%d %H:%M'),
  }  # fmt: skip
  print(json.dumps(facts), flush=True)


def _logp(params, config, prompt: list[int]) -> float:
  """Of the first prompt of `group` after its first token: the peers' loaded the same model if theirs is the same."""
  tokens = np.array(prompt, np.int32)[None]
  where = np.arange(tokens.shape[1], dtype=np.int32)[None]
  logp_RxT = jax.jit(step.score, static_argnums=2)(params, (tokens, np.ones_like(tokens), np.full_like(tokens, -1), where), config)
  return float(jnp.sum(logp_RxT))
