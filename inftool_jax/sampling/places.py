"""Where a sampler's arrays lie: on one device, or divided over several by the same rules as the learner's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
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
  config: DecoderConfig  # of what is sampled from: the model's, but for key/value heads that several devices have copies of
  mesh: Mesh | None
  weights: Any
  whole: Any

  @classmethod
  def over(cls, devices: Sequence[jax.Device], config: DecoderConfig) -> Places:
    """Tensor parallelism over the devices. Raises ConfigError if they do not divide the model."""
    n = len(devices)
    if n > config.kv_heads and n % config.kv_heads == 0 and config.heads % n == 0:
      config = dataclasses.replace(config, kv_heads=n)
    mesh = meshes.build(MeshShape(tensor=n), devices, decoder.dimensions(config), 'sampling')
    if mesh is None:
      one = SingleDeviceSharding(devices[0])
      return cls(tuple(devices), config, None, one, one)
    return cls(tuple(devices), config, mesh, placing.shardings(mesh, decoder.logical_axes(config)), placing.replicated(mesh))

  @property
  def cache(self) -> Pool:
    """Where the cache lies, as a tree like it."""
    kind: Any = paged.kind(self.devices[0].platform)
    axes = paged.POOL_AXES[kind]
    if self.mesh is None:
      return kind(*(self.whole for _ in axes))
    return kind(*(NamedSharding(self.mesh, rules.spec(names, rules.ACTIVATIONS)) for names in axes))

  def params(self, params: decoder.Params, config: DecoderConfig, old: decoder.Params | None = None) -> decoder.Params:
    """The weights of a model of `config`, committed: computed ones are not, restored ones are, either kind a compilation of its own.

    They come one after the other, each after its predecessor in `old` went: beside the learner's state there need not be room for two
    sets of them. `old` is empty afterwards.
    """
    before = flatten_dict(old or {})
    if old:
      old.clear()
    places, new = flatten_dict({} if self.mesh is None else self.weights), {}
    for path, x in flatten_dict(params).items():
      before.pop(path, None)
      one = decoder.served({'blocks': {}} | unflatten_dict({path: x}), config)
      one = flatten_dict(decoder.with_kv_heads(one, config, self.config.kv_heads))
      new[path] = jax.block_until_ready(jax.device_put(one[path], places.get(path, self.whole)))
    return unflatten_dict(new)

  def new_pool(self, pages: int, size: int) -> Callable[[], Pool]:
    """Makes an empty cache, each part born where it lies."""
    return jax.jit(functools.partial(paged.empty_pool, self.config, pages, size, self.devices[0].platform), out_shardings=self.cache)
