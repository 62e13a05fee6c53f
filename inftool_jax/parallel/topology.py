"""TPU topologies as devices that one can compile for on a host without any, and what a chip of theirs has."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Sequence

import jax
from jax.experimental import topologies

from inftool_jax.errors import ConfigError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """As Google publishes it (cloud.google.com/tpu/docs, per chip)."""

  memory: int  # bytes of HBM
  flops: float  # bf16 a second
  bandwidth: float  # of HBM, bytes a second
  links: float  # bytes a second that all links to other chips of a slice send together, half of what is published for both directions


CHIPS = {
  'v5e': Chip(16 * GIB, 197e12, 819e9, 200e9),
  'v5p': Chip(95 * GIB, 459e12, 2765e9, 600e9),
  'v6e': Chip(32 * GIB, 918e12, 1638e9, 400e9),
}


def _parts(name: str) -> tuple[int, str, str]:
  """(slices, chip, shape of a slice)."""
  slices, its, shape = re.fullmatch(r'(?:(\d+)x(?=v))?([^:]*):?(.*)', name).groups()  # type: ignore[union-attr]
  if its not in CHIPS or slices == '0':
    raise ConfigError(f'--topology={name}: begins with none of {", ".join(CHIPS)}; write for example v5p:4x4x4, or two such: 2xv5p:4x4x4')
  return int(slices or 1), its, shape


def chip(name: str) -> Chip:
  """The chips of a topology such as `v5p:4x4x4` or `2xv5p:4x4x4`, two slices. Raises ConfigError for one we have no figures of."""
  return CHIPS[_parts(name)[1]]


def devices(name: str) -> tuple[Sequence[jax.Device], Chip]:
  """The devices of a topology such as `v5p:4x4x4`, one for each chip of all of its slices.

  Call it before anything else asks JAX for devices: it has this process compute on CPU.

  Raises:
    ConfigError: a chip we have no figures of, a shape that it does not come in, or the extra `tpu` is not installed.
  """
  slices, kind, shape = _parts(name)
  if importlib.util.find_spec('libtpu') is None:
    raise ConfigError("the TPU compiler is not installed; pip install 'inftool_jax[tpu]'")
  jax.config.update('jax_platforms', 'cpu')
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')  # asks no metadata server what this host is
  os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')  # nothing runs on a TPU here: processes need not exclude each other
  several = {'num_slices': slices} if slices > 1 else {}
  try:
    return topologies.get_topology_desc(platform='tpu', topology_name=f'{kind}:{shape}', **several).devices, CHIPS[kind]
  except jax.errors.JaxRuntimeError as e:
    raise ConfigError(f'--topology={name}: {str(e).splitlines()[0]}') from e
