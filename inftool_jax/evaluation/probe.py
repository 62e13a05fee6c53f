"""What the policy can do now: fresh tasks over kind x family of tools, several attempts each, and a verdict per unit.

The tasks have a seed namespace of their own and never depend on the round's mix, so that a gap which the training data
lacks is seen all the same.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from statistics import pvariance
from typing import Literal

from inftool_jax import seeds
from inftool_jax.evaluation import suite
from inftool_jax.evaluation.evaluate import failed_term
from inftool_jax.evaluation.suite import Unit
from inftool_jax.rewards.canonical import canonical
from inftool_jax.synthesis import plan
from inftool_jax.synthesis.aim import at_servers
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import OFFERED
from inftool_jax.synthesis.wording.families import Split
from inftool_jax.types import KINDS, Call, Task, Tool, Trajectory

Verdict = Literal['mastered', 'boundary', 'failed', 'suspect label']

MOST_FAMILIES = 32  # more servers than that are taken together by domain
MASTERED = 0.9  # success rate from which on a unit is mastered
FAILED = 0.1  # success rate up to which it is failed
# A label is suspect when this share of the attempts, and this many, make the same other calls.
AGREED, AGREEING = 0.75, 3
# An attempt speaks against a label only if it was well-formed, was executed, and neither guessed nor asked out of turn.
_CREDIBLE = ('parse', 'schema', 'execute', 'protocol')


def families(tools: Sequence[Tool]) -> dict[str, str]:
  """Server -> family of tools: the server itself, or its domain when there are more than `MOST_FAMILIES` servers."""
  domains = {tool.server: tool.domain or tool.server for tool in tools}
  return {server: server if len(domains) <= MOST_FAMILIES else domain for server, domain in sorted(domains.items())}


def plan_probe(
  tools: Sequence[Tool], units: int, seed: int, round_: int, *, split: Split = 'train', offered: tuple[int, int] = OFFERED,
) -> tuple[Task, ...]:
  """Fresh tasks of round `round_`: as many units of each kind, spread evenly over the families that have such tasks.

  Where a kind gets fewer units than there are families, the round decides which families it is; equal arguments give
  equal tasks. There are fewer than `units` only if no family has a task of some kind.
  """
  if units < 1:
    raise ValueError(f'units={units} must be at least 1')
  own = seeds.derive(seed, 'probe', round_)
  by_family: dict[str, list[str]] = {}
  for server, family in families(tools).items():
    by_family.setdefault(family, []).append(server)
  whole = Bench(tools, split)
  benches = {family: at_servers(whole, servers) for family, servers in by_family.items()}
  out: list[Task] = []
  for i, kind in enumerate(KINDS):
    quota = units // len(KINDS) + (i < units % len(KINDS))
    for number, unit in enumerate(itertools.islice(_of_kind(benches, kind, own, offered), quota)):
      out += [_renamed(task, f'probe{round_}-{number}-') for task in unit]
  return tuple(out)


def _of_kind(benches: Mapping[str, Bench], kind: str, seed: int, offered: tuple[int, int]) -> Iterator[tuple[Task, ...]]:
  """Units of a kind without end, family by family in a random order; a family that has none is passed over from then on."""
  left = sorted(benches, key=lambda family: (seeds.derive(seed, 'family', kind, family), family))
  seen: set[str] = set()
  for index in itertools.count():
    for family in tuple(left):
      made = plan.task(benches[family], kind, index, seeds.derive(seed, family), offered)
      signature = '\n'.join(plan.fingerprint(task) for task in made)
      if not made or signature in seen:  # nothing to be had, or nothing new
        left.remove(family)
        continue
      seen.add(signature)
      yield made
    if not left:
      return


def _renamed(task: Task, prefix: str) -> Task:
  return dataclasses.replace(task, id=prefix + task.id, twin=prefix + task.twin if task.twin else '')


@dataclasses.dataclass(frozen=True)
class Attempted:
  """A task and its attempts."""

  task: Task
  trajectories: tuple[Trajectory, ...]

  @property
  def judged(self) -> tuple[Trajectory, ...]:
    """The attempts that say something about the policy: those with a verdict."""
    return tuple(t for t in self.trajectories if t.gates)

  @property
  def success(self) -> float:
    """Share of judged attempts that succeed; 0 without any."""
    return _mean([t.gates['success'] for t in self.judged])

  @property
  def agreement(self) -> float:
    """Share of judged attempts whose calls, in canonical form and any order, are the most frequent ones; 0 without any.

    An attempt that could not be read agrees with none.
    """
    most = self._most_frequent([t for t in self.judged if t.gates['parse']])
    return most[1] / len(self.judged) if most else 0.0

  @property
  def variance(self) -> float:
    """Of the rewards of judged attempts; without it there is no gradient."""
    rewards = [t.reward for t in self.judged]
    return pvariance(rewards) if rewards else 0.0

  @property
  def suspect(self) -> bool:
    """Whether most attempts make the same calls, other than gold's, as a credible solution of their own.

    Not to call at all is no solution: it does not make a label suspect.
    """
    against = [t for t in self.judged if not t.gates['success'] and all(t.gates[term] for term in _CREDIBLE)]
    most = self._most_frequent(against)
    gold = self._signature([g.call for g in self.task.gold])
    return most is not None and bool(most[0]) and most[0] != gold and most[1] >= max(AGREEING, AGREED * len(self.judged))

  def _most_frequent(self, among: Sequence[Trajectory]) -> tuple[tuple[str, ...], int] | None:
    calls = [self._signature([call for m in t.messages for call in m.calls]) for t in among]
    return max(sorted(collections.Counter(calls).items()), key=lambda item: item[1], default=None)

  def _signature(self, calls: Sequence[Call]) -> tuple[str, ...]:
    tools = {tool.name: tool for tool in self.task.tools}
    return tuple(sorted(canonical(call, tools.get(call.tool)) for call in calls))


@dataclasses.dataclass(frozen=True)
class Probed:
  """What the attempts at one unit (a task, or two twins) say."""

  tasks: tuple[str, ...]  # ids
  kind: str
  server: str
  family: str
  attempts: int  # that were judged; of a pair, on both sides
  success: float  # share of attempts that succeed; an attempt at a pair does if both of its sides do
  agreement: float  # mean over the tasks
  variance: float  # mean over the tasks
  failure: str  # most frequent first failed term, '' if nothing failed
  verdict: Verdict


def attempted(tasks: Sequence[Task], trajectories: Sequence[Trajectory]) -> tuple[Attempted, ...]:
  """Groups `trajectories`, in whatever order, by task. Raises ValueError for one of an unknown task."""
  groups: dict[str, list[Trajectory]] = {task.id: [] for task in tasks}
  for t in trajectories:
    if t.task_id not in groups:
      raise ValueError(f'a trajectory is of task {t.task_id}, which is not among the probe tasks')
    groups[t.task_id].append(t)
  return tuple(Attempted(task, tuple(sorted(groups[task.id], key=lambda t: t.sample))) for task in tasks)


def probed(results: Sequence[Attempted], family_of: Mapping[str, str]) -> tuple[Probed, ...]:
  """A verdict per unit, in the order of the tasks.

  Args:
    results: whole units with all their attempts; a unit none of whose attempts was judged (its server failed, say) is left
      out.
    family_of: server -> family.

  Raises:
    ValueError: half a pair.
  """
  by_id = {a.task.id: a for a in results}
  found = [_unit(unit, [by_id[task.id] for task in unit.tasks], family_of) for unit in suite.units([a.task for a in results])]
  return tuple(one for one in found if one is not None)


def _unit(unit: Unit, sides: Sequence[Attempted], family_of: Mapping[str, str]) -> Probed | None:
  by_sample = [{t.sample: t for t in side.judged} for side in sides]
  samples = [s for s in sorted(by_sample[0]) if all(s in side for side in by_sample)]
  if not samples:
    return None
  success = _mean([float(all(side[s].gates['success'] == 1.0 for side in by_sample)) for s in samples])
  failures = collections.Counter(term for side in by_sample for s in samples if (term := failed_term(side[s])))
  return Probed(
    tasks=tuple(task.id for task in unit.tasks), kind=unit.kind, server=unit.server, family=family_of.get(unit.server, unit.server),
    attempts=len(samples), success=success, agreement=_mean([side.agreement for side in sides]),
    variance=_mean([side.variance for side in sides]), failure=most_frequent(failures),
    verdict='suspect label' if any(side.suspect for side in sides) else verdict(success),
  )


def verdict(success: float) -> Verdict:
  """The class of a success rate."""
  if success >= MASTERED:
    return 'mastered'
  return 'failed' if success <= FAILED else 'boundary'


def most_frequent(counts: Mapping[str, int]) -> str:
  """The key with the largest count, the first by name among equals; '' without any."""
  return max(sorted(counts), key=lambda name: counts[name], default='')


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values) if values else 0.0
