"""What is told and recorded of compiled programs: memory, bounds on their time, and what lives together in a phase of a round."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from inftool_jax.data import manifest
from inftool_jax.errors import ConfigError
from inftool_jax.parallel import ahead
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel.topology import GIB, Chip
from tools.aot_cases import LEARNER, SAMPLER, Case

# A round samples with the learner's state in memory and updates with the sampler's weights in memory, but without its cache; new weights
# take the place of the old ones before there is a cache again.
PHASES = {'hand-over': ((), ('cache',)), 'rollout': (SAMPLER, ()), 'update': (LEARNER, ('cache',))}  # -> programs that run, what is gone

Done = Mapping[str, tuple[Case, ahead.Compiled]]


def of(case: Case, compiled: ahead.Compiled, chip: Chip) -> dict[str, Any]:
  """What is recorded of a program; times, FLOPs and bytes are of one run of it."""
  chips = case.mesh.size if case.mesh else 1
  out: dict[str, Any] = {'fits': not compiled.problem, 'chips': chips, 'argument_bytes': ahead.argument_bytes(case.arguments)}
  out |= {'flops': compiled.flops, 'compute_seconds': compiled.flops / (chips * chip.flops)}
  if compiled.problem:
    out |= {'problem': compiled.problem, 'largest': list(compiled.largest)}
  if compiled.memory is not None:
    out |= dataclasses.asdict(compiled.memory) | {'total': compiled.memory.total, 'collective_bytes': dict(compiled.collectives)}
    out |= {'memory_bytes': compiled.traffic, 'memory_seconds': compiled.traffic / chip.bandwidth}
    # What goes from slice to slice goes another way, whose speed per chip is not published for all chips.
    outside = case.mesh is not None and meshes.crosses(case.mesh)
    out |= {'link_seconds': sum(n for axes, n in compiled.collectives.items() if not (outside and 'data' in axes)) / chip.links}
  if case.least:
    out['least_collective_bytes'] = dict(case.least)
  if case.model_flops:
    # Nothing is faster than its longest resource, even where all of them work at the same time at their published peaks.
    seconds = max(out[name] for name in ('compute_seconds', 'memory_seconds', 'link_seconds') if name in out)
    out |= {'model_flops': case.model_flops, 'recompute': compiled.flops / case.model_flops}
    out['mfu_upper_bound'] = case.model_flops / (chips * chip.flops * seconds)
  return out | {'compile_seconds': round(compiled.seconds, 1)}


def told(title: str, case: Case, compiled: ahead.Compiled, facts: Mapping[str, Any], chip: Chip) -> list[str]:
  """The figures for a reader."""
  lines = [f'{title}: {case.what}']
  if compiled.problem:
    lines += [f'  DOES NOT FIT in {_gib(chip.memory)} GiB (arguments {_gib(facts["argument_bytes"])} GiB a chip): {compiled.problem}']
    lines += ['  largest arrays, of all chips together:', *(f'    {line}' for line in compiled.largest)]
  if (m := compiled.memory) is not None:
    parts = f'arguments {_gib(m.arguments)}, temporaries {_gib(m.temporaries)}, outputs {_gib(m.outputs)}, code {_gib(m.code)}'
    lines += [f'  GiB a chip: {parts}; total {_gib(m.total)} of {_gib(chip.memory)}']
  again = f'; {facts["recompute"]:.2f} times the model\'s {case.model_flops:.3g}' if case.model_flops else ''
  lines += [f'  seconds at least: {facts["compute_seconds"]:,.3g} for {compiled.flops:.3g} FLOPs at the peak of bfloat16{again}']
  if compiled.memory is not None:
    lines += [f'                    {facts["memory_seconds"]:,.3g} for {compiled.traffic / 1e9:,.1f} GB to and from the memory of a chip']
    lines += [f'                    {facts["link_seconds"]:,.3g} for what a chip sends: {_sent(compiled, case.least)}'] if case.mesh else []
  if case.model_flops:
    lines += [f'  upper bound on MFU {facts["mfu_upper_bound"]:.1%}']
  return [*lines, f'  compiled in {compiled.seconds:.0f} s']


def _sent(compiled: ahead.Compiled, least: Mapping[str, float]) -> str:
  def one(axes: str, n: float) -> str:
    return f'{n / 1e9:,.1f} GB over {axes}' + (f' ({n / least[axes]:.2f} times the least)' if least.get(axes) else '')

  return ', '.join(one(axes, n) for axes, n in sorted(compiled.collectives.items()))


def phases(done: Done) -> dict[str, dict[str, int]]:
  """What lives together on a chip in each phase of a round: phase -> part -> bytes; {} if not all of a round's programs are there.

  Where one of them does not fit, there is nothing to tell.
  """
  learners, samplers = ([name for name in group if name in done] for group in (LEARNER, SAMPLER))
  if not learners or not samplers or any(compiled.problem for _, compiled in done.values()):
    return {}
  stays = {part: size for case, _ in done.values() for part, size in case.stays.items()}
  out = {}
  for phase, (running, gone) in PHASES.items():
    out[phase] = {part: size for part, size in stays.items() if part not in gone}
    if running:
      out[phase]['largest program'] = max(_beside(*done[name]) for name in running if name in done)
    else:
      out[phase]['weight under way'] = max(case.handed_over for case, _ in done.values())
  return out


def _beside(case: Case, compiled: ahead.Compiled) -> int:
  """What a program takes besides the arguments that stay: its batch, temporaries, outputs and code."""
  assert compiled.memory is not None
  return max(0, compiled.memory.total - sum(case.stays.values()))


def budget(found: Mapping[str, Mapping[str, int]], chip: Chip) -> list[str]:
  """The phases as a table for a reader."""
  parts = list(dict.fromkeys(part for phase in found.values() for part in phase))
  width = max(map(len, (*parts, 'total of 99')))
  cell = lambda n: f'{_gib(n):>11}' if n else f'{"":>11}'
  lines = [f'  {"GiB a chip":<{width}}' + ''.join(f'{phase:>11}' for phase in found)]
  lines += [f'  {part:<{width}}' + ''.join(cell(phase.get(part, 0)) for phase in found.values()) for part in parts]
  return [*lines, f'  {f"total of {_gib(chip.memory)}":<{width}}' + ''.join(cell(sum(phase.values())) for phase in found.values())]


def record(path: pathlib.Path, case: Mapping[str, str], facts: Mapping[str, Any]) -> None:
  """Adds the figures to the file; those of the same case before them go. Raises ConfigError for a file that is something else."""
  try:
    known = json.loads(path.read_text())
  except FileNotFoundError:
    known = []
  except ValueError as e:
    raise ConfigError(f'--results={path} is not JSON ({e}); name another file') from e
  versions = {name: importlib.metadata.version(name) for name in ('jax', 'libtpu')}
  new = {**case, 'date': datetime.date.today().isoformat(), **versions, **facts}
  path.parent.mkdir(parents=True, exist_ok=True)
  others = [entry for entry in known if any(entry.get(key) != value for key, value in case.items())]
  manifest.write_bytes(path, manifest.readable([*others, new]))


def _gib(n: float) -> str:
  return f'{n / GIB:,.1f}'
