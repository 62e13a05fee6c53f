"""Lists and checks the checkpoints of a run, and shows what is in one.

  python -m tools.checkpoints runs/default                  # of every stage: step, policy version, size, whole / interrupted / corrupt
  python -m tools.checkpoints runs/default --verify         # the same, every tensor compared with its hash; exit status 1 if one differs
  python -m tools.checkpoints runs/default/sft/checkpoints/step_00000300 --show    # its tensors: name, shape, dtype, norm

A run keeps its states on the way in STAGE/checkpoints (--config.sft.checkpoint_keep, checkpoint_best) and what a finished stage
trained in STAGE/policy. Paths may be in an object store (gs://...). One tensor is in memory at a time; the run may be going on meanwhile.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags, logging

from inftool_jax.errors import CheckpointError, InftoolError
from inftool_jax.loop import policy
from inftool_jax.training import keeping, stored
from inftool_jax.training.stored import Manifest

VERIFY = flags.DEFINE_bool('verify', False, 'compare every tensor with its hash')
SHOW = flags.DEFINE_bool('show', False, 'print the tensors of the checkpoint in PATH, a folder such as step_00000300')
BLOCK = 1 << 22  # elements whose squares are summed at once


@dataclasses.dataclass(frozen=True)
class Found:
  """One step folder."""

  path: Path
  state: str  # whole, interrupted, corrupt
  body: Manifest | None
  trouble: str = ''


def main(argv: list[str]) -> None:
  if len(argv) != 2 or (SHOW.value and VERIFY.value):
    raise app.UsageError('expected the folder of a run, with or without --verify, or that of one checkpoint with --show')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.ERROR)  # what is wrong with a checkpoint is said here
  try:
    path = stored.absolute(argv[1])
    if SHOW.value:
      show(path)
    elif not listed(path, VERIFY.value):
      sys.exit(1)
  except InftoolError as e:
    sys.exit(str(e))


def listed(workdir: Path, verify: bool) -> bool:
  """Prints a line for each checkpoint. Returns whether none is corrupt."""
  folders = list(_folders(workdir))
  if not folders:
    raise CheckpointError(f'{workdir} has no checkpoints: it is no folder of a run, or no stage has saved one yet')
  rows, troubles = [('checkpoints of', 'step', 'policy version', 'MB', 'state', 'metrics')], []
  for folder in folders:
    found = [examine(path, verify) for path in stored.steps(folder)]
    rule = _rule(workdir, folder)
    best = keeping.best_step({stored.number(f.path): f.body.metrics for f in found if f.body}, rule)
    for f in found:
      step, body = stored.number(f.path), f.body
      version, size = (str(body.policy_version), f'{body.size / 1e6:,.1f}') if body else ('-', '-')
      state = f'{f.state}, best ({rule})' if body and step == best else f.state
      rows.append((str(folder.relative_to(workdir)), str(step), version, size, state, _metrics(body)))
      troubles += [f.trouble] if f.trouble else []
  _print(rows)
  print('\n'.join(troubles or ['the content of every tensor is what was saved' if verify else 'tensors not read; --verify reads them']))
  return not troubles


def examine(path: Path, verify: bool) -> Found:
  """The state of one checkpoint; whether its tensors are what was saved is only known if they are read."""
  body = None
  try:
    body = stored.read_manifest(path)
    if body is None:
      return Found(path, 'interrupted', None)
    if verify:
      for _ in stored.tensors(path, body):
        pass
  except CheckpointError as e:
    return Found(path, 'corrupt', body, str(e))
  return Found(path, 'whole', body)


def show(path: Path) -> None:
  """Prints what one checkpoint holds."""
  body = stored.read_manifest(path)
  if body is None:
    inside = stored.steps(path)
    hint = f'; name one of {", ".join(p.name for p in inside)} in it' if inside else ''
    raise CheckpointError(f'{path} is no complete checkpoint{hint}')
  rows = [('tensor', 'shape', 'dtype', 'norm')]
  for name, array in stored.tensors(path, body):
    rows.append((name, ' x '.join(map(str, array.shape)) or '-', array.dtype.name, f'{norm(array):.6g}'))
  _print(rows)
  print(f'step {body.step}, policy version {body.policy_version}, {len(body.leaves)} tensors, {body.size / 1e6:,.1f} MB')
  print(f'position: {json.dumps(body.position)}')
  print(f'metrics: {_metrics(body)}')


def norm(array: np.ndarray) -> float:
  """Euclidean, in float64, without a copy of the whole array."""
  flat = np.ascontiguousarray(array).reshape(-1)
  blocks = (flat[i : i + BLOCK].astype(np.float64) for i in range(0, flat.size, BLOCK))
  return math.sqrt(sum(float(block @ block) for block in blocks))


def _folders(workdir: Path) -> Iterator[Path]:
  """Those that hold step folders: `workdir` itself, or STAGE/checkpoints and STAGE/policy in it."""
  if not workdir.is_dir():
    raise CheckpointError(f'{workdir} is no folder')
  if stored.steps(workdir):
    yield workdir
    return
  for stage in sorted(workdir.iterdir()):
    for name in (policy.CHECKPOINTS, policy.FINAL):
      if stored.steps(stage / name):
        yield stage / name


def _rule(workdir: Path, folder: Path) -> str:
  """By what the best of a stage is kept, as the run's config has it."""
  if folder.name != policy.CHECKPOINTS:
    return ''
  try:
    config = json.loads((workdir / 'config.json').read_text())
    return str(config['sft' if folder.parent.name == 'sft' else 'rounds'].get('checkpoint_best', ''))
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return ''


def _metrics(body: Manifest | None) -> str:
  """The few that a line has room for."""
  wanted = ('reward', 'success', 'loss', 'grad_norm')
  return ', '.join(f'{name} {body.metrics[name]:.4g}' for name in wanted if body and name in body.metrics) or '-'


def _print(rows: Sequence[Sequence[str]]) -> None:
  """In columns as wide as they must be: names of tensors are long, and none may be cut off."""
  widths = [max(map(len, column)) for column in zip(*rows)]
  for row in rows:
    print('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


if __name__ == '__main__':
  app.run(main)
