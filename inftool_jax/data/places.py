"""Where a run's files are: a folder on disk, or a prefix in an object store (`gs://bucket/run`).

Both are used through the methods of `pathlib.Path`, which `etils.epath` has for object stores; here is what differs. In an object store
a file is there, whole, when its upload ends; there are no folders, and nothing can be renamed. Libraries that want a file on disk
(ArrayRecord, safetensors, TensorBoard) get one: written into a temporary folder and then uploaded, or downloaded before it is read.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from inftool_jax.errors import StoreError


def place(path: str | os.PathLike[str]) -> Path:
  """A `pathlib.Path`, or what has its methods in an object store. Raises StoreError when that store cannot be reached from here."""
  if not is_remote(path):
    return Path(path)
  if not os.fspath(path).startswith('gs://'):
    raise StoreError(f'{path}: folders and gs:// are known, no other stores')
  if not any(map(importlib.util.find_spec, ('gcsfs', 'tensorflow'))):
    raise StoreError(f"{path}: to use gs://, pip install 'inftool_jax[gs]'")
  import fsspec  # both are slow to load, and rarely needed
  from etils import epath

  # TensorStore writes there, too, unseen by a cache of listings.
  fsspec.config.conf.setdefault('gcs', {}).setdefault('use_listings_cache', False)
  return epath.Path(path)  # type: ignore[return-value]


def is_remote(path: str | os.PathLike[str]) -> bool:
  return '://' in os.fspath(path)


def size(path: Path) -> int:
  """Of a file, in bytes."""
  return path.stat().length if is_remote(path) else path.stat().st_size  # type: ignore[attr-defined]


def remove(path: Path) -> None:
  """A file, a link, or a folder with all that is in it; nothing if it is not there."""
  if not path.is_dir() or (not is_remote(path) and path.is_symlink()):
    path.unlink(missing_ok=True)
  elif is_remote(path):
    path.rmtree()  # type: ignore[attr-defined]
  else:
    shutil.rmtree(path)


@contextlib.contextmanager
def staged(folder: Path, last: str) -> Iterator[Path]:
  """The folder to write files to that come to `folder`: itself on disk, else a temporary one that is uploaded at the end.

  The file `last` says that the others are there: it is removed before they are uploaded, and follows when they are. Raises OSError.
  """
  if not is_remote(folder):
    yield folder
    return
  with tempfile.TemporaryDirectory() as name:
    yield Path(name)
    (folder / last).unlink(missing_ok=True)
    send(Path(name), folder, last)


def send(folder: Path, target: Path, last: str = '') -> None:
  """Copies all files of a folder on disk, `last` after the others. Raises OSError."""
  for file in sorted((f for f in folder.rglob('*') if f.is_file()), key=lambda f: (f == folder / last, f)):
    _copy(file, target / file.relative_to(folder).as_posix())


def fetched(folder: Path, names: Iterable[str], into: Path) -> Path:
  """The folder in which files of `folder` can be read from disk: itself, or `into`, to which they are downloaded. Raises OSError."""
  if not is_remote(folder):
    return folder
  for name in names:
    _copy(folder / name, into / name)
  return into


def upload(path: Path, data: bytes) -> None:
  """Writes an object. Raises OSError."""
  with _only_os_errors(), path.open('wb') as f:
    f.write(data)


def _copy(source: Path, target: Path) -> None:
  with _only_os_errors(), source.open('rb') as f, target.open('wb') as g:
    shutil.copyfileobj(f, g, 16 << 20)


@contextlib.contextmanager
def _only_os_errors() -> Iterator[None]:
  """A store's client has exceptions of its own for what the network does."""
  try:
    yield
  except OSError:
    raise
  except Exception as e:
    raise OSError(f'{type(e).__name__}: {e}') from e
