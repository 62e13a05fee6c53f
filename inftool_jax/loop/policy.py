"""A stage's policy on disk: checkpoints on the way, the parameters at its end."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterable
from typing import TypeVar

import jax
import jax.numpy as jnp

from inftool_jax.data import manifest
from inftool_jax.errors import CheckpointError
from inftool_jax.loop.context import Context
from inftool_jax.models import decoder, lora
from inftool_jax.settings import Rounds, Sft
from inftool_jax.training import checkpoint, step
from inftool_jax.types import JSON

CHECKPOINTS = 'checkpoints'  # states on the way, with optimizer
FINAL = 'policy'  # what was trained, at the end of the stage

T = TypeVar('T')


def version(context: Context, rounds: int | None, updates: int = 0) -> int:
  """The policy's version: 0 the base (`rounds` None), 1 after SFT, one more for every update of a round.

  It follows from the place in the run, not from what this process has done, so that a resumed run stores the same.
  """
  return 0 if rounds is None else 1 + rounds * context.settings.rounds.steps + updates


def resume(folder: pathlib.Path, fresh: step.State) -> tuple[step.State, int, JSON]:
  """(state, updates done, position): the newest whole checkpoint of an interrupted stage, or `fresh`."""
  restored = checkpoint.restore(folder / CHECKPOINTS, fresh)
  # A copy, because the first update donates the state and the caller's parameters must outlive it.
  if restored is None:
    return jax.tree.map(jnp.copy, fresh), 0, None
  return restored.state, restored.step, restored.position


def saver(folder: pathlib.Path, settings: Sft | Rounds) -> checkpoint.Checkpointer:
  """Of a stage's states on the way."""
  return checkpoint.Checkpointer(folder / CHECKPOINTS, settings.checkpoint_keep, settings.checkpoint_best)


def commit(
  context: Context,
  stage: str,
  params: decoder.Params,
  policy_version: int,
  counts: dict[str, int],
  inputs: dict[str, str],
  started: float,
  files: Iterable[pathlib.Path] = (),
) -> manifest.StageManifest:
  """Saves what is trained of the parameters and finishes the stage; the manifest's inputs chain stages together by content."""
  folder = context.folder(stage)
  _, trained = lora.split(params)
  with checkpoint.Checkpointer(folder / FINAL, keep=1) as saver:
    saver.save(0, trained, policy_version, None)
  facts = folder / 'policy.json'
  manifest.write_bytes(facts, manifest.readable({'params_hash': checkpoint.params_hash(trained), 'parameters': context.decoder.parameters}))
  return manifest.commit(folder, stage, [facts, *files], counts, inputs, time.monotonic() - started)


def load(folder: pathlib.Path, like: decoder.Params) -> decoder.Params:
  """The parameters at the end of a finished stage; what is not trained is that of `like`. Raises CheckpointError if they are damaged."""
  frozen, trained = lora.split(like)
  restored = checkpoint.restore(folder / FINAL, trained)
  if restored is None:
    raise CheckpointError(f'{folder / FINAL} is missing although the stage is finished; delete {folder} to have it made again')
  return lora.join(frozen, jax.tree.map(jnp.asarray, restored.state))
