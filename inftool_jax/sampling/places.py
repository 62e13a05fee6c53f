"""Where a sampler's arrays lie: on one device, or divided over several by the same rules as the learner's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding

from inftool_jax.models import decoder, lora, paged
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
  int8: bool = False  # the layers' matrices are held in 8 bits, with a scale for each output channel

  @classmethod
  def over(cls, devices: Sequence[jax.Device], config: DecoderConfig, int8: bool = False) -> Places:
    """Tensor parallelism over the devices. Raises ConfigError if they do not divide the model."""
    n = len(devices)
    if n > config.kv_heads and n % config.kv_heads == 0 and config.heads % n == 0:
      config = dataclasses.replace(config, kv_heads=n)
    mesh = meshes.build(MeshShape(tensor=n), devices, decoder.dimensions(config), 'sampling')
    if mesh is None:
      one = SingleDeviceSharding(devices[0])
      return cls(tuple(devices), config, None, one, one, int8)
    params = decoder.abstract(config)
    axes = decoder.axes_of(jax.eval_shape(lora.quantized, params) if int8 else params)
    return cls(tuple(devices), config, mesh, placing.shardings(mesh, axes), placing.replicated(mesh), int8)

  @property
  def cache(self) -> Pool:
    """Where the cache lies, as a tree like it."""
    kind: Any = paged.kind(self.devices[0].platform)
    axes = paged.POOL_AXES[kind]
    if self.mesh is None:
      return kind(*(self.whole for _ in axes))
    return kind(*(NamedSharding(self.mesh, rules.spec(names, rules.ACTIVATIONS)) for names in axes))

  def params(self, params: decoder.Params, config: DecoderConfig, old: decoder.Params | None = None) -> decoder.Params:
    """What is sampled from, made of the weights of a model of `config`, committed: computed ones are not, restored ones are, either kind a
    compilation of its own.

    They come one after the other, each after its predecessor in `old` went: beside the learner's state there need not be room for two
    sets of them. `old` is empty afterwards.
    """
    before = flatten_dict(old or {})
    if old:
      old.clear()
    places, new = flatten_dict({} if self.mesh is None else self.weights), {}
    for path, x in flatten_dict(params).items():
      for part, value in flatten_dict(self.served({'blocks': {}} | unflatten_dict({path: x}), config)).items():
        before.pop(part, None)
        new[part] = jax.block_until_ready(jax.device_put(value, places.get(part, self.whole)))
    return unflatten_dict(new)

  def served(self, params: decoder.Params, config: DecoderConfig) -> decoder.Params:
    """What becomes of the parameters of a model of `config`, or some of them, where they lie. 8 bits are made of masters, not of what is
    cast."""
    exact = lora.quantized(params) if self.int8 else params
    return decoder.with_kv_heads(decoder.served(exact, config), config, self.config.kv_heads)

  def new_pool(self, pages: int, size: int) -> Callable[[], Pool]:
    """Makes an empty cache, each part born where it lies."""
    return jax.jit(functools.partial(paged.empty_pool, self.config, pages, size, self.devices[0].platform), out_shardings=self.cache)
