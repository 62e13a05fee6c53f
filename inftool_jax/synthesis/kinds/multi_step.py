"""Two calls, the second with an id that only the first one's result shows."""

from __future__ import annotations

import dataclasses
import random
import re

from inftool_jax import seeds
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.answers import Leaf
from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import Request, Stage, Step, assemble, distractors, goal_of, known_of, wanted_leaves
from inftool_jax.synthesis.kinds.single import SPARE, alike
from inftool_jax.synthesis.slots import slot_key
from inftool_jax.synthesis.solutions import Goal
from inftool_jax.synthesis.wording import lexicon, phrases
from inftool_jax.synthesis.wording.compose import Need
from inftool_jax.toolbox.graph import Edge
from inftool_jax.types import JSON, Provenance, Task, Tool

GOAL_SHARE = 0.5  # of the tasks that can be said in one go: 'cancel the order of maro@tilden.net'
_PRODUCERS = ('find', 'list', 'create')


@dataclasses.dataclass(frozen=True)
class Chain:
  """The two executed calls, and the parameter of the second that the first one fills."""

  first: Step
  second: Step
  parameter: str
  value: JSON


def multi_step(bench: Bench, request: Request) -> tuple[Task, ...]:
  """A path over the server's dependency graph; the user names the record by what they know of it, never by its id."""
  rng = seeds.rng(request.seed, 'tool')
  picked = _edge(bench, request, rng)
  if picked is None:
    return ()
  edge, producer, consumer = picked
  stage = Stage(bench, (producer.server,), request.seed)
  chain = _chain(stage, edge, producer, consumer)
  if chain is None:
    return ()
  leaves = wanted_leaves(chain.second, seeds.derive(request.seed, 'second'), _shown(chain.first))
  if leaves is None:
    return ()
  steps = (chain.first, chain.second)
  goals = (goal_of(chain.second, leaves, chain.first.difference), Goal(chain.second.difference, ()), Goal({}, (chain.value,)))
  candidates = [*alike(bench, consumer, request.seed)[:2], *bench.strangers((producer,), rng, SPARE), *alike(bench, consumer, request.seed)]
  count = max(request.count(), 3) - 2
  others = distractors(stage, (producer, consumer), candidates, count, goals, known_of(steps))
  if others is None:
    return ()
  task = assemble(request, stage, (producer, consumer, *others), steps, ((), leaves), _need(bench, chain, leaves, rng))
  return (task,) if task is not None else ()


def _edge(bench: Bench, request: Request, rng: random.Random) -> tuple[Edge, Tool, Tool] | None:
  server = bench.pick_server(request.kind, rng)
  found = [edge for tool in bench.by_server[server] for edge in bench.edges_into(tool)]
  found = [e for e in found if bench.operation(bench.by_name[e.source_tool]).role in _PRODUCERS]
  found = [e for e in found if e.parameter in bench.by_name[e.target_tool].required]
  if not found:
    return None
  consumer = rng.choice(sorted({e.target_tool for e in found}))
  edge = rng.choice([e for e in found if e.target_tool == consumer])
  return edge, bench.by_name[edge.source_tool], bench.by_name[consumer]


def _chain(stage: Stage, edge: Edge, producer: Tool, consumer: Tool) -> Chain | None:
  filled = stage.fill(producer, 0)
  first = stage.perform(producer, filled, 0) if filled is not None and filled.slots else None
  if first is None:
    return None
  pattern = re.compile(re.escape(edge.path).replace(re.escape('[*]'), r'\[\d+\]'))
  shown = [leaf for leaf in answers.leaves(answers.data(first.result)) if pattern.fullmatch(leaf.path)]
  if len(shown) != 1 or shown[0].value in first.said:
    return None  # nothing found, or no telling which one is meant
  given = {edge.parameter: shown[0].value}
  filled = stage.fill(consumer, 1, given)
  if filled is None:
    return None
  second = stage.perform(consumer, filled, 1, {edge.parameter: Provenance('result', 0, shown[0].path)})
  return Chain(first, second, edge.parameter, shown[0].value) if second is not None else None


def _shown(step: Step) -> list[JSON]:
  return [leaf.value for leaf in answers.leaves(answers.data(step.result))]


def _need(bench: Bench, chain: Chain, leaves: tuple[Leaf, ...], rng: random.Random) -> Need:
  """In one go ('cancel the order for maro@tilden.net') where nothing could be mixed up, else one after the other."""
  wanted = tuple(leaf.words for leaf in leaves)
  producer, consumer = bench.operation(chain.first.tool), bench.operation(chain.second.tool)
  noun = _record_noun(chain.first.tool)
  on_record = consumer.id_parameter == chain.parameter and consumer.entity == producer.entity
  if on_record and producer.role != 'create' and _apart(chain) and rng.random() < GOAL_SHARE:
    slots = (*chain.first.filled.slots, *chain.second.filled.slots)
    return Need((bench.part(chain.second.tool, slots, f'the {noun}'),), wanted)
  plural = lexicon.is_plural(phrases.phrase(chain.first.tool).noun)
  reference = f'that {noun}' if plural else rng.choice(('it', f'that {noun}'))
  own = phrases.phrase(chain.second.tool).noun
  itself = on_record or own == noun
  thing = reference if itself else f'{phrases.object_of(chain.second.tool, own, rng)} for {reference}'
  first = bench.part(chain.first.tool, chain.first.filled.slots)
  return Need((first, bench.part(chain.second.tool, chain.second.filled.slots, thing)), wanted, sequence=True)


def _record_noun(tool: Tool) -> str:
  words = phrases.phrase(tool).noun.split(' ')
  return ' '.join([*words[:-1], lexicon.singular(words[-1])])


def _apart(chain: Chain) -> bool:
  """Whether no value that describes the record could be taken for one of the second call's."""
  consumer = chain.second.tool
  keys = {slot_key(name, schema) for name, schema in consumer.parameters.items() if isinstance(schema, dict) and name != chain.parameter}
  return all(s.key not in keys and s.parameter not in consumer.parameters for s in chain.first.filled.slots)
