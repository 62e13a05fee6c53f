"""Optimizers by name, with schedule and global-norm clipping."""

from __future__ import annotations

import dataclasses

import jax
import optax
from optax import contrib

from inftool_jax.errors import ConfigError

NAMES = ('adamw', 'muon', 'adafactor')
MOMENTS = ('float32', 'bfloat16')
TOKEN_RULES = {'novograd': optax.novograd, 'adam': optax.adam}
SCHEDULES = ('constant', 'cosine', 'linear')


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """`learning_rate` is that of everything, or Muon's of the layers' matrices; the other two count under Muon only."""

  name: str = 'adamw'
  learning_rate: float = 1e-6
  vector_learning_rate: float = 1e-6  # norms and biases, by Adam
  token_learning_rate: float = 1e-4  # embedding and head; of NovoGrad: the Frobenius norm of the first update
  token_rule: str = 'novograd'  # or 'adam', where every token occurs often
  warmup: int = 0  # steps
  schedule: str = 'constant'
  weight_decay: float = 0.0
  clip_norm: float = 1.0
  b1: float = 0.9
  b2: float = 0.95
  moment: str = 'float32'  # dtype of the first moment under AdamW and Muon; see `make`


def make(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
  """The transformation for a run of `steps` updates.

  Muon (github.com/KellerJordan/Muon) orthogonalizes the momentum of the layers' matrices; norms and biases go through
  Adam, embedding and head through NovoGrad (arXiv 1905.11286), which divides a whole array by one norm. Adam would divide
  each entry by its own: the embedding of a token that never occurs, pushed down a little by every softmax, would move as
  far as any other, and on a narrow task the policy would unlearn the names and values of the tools it has not met
  (arXiv 2402.19449 has the same effect as a merit: rare tokens are learned faster). Where every token occurs, as in making a
  base, `token_rule` may be 'adam'. Weight decay applies to matrices only.

  The first moment may be kept in bfloat16: it is a mean over ten or twenty gradients, so that each moves it by far more than 2^-8 of it,
  which is what rounding takes. The second, a mean over more of them whose roots divide, stays in float32.
  Raises ConfigError for an unknown name, token rule or schedule.
  """

  def rate(peak: float) -> optax.Schedule:
    return _schedule(config, peak, steps)

  if config.name == 'adamw':
    rule = optax.adamw(
      rate(config.learning_rate), config.b1, config.b2, mu_dtype=config.moment, weight_decay=config.weight_decay, mask=_matrices
    )
  elif config.name == 'adafactor':
    rule = _adafactor(config, rate(config.learning_rate))
  elif config.name == 'muon':
    if config.token_rule not in TOKEN_RULES:
      raise ConfigError(f'token rule {config.token_rule!r} is unknown; have {", ".join(TOKEN_RULES)}')
    rule = optax.partition(
      {
        'matrix': contrib.muon(
          rate(config.learning_rate),
          weight_decay=config.weight_decay,
          mu_dtype=config.moment,
          muon_weight_dimension_numbers=_muon_dimensions,
        ),
        'vector': optax.adam(rate(config.vector_learning_rate), config.b1, config.b2),
        'token': TOKEN_RULES[config.token_rule](rate(config.token_learning_rate), config.b1, config.b2),
      },
      _groups,
    )
  else:
    raise ConfigError(f'optimizer {config.name!r} is unknown; have {", ".join(NAMES)}')
  return optax.chain(optax.clip_by_global_norm(config.clip_norm), rule)


def _adafactor(config: OptimizerConfig, rate: optax.Schedule) -> optax.GradientTransformation:
  """Adafactor (arXiv 1804.04235) without a first moment: of a matrix the second is kept as a mean over rows and one over columns.

  Steps are not scaled by the size of the parameter, so that `learning_rate` means what it means to AdamW; the update of an array
  has a root mean square of at most 1 before. Its second moment forgets by the paper's schedule, not by `b2`.
  """
  return optax.chain(
    optax.scale_by_factored_rms(),
    optax.clip_by_block_rms(1.0),
    optax.add_decayed_weights(config.weight_decay, _matrices),
    optax.scale_by_learning_rate(rate),
  )


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


def _groups(params):
  def group(path, _) -> str:
    if _is_layer_matrix(path):
      return 'matrix'
    return 'token' if getattr(path[0], 'key', '') in ('embed', 'head') else 'vector'

  return jax.tree_util.tree_map_with_path(group, params)


def _muon_dimensions(params):
  """Stacked matrices are [L, in, out]: axis 0 is a batch of matrices."""
  return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2), params)
