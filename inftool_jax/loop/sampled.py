"""What the sampler did in a stage: kept in the stage's folder, shown in the report."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator

from inftool_jax.data import manifest
from inftool_jax.report.model import Table
from inftool_jax.sampling.replicas import Replicas

FILE = 'sampler.json'
SHARES = frozenset({'occupancy', 'cache hits', 'pages in use', 'host share'})


@contextlib.contextmanager
def kept(folder: pathlib.Path, sampler: Replicas) -> Iterator[None]:
  """Writes what the sampler does inside. A stage that goes on after a crash tells of the last process."""
  before = dataclasses.replace(sampler.stats)
  yield
  if sampler.stats.dispatches > before.dispatches:
    manifest.write_bytes(folder / FILE, manifest.readable(sampler.stats.metrics(before)))


def table(folders: dict[str, pathlib.Path]) -> Table:
  """A row for each stage that sampled."""
  found = {name: json.loads((folder / FILE).read_text()) for name, folder in folders.items() if (folder / FILE).exists()}
  if not found:
    return Table((), ())
  columns = tuple(next(iter(found.values())))
  return Table(('stage', *columns), tuple((name, *(m[c] for c in columns)) for name, m in found.items()), SHARES)
