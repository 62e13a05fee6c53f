"""The planner: so many tasks of each kind, each told by (seed, index) alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from inftool_jax import seeds
from inftool_jax.rewards.canonical import canonical
from inftool_jax.synthesis.bench import Bench, Weights
from inftool_jax.synthesis.draft import OFFERED, Request
from inftool_jax.synthesis.kinds import MAKERS
from inftool_jax.synthesis.wording.families import SPLITS, Split
from inftool_jax.types import KINDS, Task, Tool

# Attempts per index: kinds with many conditions (two steps, twins) succeed in about one of three.
ATTEMPTS = 40


def plan(
  tools: Sequence[Tool],
  counts: Mapping[str, int],
  seed: int,
  *,
  split: Split,
  offered: tuple[int, int] = OFFERED,
  weights: Weights | None = None,
  start: int = 0,
) -> tuple[Task, ...]:
  """Plans tasks over complete servers of one split.

  Args:
    tools: the tools of that split; nothing else is reachable.
    counts: kind -> how many; of a twinned kind, how many pairs.
    seed: the plan's seed. Task number i of a kind depends on (tools, seed, split, offered, weights, i), not on how many
      others are made.
    split: whose families of phrasing, synonyms and value pool are used.
    offered: fewest and most tools offered; more where the gold calls of a task need more.
    weights: (kind, server) -> weight of that server among the tasks of that kind, 1 where nothing is said.
    start: index of the first task of each kind; later rounds go on where earlier ones ended.

  Returns:
    The tasks, kind by kind, twins side by side. An index for which the tools have no fair task, and a repetition of an
    earlier task, are left out, so there may be fewer than asked for.

  Raises:
    ValueError: an unknown kind or split, a negative count, or bounds of `offered` that leave no choice.
  """
  _check(counts, split, offered)
  bench = Bench(tools, split, weights)
  seen: set[str] = set()
  return tuple(task for kind in KINDS for task in _of_kind(bench, kind, counts.get(kind, 0), seed, offered, start, seen))


def _check(counts: Mapping[str, int], split: str, offered: tuple[int, int]) -> None:
  unknown = sorted(set(counts) - set(KINDS))
  if unknown:
    raise ValueError(f'no kind is called {", ".join(map(repr, unknown))}; choose among {", ".join(KINDS)}')
  if split not in SPLITS:
    raise ValueError(f'no split is called {split!r}; choose among {", ".join(SPLITS)}')
  if any(count < 0 for count in counts.values()):
    raise ValueError(f'counts are 0 or more, unlike {dict(counts)}')
  if not 2 <= offered[0] <= offered[1]:
    raise ValueError(f'offered=(fewest, most) with 2 <= fewest <= most, unlike {offered}')


def _of_kind(bench: Bench, kind: str, count: int, seed: int, offered: tuple[int, int], start: int, seen: set[str]) -> Iterator[Task]:
  for index in range(start, start + count):
    made = task(bench, kind, index, seed, offered)
    signature = '\n'.join(fingerprint(t) for t in made)
    if made and signature not in seen:
      seen.add(signature)
      yield from made


def task(bench: Bench, kind: str, index: int, seed: int, offered: tuple[int, int] = OFFERED) -> tuple[Task, ...]:
  """Task number `index` of a kind, or the pair of twins; () if no attempt leads to one."""
  own = seeds.derive(seed, 'task', bench.split, kind, index)
  name = f'{bench.split}-{kind}-{index}-{own % 16**6:06x}'
  for attempt in range(ATTEMPTS):
    made = MAKERS[kind](bench, Request(name, kind, seeds.derive(own, attempt), offered))
    if made:
      return made
  return ()


def fingerprint(made: Task) -> str:
  """Equal for tasks that ask for the same calls among the same tools in the same words."""
  tools = {tool.name: tool for tool in made.tools}
  calls = sorted(canonical(g.call, tools.get(g.call.tool)) for g in made.gold)
  return '\n'.join([made.kind, made.scenario.opening, *sorted(tools), *calls])
