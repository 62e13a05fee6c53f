"""Compiles a config's programs for a TPU topology on a host without TPU, and says what they take.

  pip install -e '.[tpu]'
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5p:4x4x4
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5e:16x16 --config.sft.rows=64 --programs=sft
  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5p:2x2x1 --programs=prefill,decode --config.sampling.tensor=4

`grpo` and `sft` are the learner's updates, on the config's mesh over all chips of the topology. `prefill` and `decode` are those of a
replica of the sampler, on `sampling.tensor` chips. Nothing is allocated and no checkpoint is needed: the shape is the folder's if the
config names one, else that of `model.shape`. Ends with 1 if a program does not fit. --results collects the figures, the newest of each
case.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib.metadata
import json
import pathlib
import sys
from typing import Any

import jax
from absl import app, flags
from jax.sharding import Mesh
from ml_collections import config_flags

from inftool_jax import settings as configs
from inftool_jax.data import manifest
from inftool_jax.errors import ConfigError, InftoolError
from inftool_jax.loop import batches, context
from inftool_jax.models import decoder, paged, splash
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import ahead, topology
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel.topology import GIB, Chip
from inftool_jax.sampling import programs, work
from inftool_jax.sampling.places import Places
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.settings import Settings
from inftool_jax.training import abstract, objectives, optimizer, step

LEARNER, SAMPLER = ('grpo', 'sft'), ('prefill', 'decode')

CONFIG = config_flags.DEFINE_config_file('config', None, 'config file, with :PRESET after it if not the default', lock_config=True)
TOPOLOGY = flags.DEFINE_string('topology', None, 'chip and shape, such as v5p:4x4x4, v5e:16x16, v6e:8x8', required=True)
PROGRAMS = flags.DEFINE_list('programs', list(LEARNER), f'which of {", ".join((*LEARNER, *SAMPLER))}')
RESULTS = flags.DEFINE_string('results', 'launch/aot.json', 'file that the figures are added to; empty for none')
flags.mark_flag_as_required('config')


@dataclasses.dataclass(frozen=True)
class Case:
  """One program, ready to be compiled."""

  name: str
  what: str  # its sizes in words
  mesh: Mesh | None  # None: one chip
  function: Any
  arguments: tuple[Any, ...]
  loops: tuple[float, ...]  # see `counting.flops`
  model_flops: float | None  # of an update, of all chips; None: there is no such number


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  try:
    fits = measure(configs.parse(CONFIG.value), TOPOLOGY.value, PROGRAMS.value, RESULTS.value)
  except InftoolError as e:
    sys.exit(f'error: {e}')
  sys.exit(0 if fits else 1)


def measure(settings: Settings, name: str, wanted: list[str], results: str) -> bool:
  """Compiles, prints and records each program; whether all fit."""
  if unknown := set(wanted) - {*LEARNER, *SAMPLER}:
    raise ConfigError(f'--programs: {", ".join(sorted(unknown))} is unknown; choose from {", ".join((*LEARNER, *SAMPLER))}')
  devices, chip = topology.devices(name)
  shape = context.decoder_shape(settings)
  fits = True
  for program in wanted:
    case = learner(program, settings, shape, devices) if program in LEARNER else sampler(program, settings, shape, devices)
    compiled = ahead.compile_for(case.mesh, case.function, case.arguments, chip.memory, case.loops, splash.cells)
    facts = figures(case, compiled, chip)
    print('\n'.join(told(f'{program} of {settings.preset} on {name}', case, compiled, facts, chip)), flush=True)
    if results:
      record(pathlib.Path(results), {'program': program, 'preset': settings.preset, 'topology': name, 'case': case.what}, facts)
    fits &= compiled.memory is not None
  return fits


def learner(name: str, settings: Settings, shape: DecoderConfig, devices) -> Case:
  """An update of a round or of SFT, its batch full and every position trained."""
  mesh = meshes.build(settings.mesh, devices, context.dimensions(settings, shape))
  if mesh is None:
    raise ConfigError('--config.mesh: all 1 is one device, and the learner is compiled for a mesh; fsdp=-1 takes all of the topology')
  if name == 'sft':
    s = settings.sft
    objective, transform, (M, R, T) = objectives.sft, optimizer.make(s.optimizer, s.steps), (s.micro_batches, s.rows, s.row_length)
  else:
    r = settings.rounds
    objective, transform = objectives.make(r.objective), optimizer.make(r.optimizer, r.steps)
    (M, R), T = batches.sizes(r, meshes.rows(mesh)), r.row_length
  positions = R * T // meshes.rows(mesh)  # of a micro-batch, on one device
  adapters = f'; adapters of rank {shape.lora.rank}{" beside int8" if shape.lora.int8 else ""}' if shape.lora else ''
  over = ' x '.join(f'{axis} {size}' for axis, size in mesh.shape.items() if size > 1)
  return Case(
    name,
    f'{over}; {M} micro-batches of {R} rows of {T:,} tokens; remat {shape.remat}, compute {shape.compute_dtype}{adapters}',
    mesh,
    step.make(shape, transform, objective, mesh),
    (abstract.state(shape, transform, mesh), abstract.batch(M, R, T, mesh), abstract.frozen(shape, mesh)),
    (M, -(-positions // step.HEAD_CHUNK)),
    M * R * T * update_flops(shape, T),
  )


def update_flops(shape: DecoderConfig, length: int) -> float:
  """Of a token: the backward pass takes twice the forward pass's. A frozen base needs no gradient, which is half of its products' share."""
  products = shape.forward_flops(0)
  return (2 if shape.lora else 3) * products + 3 * (shape.forward_flops(length) - products)


def sampler(name: str, settings: Settings, shape: DecoderConfig, devices) -> Case:
  """A dispatch of a replica of the sampler, on the first `sampling.tensor` chips, its cache full."""
  s = settings.sampling
  if s.tensor > len(devices):
    raise ConfigError(f'--config.sampling.tensor={s.tensor}: the topology has {len(devices)} chips')
  sizes = SamplerConfig(s.slots, s.context, s.page, s.pages or s.slots * -(-s.context // s.page) + 1, s.prefill, s.decode_steps)
  places = Places.over(devices[: s.tensor], shape)
  prefill, _, decode = programs.make(sizes, places)
  params = jax.eval_shape(lambda: decoder.served(decoder.init(places.config, 0), shape))
  pool = jax.eval_shape(lambda: paged.empty_pool(places.config, sizes.pages, sizes.page, 'tpu'))
  rows = s.prefill if name == 'prefill' else s.slots
  empty = programs.empty_tokens(rows) if name == 'prefill' else programs.empty_request(sizes, rows, shape.vocab)
  batch = jax.eval_shape(lambda: (empty, work.plan([], rows, sizes.blocks)))
  placed = lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
  whole = functools.partial(placed, place=places.whole)
  weights = jax.tree.map(placed, params, places.weights) if places.mesh else jax.tree.map(whole, params)
  attended = paged.SINGLES + paged.GROUPS * paged.GROUP  # pages by a query, of one run of both loops
  what = f'{rows} tokens' if name == 'prefill' else f'{s.decode_steps} steps of {rows} requests'
  return Case(
    name,
    f'a replica on {s.tensor} chips; {what}; {sizes.pages:,} pages of {s.page} tokens; compute {shape.compute_dtype}',
    places.mesh,
    prefill if name == 'prefill' else decode,
    (weights, jax.tree.map(placed, pool, places.cache), *jax.tree.map(whole, batch)),
    (*((s.decode_steps,) if name == 'decode' else ()), rows * sizes.blocks / attended),
    None,
  )


def figures(case: Case, compiled: ahead.Compiled, chip: Chip) -> dict[str, Any]:
  """What is recorded of a program; times and FLOPs are of one run of it."""
  chips = case.mesh.size if case.mesh else 1
  out: dict[str, Any] = {'fits': compiled.memory is not None, 'chips': chips, 'argument_bytes': ahead.argument_bytes(case.arguments)}
  if compiled.memory is None:
    out |= {'problem': compiled.problem, 'largest': list(compiled.largest)}
  else:
    out |= dataclasses.asdict(compiled.memory) | {'total': compiled.memory.total, 'collective_bytes': dict(compiled.collectives)}
  out |= {'flops': compiled.flops, 'compute_seconds': compiled.flops / (chips * chip.flops)}
  if case.model_flops:
    # No update is faster than its matrix products at the peak: what the model needs of them bounds the share of the peak in use.
    out |= {'model_flops': case.model_flops, 'recompute': compiled.flops / case.model_flops}
    out['mfu_upper_bound'] = case.model_flops / compiled.flops
  return out | {'compile_seconds': round(compiled.seconds, 1)}


def told(title: str, case: Case, compiled: ahead.Compiled, facts: dict[str, Any], chip: Chip) -> list[str]:
  """The figures for a reader."""
  gib = lambda n: f'{n / GIB:,.1f}'
  lines = [f'{title}: {case.what}']
  if compiled.memory is None:
    lines += [f'  DOES NOT FIT in {gib(chip.memory)} GiB (arguments {gib(facts["argument_bytes"])} GiB a chip): {compiled.problem}']
    lines += ['  largest arrays, of all chips together:', *(f'    {line}' for line in compiled.largest)]
  else:
    m = compiled.memory
    parts = f'arguments {gib(m.arguments)}, temporaries {gib(m.temporaries)}, outputs {gib(m.outputs)}, code {gib(m.code)}'
    lines += [f'  GiB a chip: {parts}; total {gib(m.total)} of {gib(chip.memory)}']
    moved = ', '.join(f'{axes} {n / 1e9:,.1f}' for axes, n in sorted(compiled.collectives.items()))
    lines += [f'  GB that a chip sends, by mesh axis: {moved}'] if moved else []
  lines += [f'  FLOPs {compiled.flops:.3g}, {facts["compute_seconds"]:,.3g} s at the peak of bfloat16']
  if case.model_flops:
    lines[-1] += f"; {facts['recompute']:.2f} times the model's {case.model_flops:.3g}: upper bound on MFU {facts['mfu_upper_bound']:.1%}"
  return [*lines, f'  compiled in {compiled.seconds:.0f} s']


def record(path: pathlib.Path, case: dict[str, str], facts: dict[str, Any]) -> None:
  """Adds the figures to the file; those of the same case before them go."""
  try:
    known = json.loads(path.read_text())
  except FileNotFoundError:
    known = []
  except ValueError as e:
    raise ConfigError(f'--results={path} is not JSON ({e}); name another file') from e
  versions = {name: importlib.metadata.version(name) for name in ('jax', 'libtpu')}
  new = case | {'date': datetime.date.today().isoformat(), **versions} | facts
  path.parent.mkdir(parents=True, exist_ok=True)
  others = [entry for entry in known if any(entry.get(key) != value for key, value in case.items())]
  manifest.write_bytes(path, manifest.readable([*others, new]))


if __name__ == '__main__':
  app.run(main)
