"""How many pages the cache has."""

from __future__ import annotations

import jax
import numpy as np

from inftool_jax.errors import ConfigError
from inftool_jax.models import paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling.places import Places
from inftool_jax.sampling.programs import SamplerConfig

USED = 0.8  # of the free memory: the rest is for the programs' temporaries


def page_bytes(config: DecoderConfig, size: int) -> int:
  """Of one page in all layers."""
  pool = jax.eval_shape(lambda: paged.empty_pool(config, 1, size, 'cpu'))
  return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in pool)


def pages(sizes: SamplerConfig, places: Places) -> int:
  """The config's number; else what the device's free memory takes, or, if it does not tell, all slots' whole contexts.

  Raises:
    ConfigError: not enough for a single conversation.
  """
  stats = [device.memory_stats() for device in places.devices]
  count = sizes.pages
  if not count and None in stats:
    count = sizes.slots * sizes.blocks + 1
  elif not count:
    free = sum(s['bytes_limit'] - s['bytes_in_use'] for s in stats)
    count = int(free * USED) // page_bytes(places.config, sizes.page)
  if count < sizes.blocks + 1:
    where = '--config.sampling.pages' if sizes.pages else f'the free memory of {places.devices[0]}'
    raise ConfigError(
      f'{where}: {count} pages of {sizes.page} tokens are fewer than the {sizes.blocks + 1} that one conversation of '
      f'--config.sampling.context={sizes.context} takes ({page_bytes(places.config, sizes.page) / 2**20:.1f} MiB each)'
    )
  return count
