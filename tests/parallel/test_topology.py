"""Topologies by name; without the TPU compiler the tests of those that exist are skipped."""

from __future__ import annotations

import importlib.util

import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.parallel import mesh as meshes
from inftool_jax.parallel import topology
from inftool_jax.parallel.mesh import MeshShape

HAVE = importlib.util.find_spec('libtpu') is not None


def test_a_chip_without_figures_is_refused_with_those_there_are() -> None:
  with pytest.raises(ConfigError, match=r'--topology=v4:2x2x1: begins with none of v5e, v5p, v6e; write for example v5p:4x4x4, or two'):
    topology.devices('v4:2x2x1')


@pytest.mark.skipif(HAVE, reason='the TPU compiler is installed')
def test_without_the_compiler_the_extra_is_named() -> None:
  with pytest.raises(ConfigError, match=r"pip install 'inftool_jax\[tpu\]'"):
    topology.devices('v5p:4x4x4')


@pytest.mark.skipif(not HAVE, reason='needs the TPU compiler, extra tpu')
def test_a_topology_has_a_device_for_each_chip_and_a_wrong_shape_is_refused() -> None:
  devices, chip = topology.devices('v5e:4x4')
  assert len(devices) == 16 and {d.platform for d in devices} == {'tpu'} and chip.memory == 16 * topology.GIB
  with pytest.raises(ConfigError, match=r'--topology=v5p:3x3x3: .*not divisible'):
    topology.devices('v5p:3x3x3')


@pytest.mark.skipif(not HAVE, reason='needs the TPU compiler, extra tpu')
def test_the_data_axis_goes_from_slice_to_slice_and_no_other_does() -> None:
  devices, _ = topology.devices('2xv5p:2x2x1')
  assert len(devices) == 8 and [d.slice_index for d in devices].count(1) == 4
  mesh = meshes.build(MeshShape(data=4, fsdp=-1), devices, ())
  assert mesh is not None and meshes.crosses(mesh)
  assert [{d.slice_index for d in part.flat} for part in mesh.devices] == [{0}, {0}, {1}, {1}]
  with pytest.raises(ConfigError, match=r'--config.mesh.data=1: it goes from slice to slice, of which the devices are in 2; choose'):
    meshes.build(MeshShape(fsdp=-1), devices, ())


@pytest.mark.skipif(not HAVE, reason='needs the TPU compiler, extra tpu')
@pytest.mark.parametrize(('name', 'shape'), [('v6e:8x8', (16, 4)), ('v5e:16x16', (64, 4)), ('v5p:4x4x4', (16, 4)), ('v6e:16x16', (64, 4))])
def test_every_kind_of_chips_takes_fsdp_and_tensor_axes_that_are_no_axes_of_its_own(name: str, shape: tuple[int, int]) -> None:
  devices, _ = topology.devices(name)
  mesh = meshes.build(MeshShape(fsdp=-1, tensor=shape[1]), devices, ())
  assert mesh is not None and (mesh.shape['fsdp'], mesh.shape['tensor']) == shape
  for row in mesh.devices[0, :, :, 0]:  # along the tensor axis chips are neighbors: in a square of 2 x 2, or in line
    far = max(sum(abs(a - b) for a, b in zip(x.coords, y.coords)) for x in row for y in row)
    assert far <= 3
