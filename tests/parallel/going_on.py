"""One update more, on a mesh over all devices, from the newest checkpoint in FROM; there the first one is made if there is none.

  python -m tests.parallel.going_on FROM TO FSDP TENSOR [PROCESS ADDRESS]    # PROCESS: 0 or 1 of two, which meet at ADDRESS
"""

from __future__ import annotations

import dataclasses
import sys

import jax

from inftool_jax.data import packing
from inftool_jax.models import decoder
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel.mesh import MeshShape
from inftool_jax.training import batching, checkpoint, objectives, optimizer, step
from inftool_jax.training.objectives import ObjectiveConfig
from inftool_jax.training.optimizer import OptimizerConfig
from tests.models.small import CONFIG, weights
from tests.training.rows import ADVANTAGE, FLAT, ROW

SHAPE = dataclasses.replace(CONFIG, vocab=104, heads=16, kv_heads=8, head_dim=4)
TRANSFORM = optimizer.make(OptimizerConfig('adamw', learning_rate=1e-3), 10)


def state(mesh: jax.sharding.Mesh | None) -> step.State:
  """Before the first update."""
  places = step.places(SHAPE, TRANSFORM, mesh)
  params = weights(SHAPE) if places is None else jax.device_put(weights(SHAPE), places.params)
  return step.init(params, TRANSFORM, places)


def main(start: str, end: str, fsdp: int, tensor: int) -> None:
  mesh = meshes.build(MeshShape(fsdp=fsdp, tensor=tensor), jax.devices(), decoder.dimensions(SHAPE))
  program = step.make(SHAPE, TRANSFORM, objectives.make(ObjectiveConfig()), mesh)
  batch = batching.batch(packing.pack(FLAT, ROW), 8, 2, ADVANTAGE)
  if mesh is not None:  # of several processes each has its own rows
    batch = jax.device_put(batch, step.batch_places(mesh))
  fresh = state(mesh)
  restored = checkpoint.restore(start, fresh)
  if restored is None:
    first, *_ = program(fresh, batch, {})
    _save(start, 1, first)
  else:
    first = restored.state
  second, *_ = program(first, batch, {})
  _save(end, 2, second)


def _save(folder: str, number: int, saved: step.State) -> None:
  with checkpoint.Checkpointer(folder) as saver:
    saver.save(number, saved, number, None)


if __name__ == '__main__':
  if len(sys.argv) > 5:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize(sys.argv[6], num_processes=2, process_id=int(sys.argv[5]))
  main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
