"""What the devices of a mesh have to tell each other in an update, whoever compiles it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from inftool_jax.models import decoder, lora
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import rules

FLOAT32 = 4


def least(config: DecoderConfig, mesh: jax.sharding.Mesh, micro_batches: int, rows: int, length: int) -> dict[str, float]:
  """Bytes that one device sends over each axis of the mesh in an update, as ring algorithms send them.

  `fsdp`: in each micro-batch every parameter is gathered in the compute dtype, or in its 8 bits, for the forward and for the backward
  pass, and the gradient of what is trained is scattered; of an embedding that is no head only the rows of the micro-batch's tokens go
  around, and back. `tensor`: in each micro-batch and layer the residual stream is gathered before attention and before the feed-forward
  and scattered behind each, as often in the backward pass (2205.05198), which also gathers the two inputs again where it kept only its
  own part of them, and scatters what attention added again where it kept nothing. `data`: the gradient once, in float32.
  """
  sizes, itemsize = dict(mesh.shape), jnp.dtype(config.compute_dtype).itemsize
  share = {axis: (n - 1) / n for axis, n in sizes.items()}
  parameters = decoder.abstract(config)
  everything = sum(x.size for x in jax.tree.leaves(lora.split(parameters)[1]))  # that is trained
  if not config.tied:
    del parameters['embed']
  base, trained = (jax.tree.leaves(tree) for tree in lora.split(parameters))
  base_bytes = sum(x.size * (x.dtype.itemsize if jnp.issubdtype(x.dtype, jnp.integer) else itemsize) for x in base)
  scalars = sum(x.size for x in trained)
  own = 1 / sizes[rules.TENSOR]  # of the parameters, by the devices of the other axis
  stream = rows * length * config.dim * itemsize / (sizes[rules.DATA] * sizes[rules.FSDP] * sizes[rules.SEQUENCE])
  looked_up = 0 if config.tied else own * stream * (2 if config.lora is None else 1)
  again = {'none': 0, 'projections': 2, 'attention': 2, 'full': 3}[config.remat]
  return {
    rules.FSDP: micro_batches * share[rules.FSDP] * (looked_up + own * (2 * base_bytes + 3 * itemsize * scalars)),
    rules.TENSOR: micro_batches * share[rules.TENSOR] * config.layers * (8 + again) * stream,
    rules.DATA: 2 * share[rules.DATA] * FLOAT32 * own * everything / sizes[rules.FSDP],
  }
