"""Topologies by name; without the TPU compiler the tests of those that exist are skipped."""

from __future__ import annotations

import importlib.util

import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.parallel import topology

HAVE = importlib.util.find_spec('libtpu') is not None


def test_a_chip_without_figures_is_refused_with_those_there_are() -> None:
  with pytest.raises(ConfigError, match=r'--topology=v4:2x2x1: begins with none of v5e, v5p, v6e; write for example v5p:4x4x4'):
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
