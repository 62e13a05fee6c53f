"""Compiles a config's programs for a TPU topology on a host without TPU, and says what they take.

  pip install -e '.[tpu]'
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5p:4x4x4
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5e:16x16 --config.sft.rows=64 --programs=sft
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5p:2x2x1 --programs=prefill,decode --config.sampling.tensor=4
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v6e:8x8 --programs=grpo --search=batch

`grpo` and `sft` are the learner's updates, on the config's mesh over all chips of the topology. `prefill` and `decode` are those of a
replica of the sampler, on `sampling.tensor` chips. Where both are compiled, a table says what lives together in each phase of a round.
Nothing is allocated and no checkpoint is needed: the shape is the folder's if the config names one, else that of `model.shape`. Ends
with 1 if a program or a phase does not fit. --results collects the figures, the newest of each case. --search=batch compiles an update
with more and more rows in a micro-batch and says which is the largest that fits.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable

from absl import app, flags
from ml_collections import config_flags

from inftool_jax import settings as configs
from inftool_jax.errors import ConfigError, InftoolError
from inftool_jax.loop import context
from inftool_jax.parallel import ahead, topology
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel.topology import GIB
from inftool_jax.settings import Settings
from tools import aot_cases, aot_figures
from tools.aot_cases import LEARNER, SAMPLER, Case

CONFIG = config_flags.DEFINE_config_file('config', None, 'config file, with :PRESET after it if not the default', lock_config=True)
TOPOLOGY = flags.DEFINE_string('topology', None, 'chip and shape, such as v5p:4x4x4, v5e:16x16, v6e:8x8', required=True)
PROGRAMS = flags.DEFINE_list('programs', ['grpo', *SAMPLER], f'which of {", ".join((*LEARNER, *SAMPLER))}')
RESULTS = flags.DEFINE_string('results', 'launch/aot.json', 'file that the figures are added to; empty for none')
SEARCH = flags.DEFINE_enum('search', None, ['batch'], 'look for the largest micro-batch of the updates that fits')
flags.mark_flag_as_required('config')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  try:
    settings = configs.parse(CONFIG.value)
    if unknown := set(PROGRAMS.value) - {*LEARNER, *SAMPLER}:
      raise ConfigError(f'--programs: {", ".join(sorted(unknown))} is unknown; choose from {", ".join((*LEARNER, *SAMPLER))}')
    fits = (search if SEARCH.value else measure)(settings, TOPOLOGY.value, PROGRAMS.value, RESULTS.value)
  except InftoolError as e:
    sys.exit(f'error: {e}')
  sys.exit(0 if fits else 1)


def measure(settings: Settings, name: str, wanted: list[str], results: str) -> bool:
  """Compiles, prints and records each program and what lives together; whether all of it fits."""
  devices, chip = topology.devices(name)
  shape = context.decoder_shape(settings)
  done = {}
  for program in wanted:
    case = aot_cases.make(program, settings, shape, devices)
    done[program] = case, _compiled(case, settings, name, results)
  phases = aot_figures.phases(done)
  if phases:
    print('\n'.join([f'{settings.preset} on {name}, what lives together:', *aot_figures.budget(phases, chip)]), flush=True)
  return not any(compiled.problem for _, compiled in done.values()) and all(sum(p.values()) <= chip.memory for p in phases.values())


def _compiled(case: Case, settings: Settings, topology_name: str, results: str) -> ahead.Compiled:
  """Compiles a case, prints and records what is known of it."""
  chip = topology.chip(topology_name)
  compiled = ahead.compile_for(case.mesh, case.function, case.arguments, chip.memory, case.loops, case.cells, case.moved)
  facts = aot_figures.of(case, compiled, chip)
  shape = settings.model.shape
  preset = settings.preset + (f' as {shape}' if shape not in ('', settings.preset) else '')
  title = f'{case.name} of {preset} on {topology_name}'
  print('\n'.join(aot_figures.told(title, case, compiled, facts, chip)), flush=True)
  if results:
    entry = {'program': case.name, 'preset': preset, 'topology': topology_name, 'case': case.what}
    aot_figures.record(pathlib.Path(results), entry, facts)
  return compiled


def search(settings: Settings, name: str, wanted: list[str], results: str) -> bool:
  """Looks for the largest micro-batch of each update among `wanted`; whether one row on each part of the mesh fits."""
  if not (updates := [p for p in wanted if p in LEARNER]):
    raise ConfigError(f'--search=batch is for updates: name one of {", ".join(LEARNER)} in --programs')
  devices, chip = topology.devices(name)
  shape = context.decoder_shape(settings)
  fits = True
  for program in updates:
    mesh = meshes.build(settings.mesh, devices, ())
    parts = meshes.rows(mesh)

    def total(rows: int, program: str = program, parts: int = parts) -> int | None:
      case = aot_cases.learner(program, aot_cases.with_rows(settings, program, rows, parts), shape, devices)
      compiled = _compiled(case, settings, name, results)
      return None if compiled.problem or compiled.memory is None else compiled.memory.total

    rows = largest(total, chip.memory)
    said = f'{rows * parts} rows, {rows} on each of {parts} parts' if rows else f'none: one row on each of {parts} parts is too much'
    print(f'{program} of {settings.preset} on {name}: largest micro-batch in {chip.memory / GIB:.0f} GiB: {said}', flush=True)
    fits &= rows > 0
  return fits


def largest(total: Callable[[int], int | None], capacity: int) -> int:
  """The largest number of rows whose program has a `total` within `capacity`, 0 if none has; `total` is None where it does not fit.

  Memory grows by about as much with every row, so that two programs tell where to look; then it halves what is left.
  """
  first = total(1)
  second = None if first is None else total(2)
  if first is None or second is None:
    return 0 if first is None else 1
  fits, fails = 2, None
  guess = max(3, 1 + (capacity - first) // max(1, second - first))
  while fails is None or fails - fits > 1:
    if total(guess) is None:
      fails = guess
    else:
      fits = guess
    guess = fits + max(1, fits // 8) if fails is None else (fits + fails + 1) // 2
  return fits


if __name__ == '__main__':
  app.run(main)
