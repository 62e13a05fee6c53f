"""What a mesh asks for, told at once and with what would do; and what it leaves whole."""

from __future__ import annotations

import dataclasses
import math

import jax
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from inftool_jax.errors import ConfigError
from inftool_jax.models import decoder
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel import placing, rules
from inftool_jax.parallel.mesh import MeshShape
from tests.models.small import CONFIG

EVEN = dataclasses.replace(CONFIG, vocab=104, heads=16, kv_heads=8, head_dim=4)


def _problems(shape: MeshShape, devices: int, config=EVEN) -> list[str]:
  with pytest.raises(ConfigError) as error:
    meshes.build(shape, jax.devices()[:1] * devices, decoder.dimensions(config))
  first, *lines = str(error.value).split('\n')
  assert first == 'the mesh does not fit:' and all(line.startswith('  --config.mesh.') for line in lines)
  return [line.removeprefix('  --config.mesh.') for line in lines]


def test_one_device_has_no_mesh_and_asks_nothing() -> None:
  assert meshes.build(MeshShape(), jax.devices()[:1] * 8, decoder.dimensions(CONFIG)) is None
  assert meshes.build(MeshShape(data=-1), jax.devices()[:1], decoder.dimensions(CONFIG)) is None
  assert meshes.rows(None) == 1


def test_a_shape_that_is_not_the_devices_is_refused() -> None:
  (problem,) = _problems(MeshShape(fsdp=2, tensor=2), 8)
  assert problem.startswith('data: data 1 x fsdp 2 x tensor 2 x sequence 1 is 4 devices, and there are 8; -1 in the place of one axis')
  (problem,) = _problems(MeshShape(fsdp=-1, tensor=4), 6)
  assert problem == 'fsdp=-1: data 1 x tensor 4 x sequence 1 does not divide the 6 devices; the nearest product that does is 3'


@pytest.mark.parametrize(
  ('shape', 'changes', 'has', 'by', 'works'),
  [
    (MeshShape(tensor=8), {'kv_heads': 2}, "the parameter blocks.k has 2 in 'kv_heads'", 'tensor 8', 2),
    (MeshShape(tensor=8), {'heads': 20, 'kv_heads': 4}, "the parameter blocks.o has 20 in 'heads'", 'tensor 8', 4),
    (MeshShape(tensor=8), {'vocab': 97}, "the parameter embed has 97 in 'vocab'", 'tensor 8', 1),
    (MeshShape(tensor=8), {'ffn': 44}, "the parameter blocks.down has 44 in 'ffn'", 'tensor 8', 4),  # 11 is nearer, but of 8 devices?
    (MeshShape(fsdp=8), {'dim': 36}, "the parameter blocks.down has 36 in 'dim'", 'fsdp 8', 4),
  ],
)
def test_a_dimension_that_does_not_divide_is_named_with_its_size_the_axis_and_what_would(shape, changes, has, by, works) -> None:
  axis = by.replace(' ', '=')
  expected = f'{axis}: {has}, which {by} does not divide; the nearest that does is {works}'
  assert expected in _problems(shape, 8, dataclasses.replace(EVEN, **changes))


def test_attention_needs_a_key_head_for_each_part_of_a_row_too() -> None:
  problems = _problems(MeshShape(tensor=2, sequence=4), 8, dataclasses.replace(EVEN, heads=8, kv_heads=4))
  attention = 'attention has 4 key/value heads, which tensor 2 x sequence 4 does not divide; the nearest product that does is 4'
  assert problems == [f'tensor=2: {attention}']


def test_all_problems_of_a_mesh_are_told_at_once_each_once() -> None:
  problems = _problems(MeshShape(fsdp=5, tensor=3), 8)
  assert [p.split(':')[0] for p in problems] == ['data', 'fsdp=5', 'tensor=3', 'tensor=3', 'tensor=3']
  assert ['dim' in problems[1], "'vocab'" in ''.join(problems), "'kv_heads'" in ''.join(problems)] == [True] * 3


def test_a_mesh_says_what_share_of_the_parameters_it_does_not_divide() -> None:
  axes, like = decoder.logical_axes(EVEN), decoder.abstract(EVEN)
  scales = sum(math.prod(like['blocks'][name].shape) for name in ('attention_norm', 'ffn_norm')) + EVEN.dim
  biases = sum(math.prod(like['blocks'][name].shape) for name in ('q_bias', 'k_bias', 'v_bias'))
  both, width, copies = (AbstractMesh(sizes, rules.AXES) for sizes in ((1, 2, 4, 1), (1, 8, 1, 1), (8, 1, 1, 1)))
  assert meshes.whole(both, axes, like) == scales / EVEN.parameters < meshes.MOST_WHOLE
  assert meshes.describe(both, axes, like) == 'mesh of 8 devices: fsdp 2, tensor 4'
  assert meshes.whole(width, axes, like) == (scales + biases) / EVEN.parameters
  assert meshes.describe(copies, axes, like) == 'mesh of 8 devices: data 8; every device holds 100.0% of the parameters whole'


# --- The rules ---


def test_rules_name_mesh_axes_and_cannot_be_changed() -> None:
  for table in (rules.PARAMETERS, rules.ACTIVATIONS):
    assert {axis for axes in table.values() for axis in axes} <= set(rules.AXES)
    with pytest.raises(TypeError):
      table['dim'] = ('data',)  # type: ignore[index]
  assert rules.spec(('layers', 'dim', 'heads'), rules.PARAMETERS) == PartitionSpec(None, 'fsdp', 'tensor')
  with pytest.raises(KeyError, match='width'):
    rules.spec(('width',), rules.PARAMETERS)


def test_without_a_mesh_constraints_leave_no_trace() -> None:
  def plain(x):
    return x * 2

  def named(x):
    x = placing.constrain(x, 'batch', 'dim')
    x = placing.by_shard(lambda part: placing.total(part, 'batch') * 2, (('batch', 'dim'),), ('batch', 'dim'))(x)
    return placing.constrain_parameters({'a': x}, {'a': ('vocab', 'dim')})['a']

  named.__name__ = 'plain'
  x = jax.ShapeDtypeStruct((8, 4), 'float32')
  assert jax.jit(named).lower(x).as_text() == jax.jit(plain).lower(x).as_text()
