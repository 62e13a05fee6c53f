"""Where a sampler's arrays lie: on one device, or divided over several by the same rules as the learner's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding

from inftool_jax.models import decoder, paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.models.paged import Pool
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel import placing, rules
from inftool_jax.parallel.mesh import MeshShape


@dataclasses.dataclass(frozen=True)
class Places:
  """Shardings of the weights and of the cache; everything else is whole on every device."""

  devices: tuple[jax.Device, ...]
  mesh: Mesh | None
  weights: Any
  cache: Pool
  whole: Any

  @classmethod
  def over(cls, devices: Sequence[jax.Device], config: DecoderConfig) -> Places:
    """Tensor parallelism over the devices. Raises ConfigError if they do not divide the model."""
    mesh = meshes.build(MeshShape(tensor=len(devices)), devices, decoder.dimensions(config), 'sampling')
    if mesh is None:
      one = SingleDeviceSharding(devices[0])
      return cls(tuple(devices), None, one, Pool(one, one), one)
    cache = Pool(*(NamedSharding(mesh, rules.spec(names, rules.ACTIVATIONS)) for names in paged.AXES.pool))
    return cls(tuple(devices), mesh, placing.shardings(mesh, decoder.logical_axes(config)), cache, placing.replicated(mesh))

  def params(self, params: Any) -> Any:
    """The weights, committed: computed ones are not, restored ones are, and either kind would be a compilation of its own."""
    return jax.device_put(params, self.weights)

  def pool(self, config: DecoderConfig, pages: int, size: int) -> Pool:
    """An empty cache, each part born where it lies."""
    return jax.jit(functools.partial(paged.empty_pool, config, pages, size), out_shardings=self.cache)()
