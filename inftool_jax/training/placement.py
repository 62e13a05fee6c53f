"""Where an update's state and batches lie on a mesh."""

from __future__ import annotations

import itertools
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from inftool_jax.parallel import placing


def like_parameters(state: Any, params: Any, axes: Any, mesh: Mesh) -> Any:
  """The tree of `state` with a sharding in the place of each leaf.

  Optimizers keep trees like the parameters somewhere in their state: a leaf whose path ends with a parameter's is of that parameter.
  With its shape it lies like it. With some of its axes (the factors of Adafactor) it keeps their places, if it is clear which they
  are. Everything else is whole on every device.

  Args:
    state: tree of arrays or their shapes.
    params: the parameters, or their shapes.
    axes: their logical axes.
  """
  places = jax.tree.leaves(placing.shardings(mesh, axes))
  known = {path: (like.shape, place) for (path, like), place in zip(jax.tree_util.tree_leaves_with_path(params), places, strict=True)}

  def place(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
    found = next((known[path[start:]] for start in range(len(path)) if path[start:] in known), None)
    return placing.replicated(mesh) if found is None else _derived(leaf.shape, *found)

  return jax.tree_util.tree_map_with_path(place, state)


def _derived(shape: tuple[int, ...], parameter: tuple[int, ...], place: NamedSharding) -> NamedSharding:
  spec = (*place.spec, *[None] * (len(parameter) - len(place.spec)))
  kept = itertools.combinations(range(len(parameter)), len(shape))
  fitting = {tuple(spec[i] for i in axes) for axes in kept if tuple(parameter[i] for i in axes) == shape}
  return NamedSharding(place.mesh, PartitionSpec(*fitting.pop()) if len(fitting) == 1 else PartitionSpec())
