"""Optimizers by name, with schedule and global-norm clipping."""

from __future__ import annotations

import dataclasses

import jax
import optax
from optax import contrib

from inftool_jax.errors import ConfigError

NAMES = ('adamw', 'muon')
SCHEDULES = ('constant', 'cosine', 'linear')


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """`learning_rate` is AdamW's, or Muon's for matrices; `vector_learning_rate` is Adam's for all else under Muon."""

  name: str = 'adamw'
  learning_rate: float = 1e-6
  vector_learning_rate: float = 1e-6
  warmup: int = 0  # steps
  schedule: str = 'constant'
  weight_decay: float = 0.0
  clip_norm: float = 1.0
  b1: float = 0.9
  b2: float = 0.95


def make(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
  """The transformation for a run of `steps` updates.

  Muon (github.com/KellerJordan/Muon) orthogonalizes the momentum of the layers' matrices; embeddings, norms and
  biases go through Adam. Weight decay applies to matrices only.
  """
  if config.name == 'adamw':
    return optax.chain(
      optax.clip_by_global_norm(config.clip_norm),
      optax.adamw(
        _schedule(config, config.learning_rate, steps), config.b1, config.b2, weight_decay=config.weight_decay, mask=_matrices
      ),
    )
  if config.name == 'muon':
    return optax.chain(
      optax.clip_by_global_norm(config.clip_norm),
      contrib.muon(
        _schedule(config, config.learning_rate, steps),
        weight_decay=config.weight_decay,
        weight_decay_mask=_matrices,
        adam_b1=config.b1,
        adam_b2=config.b2,
        adam_learning_rate=_schedule(config, config.vector_learning_rate, steps),
        muon_weight_dimension_numbers=_muon_dimensions,
      ),
    )
  raise ConfigError(f'optimizer {config.name!r} is unknown; have {", ".join(NAMES)}')


def _schedule(config: OptimizerConfig, peak: float, steps: int) -> optax.Schedule:
  rest = max(1, steps - config.warmup)
  if config.schedule == 'constant':
    after = optax.constant_schedule(peak)
  elif config.schedule == 'cosine':
    after = optax.cosine_decay_schedule(peak, rest, alpha=0.05)
  elif config.schedule == 'linear':
    after = optax.linear_schedule(peak, 0.05 * peak, rest)
  else:
    raise ConfigError(f'schedule {config.schedule!r} is unknown; have {", ".join(SCHEDULES)}')
  if not config.warmup:
    return after
  return optax.join_schedules([optax.linear_schedule(peak / config.warmup, peak, config.warmup), after], [config.warmup])


def _is_layer_matrix(path) -> bool:
  names = [getattr(k, 'key', '') for k in path]
  return names[0] == 'blocks' and not names[-1].endswith(('_norm', '_bias'))


def _matrices(params):
  return jax.tree_util.tree_map_with_path(lambda path, _: _is_layer_matrix(path), params)


def _muon_dimensions(params):
  """Stacked matrices are [L, in, out]: axis 0 is a batch of matrices."""
  matrix = contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
  return jax.tree_util.tree_map_with_path(lambda path, _: matrix if _is_layer_matrix(path) else None, params)
