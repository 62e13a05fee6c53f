"""A decoder of random weights on one accelerator: how near forward pass, update and decoding come to what the device can do.

Prints one JSON line for each. The limits are measured on the same device in the same run: `flops` a second of a matrix product in the
compute dtype, `bandwidth` as bytes a second of adding 1 to a large array (read and written). MFU is the model's FLOPs, causal attention
counted by half, over time and measured limit. A decoding step must read the weights once, but for an embedding that is only looked up,
and the cache of every conversation; `bandwidth_share` is these bytes over time and measured limit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from inftool_jax.models import decoder, lora
from inftool_jax.models.config import DecoderConfig, from_dict
from inftool_jax.models.lora import LoraConfig
from inftool_jax.models.published import PUBLISHED
from inftool_jax.sampling import memory
from inftool_jax.sampling.programs import FEWEST_ROWS, SamplerConfig
from inftool_jax.sampling.sampler import BatchedSampler
from inftool_jax.training import objectives, optimizer, step
from inftool_jax.training.optimizer import OptimizerConfig
from inftool_jax.types import SampleParams
from tools.aot_cases import update_flops

# Small enough for any machine; for the programs' sake, not for its figures.
LITTLE = DecoderConfig(
  vocab=2048, layers=2, dim=128, heads=4, kv_heads=2, head_dim=32, ffn=256, rope_theta=1e6, norm_eps=1e-6, tied=False, context=2048
)
SHAPE = flags.DEFINE_enum('shape', 'little', ['little', *PUBLISHED], 'gpu: the decoder')
DTYPE = flags.DEFINE_enum('dtype', 'bfloat16', ['bfloat16', 'float32'], 'gpu: of weights and computation')
BATCH = flags.DEFINE_integer('batch_rows', 8, 'gpu: rows of the forward pass and of an update', lower_bound=1)
LENGTH = flags.DEFINE_integer('length', 4096, 'gpu: tokens of a row, and of each conversation before it is decoded', lower_bound=2)
RANK = flags.DEFINE_integer('lora_rank', 16, 'gpu: of the adapters that an update trains; 0: it trains all parameters', lower_bound=0)
INT8 = flags.DEFINE_bool('lora_int8', False, 'gpu: keep the base of the adapters in 8 bits')
TOGETHER = flags.DEFINE_list('together', ['1', '16', '64'], 'gpu: conversations decoded at once')
SIZE = flags.DEFINE_integer('product', 8192, 'gpu: rows and columns of the matrices that measure the limit', lower_bound=1)

REPEATS = 3
WARM, MEASURED = 8, 64  # tokens of each conversation before decoding is timed, and while it is
PAGE = SamplerConfig.page
BYTES = 2**28  # of the array that measures the bandwidth


@dataclasses.dataclass(frozen=True)
class Limits:
  """What the device was seen to do."""

  flops: float  # a second
  bandwidth: float  # bytes a second


def shape() -> DecoderConfig:
  options: dict[str, Any] = {'param_dtype': DTYPE.value, 'compute_dtype': DTYPE.value, 'remat': 'full'}
  if RANK.value:
    options['lora'] = LoraConfig(RANK.value, 2.0 * RANK.value, int8=INT8.value)
  return dataclasses.replace(LITTLE, **options) if SHAPE.value == 'little' else from_dict(PUBLISHED[SHAPE.value], **options)


def best(work: Callable[[], Any]) -> float:
  """Seconds, the least of `REPEATS` after one that compiles."""
  jax.block_until_ready(work())
  found = []
  for _ in range(REPEATS):
    started = time.perf_counter()
    jax.block_until_ready(work())
    found.append(time.perf_counter() - started)
  return min(found)


def limits(dtype: str, size: int) -> Limits:
  a, x = jnp.ones((size, size), dtype), jnp.ones(BYTES // 4, jnp.float32)
  product, more = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
  return Limits(2 * size**3 / best(lambda: product(a, a)), 2 * BYTES / best(lambda: more(x)))


def forward(params: decoder.Params, config: DecoderConfig, rows: int, length: int, found: Limits) -> dict[str, Any]:
  """The log-probability of every token of full rows."""
  program = jax.jit(step.score, static_argnums=2)
  tokens = np.random.default_rng(0).integers(0, config.vocab, (rows, length), np.int32)
  where = np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape)
  micro = (tokens, np.ones_like(tokens), np.full_like(tokens, -1), where)
  return _mfu('forward', rows * length, config.forward_flops(length), best(lambda: program(params, micro, config)), found)


def update(params: decoder.Params, config: DecoderConfig, rows: int, length: int, found: Limits) -> dict[str, Any]:
  """SFT on every token of full rows, one micro-batch; the state is donated and used up."""
  transform = optimizer.make(OptimizerConfig('adamw', learning_rate=1e-6), 100)
  program = step.make(config, transform, objectives.sft)
  frozen, trained = lora.split(params)
  state = [step.init(trained, transform)]
  batch = _full(config, rows, length)

  def work() -> Any:
    state[0], metrics, _ = program(state[0], batch, frozen)
    return metrics

  return _mfu('update', rows * length, update_flops(config, length), best(work), found)


def _full(config: DecoderConfig, rows: int, length: int) -> step.Batch:
  tokens = np.random.default_rng(1).integers(0, config.vocab, (1, rows, length), np.int32)
  zeros, ones = np.zeros(tokens.shape, np.float32), np.ones_like(tokens)
  mask = np.broadcast_to(np.arange(length) > 0, tokens.shape)
  fields: dict[str, Any] = {
    'tokens': tokens, 'segments': ones, 'parents': -ones, 'positions': np.broadcast_to(np.arange(length, dtype=np.int32), tokens.shape),
    'mask': mask, 'replay': np.zeros_like(mask), 'weight': zeros + 1, 'used': np.int32(1), 'tokens_total': np.float32(mask.sum()),
    'revisited': np.bool_(False),
  }  # fmt: skip
  return step.Batch(*(fields.get(name, zeros) for name in step.Batch._fields))


def _mfu(name: str, tokens: int, flops: float, seconds: float, found: Limits) -> dict[str, Any]:
  mfu = tokens * flops / seconds / found.flops
  return {'measured': name, 'tokens': tokens, 'model_flops': tokens * flops, 'seconds': seconds, 'mfu': mfu}


def decoding(params: decoder.Params, config: DecoderConfig, together: int, length: int, found: Limits) -> dict[str, Any]:
  """`together` conversations of `length` tokens that differ from the first one on."""
  context = length + WARM + MEASURED + 1
  slots = max(together, FEWEST_ROWS) if jax.default_backend() == 'cpu' else together
  sizes = SamplerConfig(slots, context, PAGE, together * -(-context // PAGE) + 1)
  sampler = BatchedSampler(params, config, sizes)
  sampler.warm_up()
  prompts = np.random.default_rng(2).integers(0, config.vocab, (together, length)).tolist()

  async def all_of(new: int) -> None:
    requests = (sampler.sample(prompt, SampleParams(seed=i, max_new_tokens=new), str(i)) for i, prompt in enumerate(prompts))
    await asyncio.gather(*requests)

  walls = []
  for version, new in enumerate((WARM, WARM + MEASURED)):
    sampler.update(params, version)  # an empty cache
    started = time.perf_counter()
    asyncio.run(all_of(new))
    walls.append(time.perf_counter() - started)
  seconds = (walls[1] - walls[0]) / MEASURED
  bytes_read = step_bytes(params, config, together, length)
  return {
    'measured': 'decoding', 'together': together, 'length': length, 'seconds_a_step': seconds, 'tokens_a_second': together / seconds,
    'bytes_a_step': bytes_read, 'bandwidth_share': bytes_read / seconds / found.bandwidth,
  }  # fmt: skip


def step_bytes(params: decoder.Params, config: DecoderConfig, together: int, length: int) -> int:
  """What a step must read: weights as they are served, and `length` tokens of the cache of each conversation."""
  served = jax.eval_shape(lambda p: decoder.served(p, config), params)
  looked_up = 0 if config.tied else served['embed'].size * served['embed'].dtype.itemsize
  weights = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(served)) - looked_up
  return weights + together * length * memory.page_bytes(config, PAGE) // PAGE


def measure(config: DecoderConfig, rows: int, length: int, together: Sequence[int], size: int) -> Iterator[dict[str, Any]]:
  """The limits, the forward pass, decoding of each number of conversations, and an update, one after the other."""
  found = limits(config.compute_dtype, size)
  params = decoder.init(config, 0)
  about = {'device': jax.devices()[0].device_kind, 'parameters': config.parameters, 'dtype': config.compute_dtype}
  yield about | {'measured': 'limits', **dataclasses.asdict(found)}
  yield forward(params, config, rows, length, found)
  for n in together:
    yield decoding(params, config, n, length, found)
  yield update(params, config, rows, length, found)


def run() -> None:
  for line in measure(shape(), BATCH.value, LENGTH.value, [int(n) for n in TOGETHER.value], SIZE.value):
    print(json.dumps(line | {'jax': jax.__version__, 'date': time.strftime('%Y-%m-%d %H:%M')}), flush=True)
