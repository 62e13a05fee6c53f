"""Compiles a program for devices that are not there, and measures what can be known of it without running it."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
from jax.sharding import Mesh

from inftool_jax.parallel import counting, hlo, traffic
from inftool_jax.parallel.topology import GIB

LARGEST = 8  # arrays that are named when a program does not fit


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes on one chip."""

  arguments: int
  temporaries: int
  outputs: int  # besides those that take the place of a donated argument
  code: int

  @property
  def total(self) -> int:
    return self.arguments + self.temporaries + self.outputs + self.code


@dataclasses.dataclass(frozen=True)
class Compiled:
  """What is known of a program."""

  flops: float  # of all chips, in matrix products and kernels
  seconds: float  # of lowering and compiling
  memory: Memory | None  # None: it does not fit, and the compiler did not say by how much
  problem: str = ''  # why it does not fit; empty: it does
  largest: Sequence[str] = ()  # its largest arrays, of all chips together, if it does not fit
  collectives: Mapping[str, float] = dataclasses.field(default_factory=dict)  # mesh axes -> bytes that a chip sends
  traffic: float = 0.0  # bytes that a chip moves to and from its main memory
  text: str = ''  # the optimized program


def compile_for(
  mesh: Mesh | None, function: Any, arguments: Sequence[Any], capacity: int, loops: Sequence[float], cells: counting.Cells,
  moved: Mapping[str, float] = MappingProxyType({}),
) -> Compiled:
  """Compiles a jitted `function` of abstract arguments that lie on `mesh`; None: on one chip.

  Args:
    capacity: bytes of memory of a chip.
    loops: how often the loops run whose end is known only when they run, by depth, the outermost first.
    cells: see `counting.flops`.
    moved: `kernels` of `traffic.memory_bytes`.
  """
  started = time.monotonic()
  traced = function.trace(*arguments)
  flops = counting.flops(traced.jaxpr.jaxpr, loops, cells)
  if (needed := argument_bytes(arguments)) > capacity:
    problem = f'the arguments alone take {needed / GIB:,.1f} GiB'
    return Compiled(flops, time.monotonic() - started, None, problem, largest(traced.jaxpr.jaxpr, LARGEST))
  try:
    compiled = traced.lower().compile()
  except jax.errors.JaxRuntimeError as e:
    if 'RESOURCE_EXHAUSTED' not in str(e):
      raise
    problem = re.sub(r'\s+', ' ', str(e)).strip()
    return Compiled(flops, time.monotonic() - started, None, problem, largest(traced.jaxpr.jaxpr, LARGEST))
  seconds = time.monotonic() - started
  m, text = compiled.memory_analysis(), compiled.as_text()
  outputs = m.output_size_in_bytes - m.alias_size_in_bytes
  memory = Memory(m.argument_size_in_bytes, m.temp_size_in_bytes, outputs, m.generated_code_size_in_bytes)
  sent = hlo.collective_bytes(text, mesh, loops) if mesh else {}
  # The compiler only ends where it cannot place an array; what it places beyond the memory has to be found here.
  problem = f'it takes {memory.total / GIB:,.1f} GiB' if memory.total > capacity else ''
  biggest = largest(traced.jaxpr.jaxpr, LARGEST) if problem else ()
  return Compiled(flops, seconds, memory, problem, biggest, sent, traffic.memory_bytes(text, loops, moved), text)


def argument_bytes(arguments: Any) -> int:
  """What abstract arguments take on one device."""
  return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(arguments))


def largest(jaxpr: Any, number: int) -> list[str]:
  """The largest arrays that a program computes, before it is divided over devices: size, type and what computes it."""
  found = dict(sorted(_arrays(jaxpr, 1), key=lambda pair: pair[1]))  # one of each kind
  best = sorted(found.items(), key=lambda pair: -pair[1])[:number]
  return [f'{size / GIB:,.1f} GiB {what}' for what, size in best]


def _arrays(jaxpr: Any, copies: int) -> Iterator[tuple[str, int]]:
  for equation in jaxpr.eqns:
    name = equation.primitive.name
    for out in equation.outvars:
      if hasattr(out.aval, 'dtype') and hasattr(out.aval.dtype, 'itemsize'):
        yield f'{out.aval.str_short(short_dtypes=True)} of {name}', copies * out.aval.size * out.aval.dtype.itemsize
    if name != 'pallas_call':
      parts = math.prod(equation.params['mesh'].axis_sizes) if name == 'shard_map' else 1
      for inner in counting.programs(equation.params):
        yield from _arrays(inner, copies * parts)
