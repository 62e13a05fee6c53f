"""Which tasks a round trains on, by arm."""

from __future__ import annotations

import dataclasses
import json
import math

from inftool_jax import seeds
from inftool_jax.data import store
from inftool_jax.errors import ConfigError
from inftool_jax.evaluation import gaps, mix
from inftool_jax.evaluation.probe import Probed
from inftool_jax.loop import playing
from inftool_jax.loop.context import Context
from inftool_jax.loop.evaluating import GAPS
from inftool_jax.loop.log import say
from inftool_jax.settings import Sft
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS, TWINNED, Task

SPARE = 1.3  # planned beyond what is needed: some indices have no fair task, some tasks do not fit
INDICES_PER_ROUND = 1_000_000  # task indices of a round, so that no round plans another's tasks again


def of_round(context: Context, number: int) -> tuple[Task, ...]:
  """Exactly the tasks of round `number`, in the order they are trained on; the same number on every arm."""
  settings = context.settings.rounds
  need = settings.steps * settings.tasks
  if settings.arm == 'static':
    number = 1
  found = _steered(context, number, need) if settings.arm == 'loop' else _fresh(context, number, need)
  if not found:
    raise ConfigError(f'round {number}: no task could be planned over the train servers; give more specifications (--config.specs.paths)')
  order = seeds.rng(context.settings.seed, 'order', number).sample(range(len(found)), len(found))
  return tuple(found[i] for i in order[:need])


def _units_for(tasks: int) -> int:
  """Units that give about `tasks` tasks, and some to spare; twins are two."""
  return math.ceil(tasks * SPARE * len(KINDS) / sum(2 if k in TWINNED else 1 for k in KINDS))


def _fresh(context: Context, number: int, need: int) -> tuple[Task, ...]:
  """At least `need` new tasks, as many units of each kind."""
  per_kind = math.ceil(_units_for(need) / len(KINDS))
  planned = plan(
    context.splits.train, dict.fromkeys(KINDS, per_kind), seeds.derive(context.settings.seed, 'rounds'), split='train',
    offered=context.settings.synthesis.offered, start=number * INDICES_PER_ROUND,
  )  # fmt: skip
  return tuple(t for t in planned if playing.fits(context, t))


def _steered(context: Context, number: int, need: int) -> tuple[Task, ...]:
  """Where the probe before this round found gaps: its failed and boundary tasks, expansions of them, and fresh tasks."""
  folder = context.folder(f'round_{number}_probe')
  report = gaps.from_json(json.loads((folder / GAPS).read_text()))
  units = list(store.read(folder, Probed, 'units'))
  probed = list(store.read(folder, Task, 'tasks'))
  seed = seeds.derive(context.settings.seed, 'expansion', number)
  shares = mix.Mix()
  chosen = mix.expansions(units, shares, _units_for(need), seed)
  made = mix.next_round(probed, chosen, report, context.splits.train, shares, seed, offered=context.settings.synthesis.offered)
  say(f'  round {number} trains on ' + ', '.join(f'{n} {name}' for name, n in made.counts.items()) + ' units')
  return tuple(t for t in made.tasks if playing.fits(context, t))


def sft_settings(context: Context) -> Sft:
  """SFT inside a round: the round's number of updates and learning rates."""
  rounds = context.settings.rounds
  return dataclasses.replace(context.settings.sft, masked=0.0, steps=rounds.steps * rounds.updates_per_batch, optimizer=rounds.optimizer)
