"""The floating point operations of a program's matrix products, counted from its jaxpr.

XLA's own `cost_analysis` counts the body of a loop once and a kernel not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.interpreters import partial_eval

Cells = Callable[[str, tuple[int, ...]], float]


def flops(jaxpr: Any, loops: Sequence[float], cells: Cells) -> float:
  """Of all devices together.

  Args:
    jaxpr: of the whole program, as in `jax.jit(f).trace(...).jaxpr.jaxpr`.
    loops: how often the loops run whose end is known only when they run, by depth, the outermost first.
    cells: (name, grid) of a Pallas kernel that declares no cost -> how many cells of its grid do its work.

  Raises:
    ValueError: such loops are nested deeper than `loops` says.
  """
  live, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))  # traced gradients of what is not trained are never compiled
  return sum(_operations(equation, loops, cells) for equation in live.eqns)


def _operations(equation: Any, loops: Sequence[float], cells: Cells) -> float:
  name, params = equation.primitive.name, equation.params
  if name == 'dot_general':
    return _product(equation)
  if name == 'pallas_call':
    return _kernel(params, cells)
  if name == 'while':
    if not loops:
      raise ValueError('a loop runs as often as data says, and how often was not given')
    return loops[0] * flops(params['body_jaxpr'].jaxpr, loops[1:], cells)
  inner = [flops(jaxpr, loops, cells) for jaxpr in programs(params)]
  if name == 'cond':
    return max(inner)
  times = 1
  if name == 'scan':
    times = params['length']
  elif name == 'shard_map':
    times = math.prod(params['mesh'].axis_sizes)  # written for one device
  return times * sum(inner)


def programs(params: dict[str, Any]) -> Iterator[Any]:
  """The jaxprs among an equation's parameters."""
  for leaf in jax.tree.leaves(list(params.values()), is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')):
    inner = getattr(leaf, 'jaxpr', leaf)
    if hasattr(inner, 'eqns'):
      yield inner


def _product(equation: Any) -> float:
  (contracted, _), _ = equation.params['dimension_numbers']
  return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(equation.invars[0].aval.shape[i] for i in contracted)


def _kernel(params: dict[str, Any], cells: Cells) -> float:
  if params['cost_estimate'] is not None:
    return params['cost_estimate'].flops
  return flops(params['jaxpr'], (), cells) * cells(params['name'], params['grid_mapping'].grid)
