"""What the text of a compiled program tells: its kernels, its arrays, and the bytes its collectives move over each axis of the mesh."""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

Computations = Mapping[str, Sequence[str]]  # name -> its lines
ENTRY = ''  # also names the computation that begins the program

_HEAD = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
_COLLECTIVE = re.compile(r' = (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(-start)?\(')
_CHANNEL = re.compile(r'channel_id=\d+')
_SHARED = 'channel_id=1'  # of what is written in a `shard_map` (jax 0.10)
_FRAME = re.compile(r'stack_frame_id=\d+')
_SHAPE = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\]')
_CALLS = re.compile(r'\b(?:calls|to_apply|branch_computations|true_computation|false_computation)=(\{[^}]*\}|%[\w.-]+)')
_RUNS = re.compile(r' (?:call|conditional|async-start)\(')  # what they name runs by itself, not as part of one instruction
_WHILE = re.compile(r'\bcondition=%([\w.-]+), body=%([\w.-]+)')
_COMPARED = re.compile(r'ROOT .* compare\(%([\w.-]+), %([\w.-]+)\), direction=LT')
_CONSTANT = re.compile(r' constant\((\d+)\)')
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 's16': 2, 'u16': 2, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8}


def computations(text: str) -> Computations:
  """The program's computations; that under `ENTRY` is where it begins."""
  out: dict[str, list[str]] = {}
  lines: list[str] = []
  for line in text.splitlines():
    if head := _HEAD.match(line):
      lines = out[head[2]] = []
      if head[1]:
        out[ENTRY] = lines
    else:
      lines.append(line)
  return out


def kernels(text: str) -> collections.Counter[str]:
  """How often each Pallas kernel is called in the text, by name."""
  return collections.Counter(name for line in text.splitlines() if (name := kernel(line)))


def kernel(line: str) -> str | None:
  """The name of the Pallas kernel that an instruction calls."""
  if 'custom_call_target="tpu_custom_call"' not in line:
    return None
  return re.sub(r'[.\d]+$', '', line.split(' = ')[0].strip().removeprefix('ROOT ').lstrip('%'))


def shapes(text: str) -> set[tuple[int, ...]]:
  """Of every array that a device holds or computes."""
  return {tuple(map(int, dims.split(','))) for _, dims in _SHAPE.findall(text) if dims}


def executed(found: Computations, loops: Sequence[float], inside: bool) -> Iterator[tuple[str, str, float]]:
  """(computation, line, how often) of every instruction that one run of the program executes.

  Args:
    loops: how often the loops run whose end is known only when they run, by depth, the outermost first.
    inside: whether to tell what fusions and reductions are made of, or only themselves.

  Raises:
    ValueError: such loops are nested deeper than `loops` says.
  """

  def visit(name: str, times: float, loops: Sequence[float]) -> Iterator[tuple[str, str, float]]:
    for line in found[name]:
      yield name, line, times
      if loop := _WHILE.search(line):
        trips = _trips(found[loop[1]], found[loop[2]])
        if trips is None and not loops:
          raise ValueError('a loop runs as often as data says, and how often was not given')
        yield from visit(loop[2], times * (loops[0] if trips is None else trips), loops[1:] if trips is None else loops)
      elif (called := _CALLS.search(line)) and (inside or _RUNS.search(line)):
        for inner in re.findall(r'%([\w.-]+)', called[1]):
          yield from visit(inner, times, loops)

  yield from visit(ENTRY, 1, loops)


def collective_bytes(text: str, mesh: jax.sharding.Mesh, loops: Sequence[float]) -> dict[str, float]:
  """Bytes that one device sends in one run of the program, by the mesh axes that a collective goes over (`tensor`, `fsdp tensor`).

  As ring algorithms send them: of n devices (n - 1) / n of the whole array for a gather or a reduce-scatter, twice that for an
  all-reduce, all of it for a permutation. For `loops` see `executed`.
  """
  total: dict[str, float] = collections.defaultdict(float)
  for name, line, times in collectives(computations(text), loops):
    kind, result, started = _COLLECTIVE.search(line).group(2, 1, 3)  # type: ignore[union-attr]
    # A reduce-scatter may stand there as a fused all-reduce of which each device keeps its part.
    kind = 'reduce-scatter-whole' if name.startswith('all-reduce-scatter') else kind
    members = _members(line, mesh.size)
    total[_axes(members, mesh)] += times * _sent(kind, result, bool(started), len(members))
  return dict(total)


def collectives(found: Computations, loops: Sequence[float]) -> list[tuple[str, str, float]]:
  """(computation, line, how often) of every collective. What does a step of one beside other work repeats it; it is told once.

  Steps of one collective have its channel. Those that are written in a `shard_map` all have the same one: there each counts that is in
  no fusion, and in fusions shape and place in the traced program tell them apart.
  """
  alone = {name for name, _, _ in executed(found, loops, inside=False)}
  told: list[tuple[str, str, float]] = []
  by_step: dict[tuple[str, ...], tuple[str, str, float]] = {}
  for each in executed(found, loops, inside=True):
    name, line, times = each
    if not (collective := _COLLECTIVE.search(line)):
      continue
    channel, frame = (found[0] if found else '' for found in (_CHANNEL.search(line), _FRAME.search(line)))
    if not channel or (channel == _SHARED and name in alone):
      told.append(each)
      continue
    step = (channel, str(_SHAPE.findall(collective[1])), frame) if channel == _SHARED else (channel,)
    if step not in by_step or by_step[step][2] < times:
      by_step[step] = each
  return [*told, *by_step.values()]


def _trips(condition: Sequence[str], body: Sequence[str]) -> int | None:
  """How often a loop runs that counts from 0 up to a constant; None if its end is something else."""
  compared = next((found for line in condition if (found := _COMPARED.search(line))), None)
  if compared is None or any(' and(' in line for line in condition):
    return None
  counter, end = (_definition(condition, name) for name in compared.groups())
  if not (bound := _CONSTANT.search(end)):
    return None
  place = int(counter.split('index=')[1].split(',')[0])
  result = next(line for line in reversed(body) if line.lstrip().startswith('ROOT'))
  counted = _definition(body, re.findall(r'%([\w.-]+)', result.split(' tuple(')[1])[place])
  addends = (_definition(body, name) for name in re.findall(r'%([\w.-]+)', counted.split(' add(')[1].split(')')[0]))
  step = next(int(found[1]) for line in addends if (found := _CONSTANT.search(line)))  # the compiler unrolls some by 2
  return -(-int(bound[1]) // step)


def _definition(lines: Sequence[str], name: str) -> str:
  return next(line for line in lines if line.lstrip().removeprefix('ROOT ').startswith(f'%{name} = '))


def _sent(kind: str, result: str, started: bool, n: int) -> float:
  arrays = [BYTES[dtype] * math.prod(int(d) for d in dims.split(',') if d) for dtype, dims in _SHAPE.findall(result)]
  size = max(arrays) if started and kind != 'all-reduce' else sum(arrays)  # a started one's result holds its operand, too
  share = (n - 1) / n
  shares = {
    'all-gather': share,
    'all-to-all': share,
    'all-reduce': 2 * share,
    'reduce-scatter': n - 1,  # the result is a part
    'reduce-scatter-whole': share,
    'collective-permute': 1,
  }
  return size * shares[kind]


def _members(line: str, devices: int) -> list[int]:
  """The devices of the first group of a collective, as numbers along the flattened mesh; of a permutation the first pair that differs."""
  if pairs := re.search(r'source_target_pairs=\{(.*?)\}\}', line):
    moves = [tuple(map(int, pair)) for pair in re.findall(r'\{(\d+),(\d+)', pairs[1] + '}')]
    return list(next((move for move in moves if move[0] != move[1]), moves[0]))
  if listed := re.search(r'replica_groups=\{\{([\d,]+)\}', line):
    return [int(n) for n in listed[1].split(',')]
  if iota := re.search(r'replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', line):
    grid = np.arange(devices).reshape([int(n) for n in iota[3].split(',')])
    if iota[4]:
      grid = grid.transpose([int(n) for n in iota[4].split(',')])
    return grid.reshape(int(iota[1]), int(iota[2]))[0].tolist()
  if named := re.search(r'replica_groups=mesh\[(.*?)\] \{(.*?)\}', line):
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
    over = re.findall(r"'(\w+)'", named[2])
    place = tuple(slice(None) if name in over else 0 for name in sizes)
    return np.arange(devices).reshape(list(sizes.values()))[place].reshape(-1).tolist()
  return list(range(devices))  # all devices are one group


def _axes(members: Sequence[int], mesh: jax.sharding.Mesh) -> str:
  """The axes along which the members differ."""
  places = np.array(np.unravel_index(members, mesh.devices.shape))
  return ' '.join(axis for axis, along in zip(mesh.axis_names, places) if (along != along[0]).any())
