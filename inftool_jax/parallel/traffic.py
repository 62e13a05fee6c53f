"""The bytes that a compiled program moves to and from a device's main memory (HBM), from its text.

Each instruction reads its operands and writes its results, a fusion as one instruction. Of an array that is only sliced or updated
in place what is touched counts; what the compiler placed in on-chip memory (a layout with `S(1)`) counts nothing. A kernel or a
collective counts its operands and results once, however often it reads them, unless it is told what a call of it moves: the sum is of
what must be moved.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from inftool_jax.parallel import hlo

_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$')
_ARRAY = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\](\{[^}]*\})?')
_CALLED = re.compile(r'\bcalls=%([\w.-]+)')
_OTHER_MEMORY = re.compile(r'S\([1-9]')
# They move nothing themselves: names for parts of others, and the ends of what was counted when it started.
_FREE = {
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'while', 'conditional', 'call', 'after-all', 'partition-id',
  'replica-id', 'opt-barrier', 'async-start', 'async-update',
}  # fmt: skip
_COLLECTIVES = {'all-gather', 'all-reduce', 'reduce-scatter', 'all-to-all', 'collective-permute'}
# What passes through a fusion that does a step of a collective; the collective itself is counted apart.
_PASSING = {'parameter', 'get-tuple-element', 'custom-call', *_COLLECTIVES}
_COPIES = {'bitcast', 'copy', 'convert'}
_SLICES = {'dynamic-slice', 'slice', 'gather'}
_UPDATES = {'dynamic-update-slice': 1, 'scatter': 2}  # -> which operand is written into the first


class _Instruction:
  """A line of a program, taken apart."""

  def __init__(self, line: str, name: str, result: str, kind: str, rest: str) -> None:
    self.name, self.result, self.kind = name, result, kind
    arguments = rest.split('), ')[0]
    self.operands = [] if kind in ('parameter', 'constant') else re.findall(r'%([\w.-]+)', arguments)
    self.number = int(re.match(r'\d+', rest)[0]) if kind == 'parameter' else -1  # type: ignore[index]
    self.called = found[1] if (found := _CALLED.search(line)) else None
    self.root = line.lstrip().startswith('ROOT')

  @functools.cached_property
  def size(self) -> int:
    """Bytes of the result that lie in main memory."""
    return sum(_bytes(array) for array in _ARRAY.findall(self.result) if not _OTHER_MEMORY.search(array[2]))


Program = Mapping[str, Mapping[str, _Instruction]]  # computation -> name -> instruction


def memory_bytes(text: str, loops: Sequence[float], kernels: Mapping[str, float] = MappingProxyType({})) -> float:
  """Of one device, in one run of the program; for `loops` see `hlo.executed`.

  `kernels` tells of Pallas kernels that touch parts of their operands only, by name, what a call moves.
  """
  found = hlo.computations(text)
  program: Program = {name: {i.name: i for line in lines if (i := _parsed(line))} for name, lines in found.items()}
  total = 0.0
  for name, line, times in hlo.executed(found, loops, inside=False):
    if (instruction := _parsed(line)) and not _elsewhere(instruction.kind):
      known = kernels.get(hlo.kernel(line) or '')
      total += times * (_moved(program, name, instruction) if known is None else known)
  for name, line, times in hlo.collectives(found, loops):
    if instruction := _parsed(line):
      total += times * _moved(program, name, instruction)
  return total


def _elsewhere(kind: str) -> bool:
  """Whether what an instruction moves is counted with another, or it moves nothing."""
  return kind in _FREE or kind.endswith('-done') or kind.removesuffix('-start') in _COLLECTIVES


def _parsed(line: str) -> _Instruction | None:
  match = _INSTRUCTION.match(line)
  return _Instruction(line, *match.groups()) if match else None


def _moved(program: Program, where: str, instruction: _Instruction) -> int:
  here = program[where]
  if instruction.kind.removesuffix('-start') in _SLICES and instruction.kind.endswith('-start'):
    source, part = _ARRAY.findall(instruction.result)[:2]
    return sum(_bytes(part) for array in (source, part) if not _OTHER_MEMORY.search(array[2]))
  if instruction.kind.endswith('-start'):
    return instruction.size  # the result holds operand and destination
  read = [_read(program, here, instruction, i) for i in range(len(instruction.operands))]
  return sum(read) + _written(program, here, instruction)


def _read(program: Program, here: Mapping[str, _Instruction], user: _Instruction, place: int) -> int:
  """What an instruction reads of its operand number `place`."""
  operand = here.get(user.operands[place])
  size = operand.size if operand else 0
  if place == 0 and user.kind in _UPDATES:
    return 0
  if place == 0 and user.kind in _SLICES and size:
    return min(size, _whole(user))
  if user.kind != 'fusion' or not size or user.called is None:
    return size
  inner = program[user.called]
  parameter = next((i for i in inner.values() if i.number == place), None)
  return min(size, _touched(program, inner, parameter.name)) if parameter else size


def _touched(program: Program, inner: Mapping[str, _Instruction], name: str, copy: bool = False) -> int:
  """What a fusion reads of its parameter `name`, or of a copy of one: what is asked of a copy, and all of it where it is a result."""
  total = 0
  for user in inner.values():
    for place, operand in enumerate(user.operands):
      if operand != name or user.kind in ('custom-call', *_COLLECTIVES):
        continue
      if user.kind == 'tuple':
        total += _whole(inner[name]) * copy
      elif _copies(program, user):
        again = copy or user.kind != 'bitcast'
        asked = _whole(user) if again and user.root else _touched(program, inner, user.name, again)
        total += asked * _whole(inner[name]) // max(_whole(user), 1)
      else:
        total += _read(program, inner, user, place)
  return total


def _copies(program: Program, instruction: _Instruction) -> bool:
  """Does it give its operand in another form? Within a fusion nobody does so for parts that are not asked for."""
  if instruction.kind != 'fusion' or instruction.called is None:
    return instruction.kind in _COPIES
  return all(inner.kind == 'parameter' or _copies(program, inner) for inner in program[instruction.called].values())


def _written(program: Program, here: Mapping[str, _Instruction], instruction: _Instruction) -> int:
  if instruction.kind in _UPDATES and instruction.size:
    update = here.get(instruction.operands[_UPDATES[instruction.kind]])
    return _whole(update) if update else instruction.size
  if instruction.kind != 'fusion' or instruction.called is None:
    return instruction.size
  inner = program[instruction.called]
  root = next(i for i in inner.values() if i.root)
  parts = [inner[name] for name in root.operands if name in inner] if root.kind == 'tuple' else [root]
  sources = (_source(inner, part) for part in parts)
  return min(instruction.size, sum(_written(program, inner, part) for part in sources if part.kind not in _PASSING))


def _source(inner: Mapping[str, _Instruction], instruction: _Instruction) -> _Instruction:
  while instruction.kind == 'bitcast' and instruction.operands[0] in inner:
    instruction = inner[instruction.operands[0]]
  return instruction


def _whole(instruction: _Instruction) -> int:
  """Bytes of the result, wherever it lies."""
  return sum(map(_bytes, _ARRAY.findall(instruction.result)))


def _bytes(array: tuple[str, str, str]) -> int:
  dtype, dims, _ = array
  return hlo.BYTES.get(dtype, 0) * math.prod(int(d) for d in dims.split(',') if d)
