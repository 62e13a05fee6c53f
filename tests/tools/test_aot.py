"""The real compiler on small decoders: attention by kernels, no logits of a whole row, and figures one can check by hand."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import SingleDeviceSharding

from configs import round as presets
from inftool_jax import settings
from inftool_jax.models import page_kernel, splash
from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.lora import LoraConfig
from inftool_jax.parallel import ahead, counting, hlo, topology
from inftool_jax.training import step
from tools import aot, aot_cases, aot_figures, aot_table

ROOT = pathlib.Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(importlib.util.find_spec('libtpu') is None, reason='needs the TPU compiler, extra tpu')
TOPOLOGY = 'v5p:2x2x1'
T, ROWS = 1024, 4
SHAPE = DecoderConfig(
  vocab=4096, layers=9, dim=512, heads=4, kv_heads=2, head_dim=128, ffn=1536, rope_theta=1e6, norm_eps=1e-6, tied=False, context=T,
  compute_dtype='bfloat16', remat='projections',
)  # fmt: skip
# FLOPs of a token in attention's kernels, two forward and four backward, whose blocks of 512 fill three quarters of a row's square.
KERNELS = 2 * (2 + 3 + 4) * SHAPE.layers * 2 * SHAPE.heads * SHAPE.head_dim * T * 3 / 4


@functools.cache
def _sft() -> tuple[aot_cases.Case, ahead.Compiled]:
  """An SFT update of `SHAPE` on four chips, fsdp 2 x tensor 2."""
  config = presets.get_config('qwen2_5_7b')
  config.mesh.tensor = 2
  config.sft.rows, config.sft.micro_batches, config.sft.row_length = ROWS, 3, T
  devices, chip = topology.devices(TOPOLOGY)
  case = aot_cases.learner('sft', settings.parse(config), SHAPE, devices)
  return case, ahead.compile_for(case.mesh, case.function, case.arguments, chip.memory, case.loops, splash.cells)


@needs_compiler
@pytest.mark.slow
def test_attention_is_kernels_forward_and_backward_and_no_row_has_its_logits() -> None:
  _, compiled = _sft()
  # Own part and parent's; the projections policy keeps what they returned, so that nothing runs forward twice.
  called = hlo.kernels(compiled.text)
  assert {name.split('_')[2]: n for name, n in called.items()} == {'fwd': 2, 'dq': 2, 'dkv': 2}
  assert all(name.startswith('splash_mha') and 'segmented' in name for name in called)
  found, part = hlo.shapes(compiled.text), SHAPE.vocab // 2
  assert (step.HEAD_CHUNK, part) in found
  assert not [shape for shape in found if {part, SHAPE.vocab} & {*shape} and math.prod(shape) > part * step.HEAD_CHUNK]
  # No scores either: the rows of a device, its heads and both lengths.
  assert not [shape for shape in found if shape[-2:] == (T, T)]


@needs_compiler
@pytest.mark.slow
def test_the_figures_of_an_update_are_those_of_its_shapes() -> None:
  case, compiled = _sft()
  assert compiled.memory is not None
  # Masters and both moments in float32, divided over all chips but for the norms; ids and the like are small.
  assert compiled.memory.arguments == pytest.approx(ahead.argument_bytes(case.arguments), rel=0.02)
  assert compiled.memory.arguments == pytest.approx(3 * 4 * SHAPE.parameters / 4, rel=0.02)
  assert compiled.memory.outputs < 0.01 * compiled.memory.arguments  # the state takes the place of the old one
  # Matrices three times; the head's logits once more, by the chunk; attention's kernels.
  tokens, head = 3 * ROWS * T, 2 * SHAPE.vocab * SHAPE.dim
  expected = tokens * (3 * SHAPE.forward_flops(0) + head + KERNELS)
  assert compiled.flops == pytest.approx(expected, rel=0.01)
  assert case.model_flops == tokens * 3 * SHAPE.forward_flops(T)
  for axis in ('fsdp', 'tensor'):
    assert 0.9 < compiled.collectives[axis] / case.least[axis] < 1.1
  assert set(compiled.collectives) == {'fsdp', 'tensor', 'fsdp tensor'}
  assert compiled.traffic > 2 * compiled.memory.arguments  # the state is read and written


@needs_compiler
def test_adapters_save_the_gradient_of_their_base_and_its_moments() -> None:
  config = presets.get_config('qwen2_5_7b')
  config.mesh.tensor, config.sft.rows, config.sft.row_length, config.lora.rank = 2, ROWS, T, 16
  devices, _ = topology.devices(TOPOLOGY)
  shape = dataclasses.replace(SHAPE, lora=LoraConfig(16, 32.0), param_dtype='bfloat16')
  case = aot_cases.learner('sft', settings.parse(config), shape, devices)
  adapters = SHAPE.layers * 16 * (2 * (512 + 512) + 2 * (512 + 256) + 3 * (512 + 1536))
  # The base is divided over all chips, an adapter over one of both axes, for its rank is not divided.
  assert ahead.argument_bytes(case.arguments) == pytest.approx(2 * SHAPE.parameters / 4 + 12 * adapters / 2, rel=0.02)
  tokens = config.sft.micro_batches * ROWS * T
  scores = SHAPE.forward_flops(T) - SHAPE.forward_flops(0)
  assert case.model_flops == tokens * (2 * SHAPE.forward_flops(0) + 3 * scores)
  head = 2 * SHAPE.vocab * SHAPE.dim  # once more for its logits; and for its gradient, which the loop over chunks carries unused
  expected = tokens * (2 * SHAPE.forward_flops(0) + 2 * head + KERNELS + 3 * 2 * adapters)
  assert counting.flops(case.function.trace(*case.arguments).jaxpr.jaxpr, case.loops, case.cells) == pytest.approx(expected, rel=0.01)


@needs_compiler
def test_what_the_compiler_finds_too_large_is_told_with_the_largest_arrays() -> None:
  devices, chip = topology.devices('v5e:2x2')
  x = jax.ShapeDtypeStruct((40_000, 40_000), jnp.float32, sharding=SingleDeviceSharding(devices[0]))
  spread = jax.jit(lambda x: jnp.sort(x @ x, axis=0) @ x + x.T @ x)
  compiled = ahead.compile_for(None, spread, (x,), chip.memory, (), splash.cells)
  assert compiled.memory is None and 'Ran out of memory' in compiled.problem
  assert compiled.largest[0].startswith('6.0 GiB f32[40000,40000] of ')


@needs_compiler
def test_what_is_placed_beyond_the_memory_does_not_fit_either() -> None:
  devices, _ = topology.devices('v5e:2x2')
  x = jax.ShapeDtypeStruct((1024, 1024), jnp.float32, sharding=SingleDeviceSharding(devices[0]))
  compile_for = functools.partial(ahead.compile_for, None, jax.jit(lambda x: x + 1), (x,), loops=(), cells=splash.cells)
  found = compile_for(capacity=6 * 2**20)  # the argument fits, and the result does not beside it
  assert found.problem.startswith('it takes') and found.memory is not None and found.largest[0].endswith('of add')
  assert not compile_for(capacity=9 * 2**20).problem


@needs_compiler
@pytest.mark.parametrize(('name', 'tokens', 'heads'), [('prefill', 8 * 64, 0), ('decode', 8 * 64, 1)])
def test_the_sampler_is_compiled_as_it_is_for_one_chip_with_its_cache_full(name: str, tokens: int, heads: int) -> None:
  devices, _ = topology.devices(TOPOLOGY)
  s = settings.parse(presets.get_config())
  case = aot_cases.sampler(name, s, SHAPE, devices)  # sizes of the tiny preset
  assert {x.sharding for x in jax.tree.leaves(case.arguments)} == {SingleDeviceSharding(devices[0])}
  cached = s.sampling.context
  head = 2 * SHAPE.vocab * SHAPE.dim
  filled_up = SHAPE.kv_heads * page_kernel.rows(SHAPE.heads // SHAPE.kv_heads)  # query heads as the kernel takes them
  attention = 2 * 2 * SHAPE.layers * filled_up * SHAPE.head_dim * cached
  expected = tokens * (SHAPE.forward_flops(0) - head + heads * head + attention)
  assert counting.flops(case.function.trace(*case.arguments).jaxpr.jaxpr, case.loops, case.cells) == pytest.approx(expected, rel=0.01)


@needs_compiler
@pytest.mark.slow
def test_the_sampler_attends_by_kernels_and_writes_its_cache_in_place() -> None:
  devices, chip = topology.devices(TOPOLOGY)
  config = presets.get_config()
  config.sampling.tensor = 2
  case = aot_cases.sampler('decode', settings.parse(config), SHAPE, devices)
  compiled = ahead.compile_for(case.mesh, case.function, case.arguments, chip.memory, case.loops, case.cells, case.moved)
  assert hlo.kernels(compiled.text) == {'one_to_a_page': 1, 'several_to_a_page': 1}
  assert compiled.memory is not None and compiled.memory.temporaries < case.stays['cache']
  # Every page is read in each step, and there is nothing else of its size to move but weights and partial results.
  steps = settings.parse(config).sampling.decode_steps
  assert steps * case.stays['cache'] < compiled.traffic < 2 * steps * sum(case.stays.values())


@given(first=st.integers(1, 40), each=st.integers(1, 30), bent=st.integers(0, 20), capacity=st.integers(0, 400))
def test_the_search_ends_at_the_largest_micro_batch_that_fits(first: int, each: int, bent: int, capacity: int) -> None:
  needed = lambda rows: first + each * rows + bent * (rows // 3)
  tried: list[int] = []

  def total(rows: int) -> int | None:
    tried.append(rows)
    return needed(rows) if needed(rows) <= capacity else None

  found = aot.largest(total, capacity)
  assert (found == 0 or needed(found) <= capacity) and needed(found + 1) > capacity
  assert len(tried) == len(set(tried))  # nothing is compiled twice


def test_a_larger_micro_batch_takes_fewer_of_them() -> None:
  s = settings.parse(presets.get_config('qwen2_5_32b'))
  assert (s.sft.rows, s.sft.micro_batches) == (16, 1)
  assert aot_cases.with_rows(s, 'grpo', 3, 16) == dataclasses.replace(s, rounds=dataclasses.replace(s.rounds, rows=3))
  fewer = dataclasses.replace(s, sft=dataclasses.replace(s.sft, micro_batches=7))
  found = aot_cases.with_rows(fewer, 'sft', 3, 16).sft
  assert (found.rows, found.micro_batches) == (48, 3)  # 112 rows, and 32 to spare


def _done(name: str, stays: dict[str, int], memory: ahead.Memory | None) -> tuple[aot_cases.Case, ahead.Compiled]:
  handed_over = 3 if 'masters' in stays else 0
  return aot_cases.Case(name, '', None, None, (), (), stays, handed_over), ahead.Compiled(1.0, 1.0, memory, '' if memory else 'too much')


def test_a_phase_is_what_stays_and_the_largest_program_that_runs_in_it() -> None:
  done = {
    'grpo': _done('grpo', {'masters': 4, 'optimizer': 8}, ahead.Memory(13, 20, 0, 1)),
    'sft': _done('sft', {'masters': 4, 'optimizer': 8}, ahead.Memory(12, 30, 0, 1)),
    'decode': _done('decode', {"sampler's weights": 7, 'cache': 50}, ahead.Memory(58, 2, 0, 1)),
  }
  phases = aot_figures.phases(done)
  assert phases == {
    'hand-over': {'masters': 4, 'optimizer': 8, "sampler's weights": 7, 'weight under way': 3},
    'rollout': {'masters': 4, 'optimizer': 8, "sampler's weights": 7, 'cache': 50, 'largest program': 4},
    'update': {'masters': 4, 'optimizer': 8, "sampler's weights": 7, 'largest program': 31},
  }
  table = aot_figures.budget({name: {k: v * topology.GIB for k, v in p.items()} for name, p in phases.items()}, topology.chip('v5e:2x2'))
  assert table[0].split() == ['GiB', 'a', 'chip', 'hand-over', 'rollout', 'update']
  assert table[-1].split() == ['total', 'of', '16.0', '22.0', '73.0', '50.0']
  assert next(line for line in table if 'cache' in line).split() == ['cache', '50.0']
  assert aot_figures.phases({'grpo': done['grpo']}) == {}  # half of a round says nothing of what it shares
  assert aot_figures.phases(done | {'decode': _done('decode', {}, None)}) == {}


def test_recorded_figures_become_tables() -> None:
  G = topology.GIB
  update = {
    'program': 'grpo', 'preset': 'p', 'topology': 'v5e:16x16', 'case': 'rows', 'fits': False,
    'arguments': G, 'temporaries': 16 * G, 'total': 17 * G, 'recompute': 1.25, 'mfu_upper_bound': 0.8,
    'compute_seconds': 8.0, 'memory_seconds': 4.0, 'link_seconds': 2.0, 'compile_seconds': 61.4,
    'collective_bytes': {'fsdp': 3e9, 'tensor': 1e9}, 'least_collective_bytes': {'fsdp': 2e9, 'tensor': 0.0},
  }  # fmt: skip
  without = {k: v for k, v in update.items() if k not in ('total', 'memory_seconds', 'link_seconds', 'collective_bytes')} | {'case': 'more'}
  decode = update | {'program': 'decode', 'fits': True}
  updates, dispatches = aot_table.tables([decode, without, update]).split('\n\n')
  assert [line.split(' | ')[2:] for line in updates.splitlines()[2:]] == [
    ['more', '**does not fit** in 16', '1.25', '8, , ', '80.0 %', '', '', '61 s |'],
    ['rows', '**does not fit**: 1.0 + 16.0 = 17.0 of 16', '1.25', '8, 4, 2', '80.0 %', '1.50', '', '61 s |'],
  ]
  assert dispatches.splitlines()[2] == '| `p` decode | v5e:16x16 | rows | 1.0 + 16.0 = 17.0 of 16 | 8, 4, 2 | 61 s |'


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-m', 'tools.aot', *arguments]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ.copy())


@needs_compiler
def test_the_command_ends_with_1_where_arguments_alone_do_not_fit_and_records_it(tmp_path: pathlib.Path) -> None:
  results = tmp_path / 'figures' / 'aot.json'
  arguments = (
    '--config=configs/round.py:qwen2_5_7b', '--topology=v5e:2x2', '--programs=sft', '--config.sft.rows=4', f'--results={results}',
  )  # fmt: skip
  for _ in range(2):
    done = _run(*arguments)
    assert done.returncode == 1, done.stderr
    assert 'DOES NOT FIT in 16.0 GiB' in done.stdout and 'the arguments alone take 21.' in done.stdout and 'GiB f32[' in done.stdout
  (entry,) = json.loads(results.read_text())  # the same case once
  assert (entry['program'], entry['preset'], entry['topology'], entry['fits']) == ('sft', 'qwen2_5_7b', 'v5e:2x2', False)
  assert entry['largest'] and {'date', 'jax', 'libtpu', 'recompute', 'mfu_upper_bound'} <= set(entry)


@needs_compiler
@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('--topology=v5e:2x2', '--programs=train'), '--programs: train is unknown; choose from grpo, sft, prefill, decode'),
    (('--topology=v5e:2x2', '--search=batch', '--programs=decode'), '--search=batch is for updates: name one of grpo, sft in --programs'),
    (('--topology=v5e:4x4',), '--config.mesh.fsdp=16: --config.sft.rows is 8, which fsdp 16 does not divide'),
  ],
)
def test_what_is_wrong_is_told(arguments: tuple[str, ...], message: str) -> None:
  done = _run('--config=configs/round.py:qwen2_5_7b', '--results=', *arguments)
  assert done.returncode == 1 and message in done.stderr
