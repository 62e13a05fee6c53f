"""`results.json`: what a run reached, for programs.

{"evaluation_hash": "...",
 "stages": {"sft": {"success": {"single": {"success": 0.5, "n": 40, "low": 0.35, "high": 0.65}, ...},
                    "apart": {"hand_written": {"single": {...}, ...}, "unnamed": {...}, ...}, "failed": {"calls": 12, ...},
                    "counts": {"steps": 300, ...}, "wall_seconds": 81.2}, ...}}
"""

from __future__ import annotations

import json
from pathlib import Path

from inftool_jax import types
from inftool_jax.data import manifest
from inftool_jax.errors import StoreError
from inftool_jax.report.model import Rate, Results, Stage

NAME = 'results.json'


def write(workdir: Path, results: Results) -> Path:
  """Replaces `results.json` whole. Raises StoreError when it cannot be written; the old one is then as it was."""
  path = workdir / NAME
  stages = {
    s.name: {
      'success': types.to_json(s.kinds), 'apart': types.to_json(s.apart), 'failed': dict(s.failed), 'counts': dict(s.counts),
      'wall_seconds': s.wall_seconds,
    }
    for s in results.stages
  }  # fmt: skip
  manifest.write_bytes(path, manifest.readable({'evaluation_hash': results.evaluation_hash, 'stages': stages}))
  return path


def read(workdir: Path) -> Results:
  """The inverse of `write`. Raises StoreError when the file is missing or is not of this form."""
  path = workdir / NAME
  try:
    body = json.loads(path.read_text())
    return Results(body['evaluation_hash'], tuple(_stage(name, stage) for name, stage in body['stages'].items()))
  except FileNotFoundError as e:
    raise StoreError(f'{path} is missing: no stage of this run is finished.') from e
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
    raise StoreError(f'{path} is not a results file of this program ({type(e).__name__}: {e}). Delete it and run again.') from e


def _stage(name: str, body: dict[str, types.JSON]) -> Stage:
  apart = {part: _rates(kinds) for part, kinds in body['apart'].items()}
  return Stage(name, _rates(body['success']), body['counts'], body['wall_seconds'], apart, body['failed'])


def _rates(kinds: dict[str, types.JSON]) -> dict[str, Rate]:
  return {kind: types.from_json(Rate, rate) for kind, rate in kinds.items()}
