"""The mesh from its shape in the config, and everything that can be wrong with it, told at once."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from inftool_jax.errors import ConfigError
from inftool_jax.parallel import rules

MOST_WHOLE = 0.02  # share of the parameters that is worth no word
REST = -1  # as the size of one axis: all devices that the others leave


@dataclasses.dataclass(frozen=True)
class MeshShape:
  """Devices along each axis; all 1 is no mesh, one device."""

  data: int = 1  # copies of the parameters, each on rows of its own
  fsdp: int = 1  # rows, and the parameters' width
  tensor: int = 1  # heads, feed-forward, vocabulary, and the length of the residual stream
  sequence: int = 1  # length of a row; in attention, heads


@dataclasses.dataclass(frozen=True)
class Dimension:
  """Something that must be divided evenly over mesh axes."""

  what: str  # as a message names it: `blocks.k has 2 kv_heads`
  size: int
  mesh_axes: tuple[str, ...]


def parameters(axes: Any, sizes: Mapping[str, int]) -> Iterator[Dimension]:
  """What parameters ask of a mesh.

  Args:
    axes: their tree of logical axes.
    sizes: of the logical axes that are divided, in what cannot be cut: heads, not the width of all heads.
  """
  for path, names in rules.flatten(axes):
    for name in names:
      if rules.PARAMETERS[name]:
        yield Dimension(f'the parameter {path} has {sizes[name]} in {name!r}', sizes[name], rules.PARAMETERS[name])


def activation(what: str, size: int, name: str) -> Dimension:
  """What an activation's logical axis `name` asks of a mesh."""
  return Dimension(what, size, rules.ACTIVATIONS[name])


def build(shape: MeshShape, devices: Sequence[jax.Device], dimensions: Iterable[Dimension], section: str = 'mesh') -> Mesh | None:
  """The mesh of `shape` over `devices`; None for a shape of one device, which is then not given a mesh. `section` is of the config.

  Raises:
    ConfigError: lists every reason why the shape does not fit the devices or a dimension, and what would.
  """
  wanted = dataclasses.asdict(shape)
  sizes, problems = _resolved(wanted, len(devices))
  if math.prod(sizes.values()) == 1 and not problems:
    return None
  slices = _slices(devices)
  problems += [*_between(sizes, len(slices)), *_uneven(sizes, dimensions, len(devices))]
  if problems:
    raise ConfigError('the mesh does not fit:\n' + '\n'.join(f'  --config.{section}.{p}' for p in problems))
  inner = tuple((sizes | {rules.DATA: sizes[rules.DATA] // len(slices)}).values())
  # A mesh axis may have to be a part of one of the chips' own, as tensor 4 in a square of 8 x 8.
  each = [mesh_utils.create_device_mesh(inner, its, allow_split_physical_axes=True) for its in slices]
  return Mesh(np.concatenate(each), rules.AXES, axis_types=(AxisType.Auto,) * len(rules.AXES))


def _slices(devices: Sequence[jax.Device]) -> list[Sequence[jax.Device]]:
  """The devices by slice: those of one are joined by their own links, slices by the data center's network."""
  number = lambda device: getattr(device, 'slice_index', None) or 0
  return [list(its) for _, its in itertools.groupby(sorted(devices, key=number), key=number)]


def _between(sizes: Mapping[str, int], slices: int) -> Iterator[str]:
  """The data axis, over which devices speak least, is what goes from slice to slice."""
  if sizes[rules.DATA] % slices:
    yield f'data={sizes[rules.DATA]}: it goes from slice to slice, of which the devices are in {slices}; choose a multiple of {slices}'


def crosses(mesh: Mesh) -> bool:
  """Whether the data axis goes from slice to slice."""
  return len(_slices(list(mesh.devices.flat))) > 1


def rows(mesh: Mesh | None) -> int:
  """Into how many parts the rows of a batch are divided."""
  return 1 if mesh is None else rules.parts(rules.ACTIVATIONS['batch'], mesh.shape)


def describe(mesh: Mesh, axes: Any, shapes: Any) -> str:
  """The mesh in a line; and the share of the parameters that is not divided, if it is more than `MOST_WHOLE`."""
  text = f'mesh of {mesh.size} devices: ' + ', '.join(f'{axis} {size}' for axis, size in mesh.shape.items() if size > 1)
  share = whole(mesh, axes, shapes)
  return text + (f'; every device holds {share:.1%} of the parameters whole' if share > MOST_WHOLE else '')


def whole(mesh: Mesh, axes: Any, shapes: Any) -> float:
  """Share of the parameters, by number of scalars, that every device holds all of.

  Args:
    axes: tree of logical axes.
    shapes: tree of the same structure of arrays or their shapes.
  """
  flat = zip(rules.flatten(axes), jax.tree.leaves(shapes), strict=True)
  counted = [(math.prod(rules.parts(rules.PARAMETERS[name], mesh.shape) for name in names), like.size) for (_, names), like in flat]
  return sum(size for parts, size in counted if parts == 1) / sum(size for _, size in counted)


def _resolved(wanted: dict[str, int], devices: int) -> tuple[dict[str, int], list[str]]:
  """Sizes with `REST` filled in, and what is wrong with them; after a problem the sizes are those that were asked for."""
  open_axes = [axis for axis, size in wanted.items() if size == REST]
  given = math.prod(size for size in wanted.values() if size != REST)
  text = ' x '.join(f'{axis} {size}' for axis, size in wanted.items() if size != REST)
  if open_axes and devices % given:
    nearest = _nearest(devices, given)
    return wanted | {open_axes[0]: 1}, [
      f'{open_axes[0]}=-1: {text} does not divide the {devices} devices; the nearest product that does is {nearest}'
    ]
  if open_axes:
    return wanted | {open_axes[0]: devices // given}, []
  if given not in (1, devices):
    return wanted, [f'data: {text} is {given} devices, and there are {devices}; -1 in the place of one axis takes what the others leave']
  return wanted, []


def _uneven(sizes: Mapping[str, int], dimensions: Iterable[Dimension], devices: int) -> Iterator[str]:
  told = set()
  for d in dimensions:
    parts = rules.parts(d.mesh_axes, sizes)
    # Of several parameters with one axis the first is named; what a cut into the same parts rules out is no news.
    if d.size % parts and (d.size, parts) not in told:
      told.add((d.size, parts))
      cut = [axis for axis in d.mesh_axes if sizes[axis] > 1]
      by = ' x '.join(f'{axis} {sizes[axis]}' for axis in cut)
      product = ' product' if len(cut) > 1 else ''
      works = _nearest(math.gcd(d.size, devices), parts)
      yield f'{cut[0]}={sizes[cut[0]]}: {d.what}, which {by} does not divide; the nearest{product} that does is {works}'


def _nearest(size: int, wanted: int) -> int:
  """The divisor of `size` nearest to `wanted`, the smaller of two."""
  return min((n for n in range(1, size + 1) if size % n == 0), key=lambda n: (abs(n - wanted), n))
