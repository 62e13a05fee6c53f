"""The programs of a config, ready to be compiled for devices that are not there: updates of the learner, dispatches of the sampler."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from inftool_jax.errors import ConfigError
from inftool_jax.loop import batches, context
from inftool_jax.models import decoder, page_kernel, paged, splash
from inftool_jax.models.config import DecoderConfig
from inftool_jax.parallel import ahead, counting
from inftool_jax.parallel import mesh as meshes
from inftool_jax.sampling import programs, work
from inftool_jax.sampling.places import Places
from inftool_jax.settings import Settings
from inftool_jax.training import abstract, exchange, objectives, optimizer, step

LEARNER, SAMPLER = ('grpo', 'sft'), ('prefill', 'decode')


@dataclasses.dataclass(frozen=True)
class Case:
  """One program, ready to be compiled."""

  name: str
  what: str  # its sizes in words
  mesh: Mesh | None  # None: one chip
  function: Any
  arguments: tuple[Any, ...]
  loops: tuple[float, ...]  # see `counting.flops`
  stays: Mapping[str, int]  # what of the arguments is there between two runs, too: bytes on one chip
  handed_over: int = 0  # bytes on one chip of the largest of the learner's weights, as they are cast for the sampler one by one
  model_flops: float | None = None  # of an update, of all chips; None: there is no such number
  least: Mapping[str, float] = dataclasses.field(default_factory=dict)  # see `exchange.least`
  cells: counting.Cells = splash.cells  # of kernels' grids; see `counting.flops`
  moved: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by kernels; see `traffic.memory_bytes`


def make(name: str, settings: Settings, shape: DecoderConfig, devices: Sequence[jax.Device]) -> Case:
  return (learner if name in LEARNER else sampler)(name, settings, shape, devices)


def learner(name: str, settings: Settings, shape: DecoderConfig, devices: Sequence[jax.Device]) -> Case:
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
  state, frozen = abstract.state(shape, transform, mesh), abstract.frozen(shape, mesh)
  held = {'masters': state.params, 'optimizer': state.opt_state, 'frozen base': frozen}
  return Case(
    name,
    f'{over}; {M} micro-batches of {R} rows of {T:,} tokens; remat {shape.remat}, compute {shape.compute_dtype}{adapters}',
    mesh,
    step.make(shape, transform, objective, mesh),
    (state, abstract.batch(M, R, T, mesh), frozen),
    (M, -(-positions // step.HEAD_CHUNK)),
    {part: size for part, arrays in held.items() if (size := ahead.argument_bytes(arrays))},
    ahead.argument_bytes(max(_cast(state.params, shape.compute_dtype), key=ahead.argument_bytes)),
    M * R * T * update_flops(shape, T),
    exchange.least(shape, mesh, M, R, T),
  )


def _cast(params: Any, dtype: str) -> list[jax.ShapeDtypeStruct]:
  return [jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding) for x in jax.tree.leaves(params)]


def update_flops(shape: DecoderConfig, length: int) -> float:
  """Of a token: the backward pass takes twice the forward pass's. A frozen base needs no gradient, which is half of its products' share."""
  products = shape.forward_flops(0)
  return (2 if shape.lora else 3) * products + 3 * (shape.forward_flops(length) - products)


def with_rows(settings: Settings, name: str, rows: int, parts: int) -> Settings:
  """The same with `rows` rows of a micro-batch on each of `parts` parts of the mesh, and as many rows in all as before or a few more."""
  if name == 'grpo':
    return dataclasses.replace(settings, rounds=dataclasses.replace(settings.rounds, rows=rows))
  s = settings.sft
  micro_batches = -(-s.rows * s.micro_batches // (rows * parts))
  return dataclasses.replace(settings, sft=dataclasses.replace(s, rows=rows * parts, micro_batches=micro_batches))


def sampler(name: str, settings: Settings, shape: DecoderConfig, devices: Sequence[jax.Device]) -> Case:
  """A dispatch of a replica of the sampler, on the first `sampling.tensor` chips, its cache full."""
  s = settings.sampling
  if s.tensor > len(devices):
    raise ConfigError(f'--config.sampling.tensor={s.tensor}: the topology has {len(devices)} chips')
  sizes = context.sampler_config(settings)
  sizes = dataclasses.replace(sizes, pages=sizes.pages or sizes.slots * sizes.blocks + 1)
  places = Places.over(devices[: s.tensor], shape, s.int8)
  prefill, _, decode = programs.make(sizes, places)
  params = jax.eval_shape(lambda: places.served(decoder.init(shape, 0), shape))
  pool = jax.eval_shape(lambda: paged.empty_pool(places.config, sizes.pages, sizes.page, 'tpu'))
  rows = s.prefill if name == 'prefill' else s.slots
  empty = programs.empty_tokens(rows) if name == 'prefill' else programs.empty_request(sizes, rows, shape.vocab)
  batch = jax.eval_shape(lambda: (empty, work.plan([], rows, sizes.blocks)))
  placed = lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
  whole = functools.partial(placed, place=places.whole)
  weights = jax.tree.map(placed, params, places.weights) if places.mesh else jax.tree.map(whole, params)
  cache = jax.tree.map(placed, pool, places.cache)
  steps = (s.decode_steps,) if name == 'decode' else ()
  attention: dict[str, Any] = {}
  if page_kernel.fits(shape.head_dim, s.page):
    # No page is shared. A query's partial results are put together in as many runs of a loop as it has pages; the loop of the kernel's
    # calls is as deep, so that a call is told as a part of the items as large.
    loops, one = (*steps, sizes.blocks), page_kernel.name(1)
    heads = places.config.kv_heads // s.tensor
    page_bytes = s.page * heads * 2 * shape.head_dim * cache[0].dtype.itemsize
    in_a_cell = page_kernel.at_once(1, page_bytes)
    size = page_bytes + page_kernel.result_bytes(1, heads, shape.heads // places.config.kv_heads, shape.head_dim)
    attention = {
      'cells': lambda kernel, grid: rows / in_a_cell * (kernel == one),
      'moved': {one: rows * size, page_kernel.name(paged.GROUP): 0.0},
    }
  else:
    loops = (*steps, rows * sizes.blocks / (paged.SINGLES + paged.GROUPS * paged.GROUP))  # pages by a query, of one run of both loops
  numbers = shape.compute_dtype + (', matrices in int8' if s.int8 else '')
  what = f'{rows} tokens' if name == 'prefill' else f'{s.decode_steps} steps of {rows} requests'
  return Case(
    name,
    f'a replica on {s.tensor} chips; {what}; {sizes.pages:,} pages of {s.page} tokens; compute {numbers}',
    places.mesh,
    prefill if name == 'prefill' else decode,
    (weights, cache, *jax.tree.map(whole, batch)),
    loops,
    {"sampler's weights": ahead.argument_bytes(weights), 'cache': ahead.argument_bytes(cache)},
    **attention,
  )
