"""Arrays by the names of their axes: shardings of parameters, constraints on what is computed, work done shard by shard.

The mesh is that of the surrounding `on(mesh)`. Outside of it, on one device, everything here is the identity and leaves no trace in
the compiled program.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from inftool_jax.parallel import rules
from inftool_jax.parallel.rules import Names


def on(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
  """What is traced inside is traced for `mesh`."""
  return contextlib.nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def platform() -> str:
  """What the program that is being traced will run on: `cpu`, `gpu`, `tpu`."""
  device = jax.sharding.get_abstract_mesh().abstract_device
  return device.platform if device is not None else jax.default_backend()


def divided(name: str) -> bool:
  """Whether an activation's logical axis is divided over devices of the mesh."""
  return rules.parts(rules.ACTIVATIONS[name], {axis: 1 for axis in rules.AXES} | dict(jax.sharding.get_abstract_mesh().shape)) > 1


def shardings(mesh: Mesh, axes: Any) -> Any:
  """Where parameters lie: the tree of their logical axes with a sharding in the place of each leaf."""
  return jax.tree.map(lambda names: NamedSharding(mesh, rules.spec(names, rules.PARAMETERS)), axes, is_leaf=rules.is_names)


def replicated(mesh: Mesh) -> NamedSharding:
  """Whole on every device."""
  return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh, axis: int) -> NamedSharding:
  """Where input lies whose axis number `axis` is the rows of a batch."""
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, rules.ACTIVATIONS['batch']))


@dataclasses.dataclass
class Part:
  """What one device holds of an array that is being filled."""

  slices: tuple[slice, ...]  # of the whole array, with start and stop
  array: jax.Array


def parts(shape: tuple[int, ...], dtype: Any, place: NamedSharding | None) -> list[Part]:
  """Zeros, on every device of this process as much as it will hold; without a sharding one part, the whole."""
  if place is None:
    return [Part(tuple(slice(0, n) for n in shape), jnp.zeros(shape, dtype))]
  held = place.addressable_devices_indices_map(shape).items()
  slices = {device: tuple(slice(*s.indices(n)[:2]) for s, n in zip(index or (), shape)) for device, index in held}
  return [Part(its, jnp.zeros([s.stop - s.start for s in its], dtype, device=device)) for device, its in slices.items()]


def joined(shape: tuple[int, ...], place: NamedSharding | None, pieces: Sequence[Part]) -> jax.Array:
  """The array that the parts are of; nothing is copied."""
  if place is None:
    return pieces[0].array
  return jax.make_array_from_single_device_arrays(shape, place, [part.array for part in pieces])


def constrain(x: jax.Array, *names: str) -> jax.Array:
  """`x`, laid out as the logical axes of an activation say, one name for each of its axes."""
  return _constrained(x, names, rules.ACTIVATIONS)


def gathered(x: jax.Array, whole: Names, part: Names) -> jax.Array:
  """`x`, an activation, laid out as `whole`, and its gradient as `part`.

  The gradient of `constrain` is laid out like its result: sums over devices are then made whole on each of them where its part is all
  that follows needs.
  """
  return _gathered(x, rules.spec(whole, rules.ACTIVATIONS), rules.spec(part, rules.ACTIVATIONS))


def gathered_parameter(x: jax.Array, names: Names) -> jax.Array:
  """A parameter as products take it, whole but for what the devices of a row share out, and its gradient laid out like the parameter.

  Left to itself the compiler may multiply with one part after the other as they come around, which reads and writes the result as often.
  """
  return _gathered(x, rules.spec(names, rules.USED_PARAMETERS), rules.spec(names, rules.PARAMETERS))


def _gathered(x: jax.Array, whole: PartitionSpec, part: PartitionSpec) -> jax.Array:
  return x if jax.sharding.get_abstract_mesh().empty else _laid_out(x, whole, part)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _laid_out(x: jax.Array, whole: PartitionSpec, part: PartitionSpec) -> jax.Array:
  return jax.lax.with_sharding_constraint(x, whole)


_laid_out.defvjp(
  lambda x, whole, part: (jax.lax.with_sharding_constraint(x, whole), None),
  lambda whole, part, _, gradient: (jax.lax.with_sharding_constraint(gradient, part),),
)


def constrain_parameters(tree: Any, axes: Any) -> Any:
  """A tree like the parameters, such as their gradients, laid out like them."""
  return jax.tree.map(lambda names, x: _constrained(x, names, rules.PARAMETERS), axes, tree, is_leaf=rules.is_names)


def _constrained(x: jax.Array, names: Names, table: rules.Rules) -> jax.Array:
  if jax.sharding.get_abstract_mesh().empty:
    return x
  if len(names) != x.ndim:
    raise ValueError(f'{names} does not name the axes of an array of shape {x.shape}')
  return jax.lax.with_sharding_constraint(x, rules.spec(names, table))


def by_shard(function: Callable, inputs: Sequence[Any], outputs: Any) -> Callable:
  """`function` of arrays, called on each device's part of them.

  What it needs of other parts it gets by the functions below (`total`, `scattered`, `own`, ..). With a custom gradient this goes inside
  of its two rules: what JAX would add up over devices behind a rule's back depends on the specs.

  Args:
    inputs: logical axes of each argument, a list of them for a list.
    outputs: logical axes of the result, or a tuple of them.
  """
  if jax.sharding.get_abstract_mesh().empty:
    return function
  single = all(isinstance(name, str) for name in outputs)
  out_specs = rules.spec(outputs, rules.ACTIVATIONS) if single else tuple(rules.spec(names, rules.ACTIVATIONS) for names in outputs)
  in_specs = jax.tree.map(lambda names: rules.spec(names, rules.ACTIVATIONS), list(inputs), is_leaf=rules.is_names)
  # Which values are alike on several devices follows from the functions here; JAX's check of it asks for marks in every loop.
  return jax.shard_map(function, in_specs=tuple(in_specs), out_specs=out_specs, check_vma=False)


def total(x: jax.Array, name: str) -> jax.Array:
  """Inside `by_shard`: the sum of `x` over the parts of a logical axis."""
  cut = _cut(name)
  return jax.lax.psum(x, cut) if cut else x


def scattered(x: jax.Array, name: str, axis: int, part: str | None = None) -> jax.Array:
  """Inside `by_shard`: the sum of `x` over the parts of a logical axis, of which every device is left with its part along `axis`.

  `part` is the logical axis that it is then divided like, over no other devices than those of `name`; by default it is `name`.

  The parts are first put one below the other in a matrix: XLA for TPU (libtpu 0.0.42) sums an array of more dimensions whole on every
  device and cuts it then, which sends twice as much.
  """
  cut = _cut(part or name)
  rest = tuple(axis for axis in _cut(name) if axis not in cut)
  x = jax.lax.psum(x, rest) if rest else x
  if not cut:
    return x
  devices = jax.lax.axis_size(cut)
  apart = jnp.moveaxis(x.reshape(*x.shape[:axis], devices, x.shape[axis] // devices, *x.shape[axis + 1 :]), axis, 0)
  return jax.lax.psum_scatter(apart.reshape(-1, apart.shape[-1]), cut, scatter_dimension=0, tiled=True).reshape(apart.shape[1:])


def largest(x: jax.Array, name: str) -> jax.Array:
  """Inside `by_shard`: the largest `x` of all parts of a logical axis."""
  cut = _cut(name)
  return jax.lax.pmax(x, cut) if cut else x


def log_total(x: jax.Array, name: str) -> jax.Array:
  """Inside `by_shard`: log of the sum of exp(x) over the parts of a logical axis."""
  if not _cut(name):
    return x
  top = largest(x, name)
  return top + jnp.log(total(jnp.exp(x - top), name))


def own(index: jax.Array, name: str, size: int) -> jax.Array:
  """Inside `by_shard`: where in this device's part, of `size` entries, an index along a logical axis is; `size` if in another's."""
  cut = _cut(name)
  if not cut:
    return index
  here = index - jax.lax.axis_index(cut) * size
  return jnp.where((here >= 0) & (here < size), here, size)


def look_up(table: jax.Array, index: jax.Array, name: str) -> jax.Array:
  """Inside `by_shard`: rows of a table that is cut along its first axis; a device gives those that it has, and zeros."""
  return table.at[own(index, name, table.shape[0])].get(mode='fill', fill_value=0) if _cut(name) else table[index]


def shown(x: jax.Array, name: str) -> jax.Array:
  """Inside `by_shard`: what all parts of a logical axis have, one behind the other along the first axis."""
  cut = _cut(name)
  return jax.lax.all_gather(x, cut, tiled=True) if cut else x


def traded(x: jax.Array, name: str, axis: int) -> jax.Array:
  """Inside `by_shard`: of `shown` x each device gets its own again, and what the others found for it, put together along `axis`."""
  cut = _cut(name)
  return jax.lax.all_to_all(x, cut, split_axis=0, concat_axis=axis, tiled=True) if cut else x


def _cut(name: str) -> tuple[str, ...]:
  """The mesh axes that `name` is divided over here: none outside of `by_shard`."""
  return tuple(axis for axis in rules.ACTIVATIONS[name] if axis in jax.sharding.get_abstract_mesh().manual_axes)
