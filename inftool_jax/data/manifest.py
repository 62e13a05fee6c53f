"""Whole files and the manifests that make a stage count as done.

A file is written beside its place, synced and renamed, so that a reader sees the old bytes or the new ones and never a
part; in an object store (`data.places`) an upload is that already. Where a rename is a copy, a part of a signed file is
told by its missing end. A stage's folder is done when its `manifest.json`, written last, is complete; it holds the hash of every file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from inftool_jax import types
from inftool_jax.data import places
from inftool_jax.errors import StoreError

NAME = 'manifest.json'
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class FileEntry:
  sha256: str
  size: int  # bytes


@dataclasses.dataclass(frozen=True)
class StageManifest:
  """What a finished stage wrote, and what it was made from."""

  stage: str
  files: Mapping[str, FileEntry]  # path relative to the folder, '/' between its parts
  counts: Mapping[str, int]
  inputs: Mapping[str, str]  # name -> content hash
  wall_seconds: float

  @property
  def content_hash(self) -> str:
    """Hash of everything but the wall time: equal for two runs that made the same things."""
    return sha256_json({k: v for k, v in types.to_json(self).items() if k != 'wall_seconds'})


def sha256_file(path: Path) -> str:
  """Content hash of a file. Raises StoreError when it cannot be read."""
  digest = hashlib.sha256()
  try:
    with path.open('rb') as f:
      while chunk := f.read(_CHUNK_BYTES):
        digest.update(chunk)
  except OSError as e:
    raise StoreError(f'{path} cannot be read ({e.strerror or e}). Delete the folder {path.parent} to have it made again.') from e
  return digest.hexdigest()


def sha256_json(value: types.JSON) -> str:
  """Hash of a JSON value; the order of keys does not count."""
  return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def temporary(path: Path) -> Path:
  """Where the new bytes of `path` are put before the rename; the same place each time, so a crash leaves one at most."""
  return path.with_name(f'.{path.name}.tmp')


def sync(path: Path) -> None:
  """Forces a file or folder to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
  """Replaces `path` by `data`, whole or not at all. Raises StoreError (disk full, no permission); then `path` is as before."""
  if places.is_remote(path):
    try:
      return places.upload(path, data)
    except OSError as e:
      raise unwritable(path, e) from e
  part = temporary(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_synced(part, data)
    os.replace(part, path)
    sync(path.parent)
  except OSError as e:
    part.unlink(missing_ok=True)
    raise unwritable(path, e) from e


def write_synced(path: Path, data: bytes) -> None:
  """Writes and syncs in place, for files that are renamed later. Raises OSError."""
  with open(path, 'wb') as f:
    f.write(data)
    f.flush()
    os.fsync(f.fileno())


def unwritable(path: Path, cause: OSError) -> StoreError:
  return StoreError(f'{path} cannot be written ({cause.strerror or cause}). Make room or give permission, then run the same command again.')


def readable(value: types.JSON) -> bytes:
  """JSON for people: indented, UTF-8, a newline at the end."""
  return (json.dumps(value, indent=2, ensure_ascii=False) + '\n').encode()


def signed(body: Mapping[str, types.JSON]) -> bytes:
  """A JSON object together with its own hash, which `read_signed` checks."""
  return readable({**body, 'checksum': sha256_json(body)})


def read_signed(path: Path) -> dict[str, types.JSON] | None:
  """The object of a file that `signed` made, or None when the file is missing or incomplete.

  Raises StoreError when it is a whole file but its content is not what was written.
  """
  body = _whole(path)
  if body is None:
    return None
  checksum = body.pop('checksum')
  if checksum != sha256_json(body):
    raise StoreError(f'{path} was changed after it was written. Delete the folder {path.parent} to have it made again.')
  return body


def is_whole(path: Path) -> bool:
  """Whether a file that `signed` made is there and was not cut off; whether it was changed is for `read_signed` to say."""
  return _whole(path) is not None


def _whole(path: Path) -> dict[str, types.JSON] | None:
  try:
    body = json.loads(path.read_bytes())
  except FileNotFoundError:
    return None
  except OSError as e:
    raise StoreError(f'{path} cannot be read ({e.strerror or e}). Give permission or choose another workdir.') from e
  except ValueError:  # cut off or not UTF-8
    return None
  return body if isinstance(body, dict) and 'checksum' in body else None


def begin(folder: Path, keep: Iterable[str] = ()) -> None:
  """Readies `folder` for a stage that is not done: what an interrupted run left goes, but for the names in `keep`.

  Raises StoreError when the stage is done, so that finished work is never removed.
  """
  if find(folder) is not None:
    raise StoreError(f'{folder} holds a finished stage. Delete it first to have it made again.')
  kept = frozenset(keep)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in sorted(folder.iterdir()) if folder.exists() else ():  # an object store has no empty folders
      if entry.name not in kept:
        places.remove(entry)
  except OSError as e:
    raise unwritable(folder, e) from e


def commit(
  folder: Path, stage: str, files: Iterable[Path], counts: Mapping[str, int], inputs: Mapping[str, str], wall_seconds: float
) -> StageManifest:
  """Hashes `files` (all inside `folder`) and writes the manifest, which makes the stage count as done."""
  relative = sorted(f.relative_to(folder).as_posix() for f in files)
  entries = {name: FileEntry(sha256_file(folder / name), places.size(folder / name)) for name in relative}
  manifest = StageManifest(stage, entries, dict(counts), dict(inputs), wall_seconds)
  write_bytes(folder / NAME, signed(types.to_json(manifest)))
  return manifest


def find(folder: Path) -> StageManifest | None:
  """The manifest of a stage, its files not looked at; None when the stage is not done."""
  path = folder / NAME
  body = read_signed(path)
  if body is None:
    return None
  try:
    return types.from_json(StageManifest, body)
  except ValueError as e:
    raise StoreError(f'{path} is of another version of this program ({e}). Use a new workdir.') from e


def verify(folder: Path, manifest: StageManifest) -> None:
  """Compares every file of a stage with its hash. Raises StoreError naming the first that differs."""
  for name, entry in manifest.files.items():
    path = folder / name
    if not path.is_file():
      raise StoreError(f'{path} is missing, but {folder / NAME} lists it. Delete the folder {folder} to have it made again.')
    if places.size(path) != entry.size or sha256_file(path) != entry.sha256:
      raise StoreError(f'{path} does not have the content that was written. Delete the folder {folder} to have it made again.')


def done(folder: Path, inputs: Mapping[str, str]) -> StageManifest | None:
  """The verified manifest of a stage made from `inputs`; None when the stage is not done and must be (re)written.

  Raises StoreError when a file is damaged, or when the stage was made from other inputs.
  """
  manifest = find(folder)
  if manifest is None:
    return None
  changed = sorted(k for k in {**manifest.inputs, **inputs} if manifest.inputs.get(k) != inputs.get(k))
  if changed:
    raise StoreError(
      f'{folder} was made from another {", ".join(changed)}. Use a new workdir, or delete this folder to have it made again.'
    )
  verify(folder, manifest)
  return manifest
