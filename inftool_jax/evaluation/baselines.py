"""What needs no learning, scored like a policy: the parser floor, and the canaries that must fail.

Chance has no part in them, so that their figures belong to an evaluation file and not to a run: those of the bundled file
are measured on the whole of it and kept beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from inftool_jax import types
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.data import manifest
from inftool_jax.evaluation import statistics
from inftool_jax.evaluation.canaries import BOUNDS, CANARIES, Canary
from inftool_jax.evaluation.evaluate import Evaluation, evaluate
from inftool_jax.evaluation.floor import Floor
from inftool_jax.play.conversation import Limits, play
from inftool_jax.play.many import Progress
from inftool_jax.report.model import Baseline
from inftool_jax.report.tables import MEAN
from inftool_jax.types import Speaker, Task, ToolServer, Trajectory

FLOOR = 'floor'
NAMES: tuple[str, ...] = (FLOOR, *CANARIES)
FLOOR_BOUND = 0.25  # mean over kinds; above it the tasks would be too easy to show learning

# Room enough: a baseline must fail by its trick, not for lack of a context window that it does not have.
LIMITS = Limits(max_turns=8, max_tokens=1 << 24, max_new_tokens=1 << 20)
_SEED = 0  # of the conversations; chance has no part in a baseline


async def run(
  name: str, tasks: Sequence[Task], server: ToolServer, tokenizer: ChatTokenizer,
  progress: Progress = lambda done, total, outcomes: None,
) -> Evaluation:
  """One baseline's attempt at every task, with the scripted user. Raises KeyError for a name that is not in `NAMES`."""
  async def one(task: Task, sample: int) -> Trajectory:
    return await play(task, _speaker(name, task), ScriptedUser(task), server, tokenizer, LIMITS, sample, _SEED)
  if name not in NAMES:
    raise KeyError(f'no baseline is called {name!r}; choose among {", ".join(NAMES)}')
  return await evaluate(tasks, one, 1, progress)


async def run_all(
  tasks: Sequence[Task], server: ToolServer, tokenizer: ChatTokenizer, names: Sequence[str] = NAMES,
) -> tuple[Baseline, ...]:
  """A row per baseline: success per kind and their mean, with the bounds they have to keep.

  Args:
    tasks: whole units of the evaluation file.
    server: simulates the complete servers that the tasks play on.
    tokenizer: any; tokens are kept but never read.
    names: which of `NAMES`.
  """
  return tuple([row(name, await run(name, tasks, server, tokenizer)) for name in names])


def kept_path() -> Path:
  return Path(__file__).parent / 'data' / 'test.baselines.json'


def keep(rows: Sequence[Baseline], hash: str) -> None:
  """Keeps `rows`, measured on the whole bundled evaluation file of this hash, beside it."""
  manifest.write_bytes(kept_path(), manifest.readable({'evaluation_hash': hash, 'rows': types.to_json(rows)}))


def kept(hash: str) -> tuple[Baseline, ...] | None:
  """The rows of the evaluation file with this hash, if it is the bundled one."""
  found = json.loads(kept_path().read_text())
  return tuple(types.from_json(Baseline, row) for row in found['rows']) if found['evaluation_hash'] == hash else None


def row(name: str, evaluation: Evaluation) -> Baseline:
  """Success and bounds per kind. A canary's bound is rounded up to whole units, as `canaries.Cell.within` rounds it."""
  rates = statistics.success_by_kind(evaluation.scored)
  kinds = {kind: rate.share for kind, rate in rates.items()}
  return Baseline(name, {**kinds, MEAN: statistics.mean_over_kinds(rates)}, _bounds(name, rates))


def _bounds(name: str, rates: Mapping[str, statistics.Rate]) -> dict[str, float]:
  if name == FLOOR:
    return {MEAN: FLOOR_BOUND}
  return {kind: math.ceil(BOUNDS[name, kind].share * rate.n) / rate.n for kind, rate in rates.items() if (name, kind) in BOUNDS}


def _speaker(name: str, task: Task) -> Speaker:
  return Floor(task) if name == FLOOR else Canary(name, task)
