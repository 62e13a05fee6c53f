"""Folders in an object store, for all rooms."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from inftool_jax.data import places
from tests.support import object_store

_numbers = itertools.count()


@pytest.fixture
def objects() -> object_store.ObjectStore:
  pytest.importorskip('gcsfs', reason='the extra gs is not installed')
  return object_store.shared()


@pytest.fixture
def bucket(objects: object_store.ObjectStore) -> Path:
  """An empty folder in a bucket of its own."""
  return places.place(f'gs://bucket-{next(_numbers)}/run')
