"""Folders in an object store, for all rooms; and one cache of compiled programs for every process that the tests start."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest

from inftool_jax.data import places
from tests.support import object_store

_numbers = itertools.count()
# Dozens of tests start the main job anew, each time with the same programs to compile; it is read by JAX when it is imported.
_compiled = tempfile.TemporaryDirectory(prefix='compiled_')
os.environ['JAX_COMPILATION_CACHE_DIR'] = _compiled.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'


@pytest.fixture
def objects() -> object_store.ObjectStore:
  pytest.importorskip('gcsfs', reason='the extra gs is not installed')
  return object_store.shared()


@pytest.fixture
def bucket(objects: object_store.ObjectStore) -> Path:
  """An empty folder in a bucket of its own."""
  return places.place(f'gs://bucket-{next(_numbers)}/run')
