"""What an update takes, as shapes that lie on a mesh: enough to compile it, with nothing allocated."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from inftool_jax.models import decoder, lora
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import placing
from inftool_jax.training import step


def state(config: DecoderConfig, transform: optax.GradientTransformation, mesh: Mesh) -> step.State:
  """The state of `step.init`."""
  _, trained = lora.split(decoder.abstract(config))
  shapes = jax.eval_shape(lambda params: step.init(params, transform), trained)
  return jax.tree.map(_placed, shapes, step.places(config, transform, mesh))


def frozen(config: DecoderConfig, mesh: Mesh) -> decoder.Params:
  """The parameters that are not trained."""
  (shapes, _), (axes, _) = lora.split(decoder.abstract(config)), lora.split(decoder.logical_axes(config))
  return jax.tree.map(_placed, shapes, placing.shardings(mesh, axes))


def batch(micro_batches: int, rows: int, row_length: int, mesh: Mesh) -> step.Batch:
  """A batch as `batching.batch` makes it, [M, R, T]."""
  shape = (micro_batches, rows, row_length)
  integers = ('tokens', 'segments', 'parents', 'positions', 'used')
  types: dict[str, Any] = {**dict.fromkeys(integers, np.int32), **dict.fromkeys(('mask', 'replay', 'revisited'), np.bool_)}

  def array(name: str, place: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape if name in step.Micro._fields else (), types.get(name, np.float32), sharding=place)

  return step.Batch._make(map(array, step.Batch._fields, step.batch_places(mesh)))


def _placed(like: jax.ShapeDtypeStruct, place: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(like.shape, like.dtype, sharding=place)
