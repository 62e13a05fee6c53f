"""How many pages the cache has."""

from __future__ import annotations

import jax
import numpy as np

from inftool_jax.errors import ConfigError
from inftool_jax.models import paged
from inftool_jax.models.config import DecoderConfig
from inftool_jax.sampling.programs import SamplerConfig

USED = 0.8  # of the free memory: the rest is for the programs' temporaries


def page_bytes(config: DecoderConfig, size: int) -> int:
  """Of one page in all layers."""
  pool = jax.eval_shape(lambda: paged.empty_pool(config, 1, size))
  return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in pool)


def pages(config: DecoderConfig, sizes: SamplerConfig, device: jax.Device) -> int:
  """The config's number; else what the device's free memory takes, or, if it does not tell, all slots' whole contexts.

  Raises:
    ConfigError: not enough for a single conversation.
  """
  stats = device.memory_stats()
  count = sizes.pages
  if not count and stats is None:
    count = sizes.slots * sizes.blocks + 1
  elif not count:
    count = int((stats['bytes_limit'] - stats['bytes_in_use']) * USED) // page_bytes(config, sizes.page)
  if count < sizes.blocks + 1:
    where = '--config.sampling.pages' if sizes.pages else f'the free memory of {device}'
    raise ConfigError(
      f'{where}: {count} pages of {sizes.page} tokens are fewer than the {sizes.blocks + 1} that one conversation of '
      f'--config.sampling.context={sizes.context} takes ({page_bytes(config, sizes.page) / 2**20:.1f} MiB each)'
    )
  return count
