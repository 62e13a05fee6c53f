"""Whole files, stage manifests."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from inftool_jax.data import manifest
from inftool_jax.errors import StoreError


@contextlib.contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
  """Writing a file beyond the limit is an OSError, as on a full disk."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _stage(folder: Path) -> manifest.StageManifest:
  manifest.begin(folder)
  (folder / 'sub').mkdir()
  manifest.write_bytes(folder / 'sub' / 'data.bin', bytes(range(256)) * 8)
  manifest.write_bytes(folder / 'note.txt', b'hello')
  files = [folder / 'note.txt', folder / 'sub' / 'data.bin']
  return manifest.commit(folder, 'synthesise', files, {'tasks': 3}, {'config': 'abc'}, 1.25)


def test_a_stage_is_done_after_its_manifest_and_reads_back(tmp_path: Path) -> None:
  assert manifest.done(tmp_path / 'stage', {'config': 'abc'}) is None
  written = _stage(tmp_path / 'stage')
  assert manifest.done(tmp_path / 'stage', {'config': 'abc'}) == written
  assert list(written.files) == ['note.txt', 'sub/data.bin']
  assert written.counts == {'tasks': 3} and written.wall_seconds == 1.25


def test_content_hash_ignores_the_wall_time_only(tmp_path: Path) -> None:
  a = manifest.commit(tmp_path / 'a', 's', [], {'n': 1}, {}, 1.0)
  b = manifest.commit(tmp_path / 'b', 's', [], {'n': 1}, {}, 2.0)
  c = manifest.commit(tmp_path / 'c', 's', [], {'n': 2}, {}, 1.0)
  assert a.content_hash == b.content_hash != c.content_hash


@pytest.mark.parametrize('name', ['note.txt', 'sub/data.bin'])
def test_a_flipped_bit_is_found_and_the_message_names_the_file(tmp_path: Path, name: str) -> None:
  _stage(tmp_path)
  data = bytearray((tmp_path / name).read_bytes())
  data[len(data) // 2] ^= 1
  (tmp_path / name).write_bytes(data)
  with pytest.raises(StoreError, match=name) as error:
    manifest.done(tmp_path, {'config': 'abc'})
  assert 'Delete' in str(error.value)


def test_a_missing_file_is_found(tmp_path: Path) -> None:
  _stage(tmp_path)
  (tmp_path / 'note.txt').unlink()
  with pytest.raises(StoreError, match=r'note\.txt is missing'):
    manifest.done(tmp_path, {'config': 'abc'})


def test_other_inputs_are_named(tmp_path: Path) -> None:
  _stage(tmp_path)
  with pytest.raises(StoreError, match='another config'):
    manifest.done(tmp_path, {'config': 'xyz'})


@pytest.mark.parametrize('keep', [0, 1, 40, -3])
def test_an_incomplete_manifest_is_not_done_and_the_folder_can_be_rewritten(tmp_path: Path, keep: int) -> None:
  _stage(tmp_path)
  path = tmp_path / manifest.NAME
  path.write_bytes(path.read_bytes()[:keep])
  assert manifest.done(tmp_path, {'config': 'abc'}) is None
  _stage(tmp_path)
  assert manifest.done(tmp_path, {'config': 'abc'}) is not None


def test_a_changed_manifest_is_an_error(tmp_path: Path) -> None:
  _stage(tmp_path)
  path = tmp_path / manifest.NAME
  body = json.loads(path.read_text())
  body['counts']['tasks'] = 4
  path.write_text(json.dumps(body))
  with pytest.raises(StoreError, match=r'manifest\.json was changed'):
    manifest.find(tmp_path)


def test_begin_clears_leftovers_but_for_what_is_kept_and_never_a_finished_stage(tmp_path: Path) -> None:
  (tmp_path / 'old').mkdir()
  (tmp_path / 'old' / 'x').write_text('x')
  (tmp_path / 'checkpoints').mkdir()
  (tmp_path / 'part.tmp').write_text('y')
  manifest.begin(tmp_path, keep=['checkpoints'])
  assert [p.name for p in tmp_path.iterdir()] == ['checkpoints']
  manifest.commit(tmp_path, 's', [], {}, {}, 0.0)
  with pytest.raises(StoreError, match='finished stage'):
    manifest.begin(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_parts(tmp_path: Path) -> None:
  path = tmp_path / 'x.json'
  manifest.write_bytes(path, manifest.readable({'a': 1}))
  with full_disk(1000), pytest.raises(StoreError, match=r'x\.json cannot be written'):
    manifest.write_bytes(path, b'z' * 5000)
  assert json.loads(path.read_text()) == {'a': 1}
  assert [p.name for p in tmp_path.iterdir()] == ['x.json']


def test_a_full_disk_leaves_the_old_manifest(tmp_path: Path) -> None:
  before = _stage(tmp_path)
  with full_disk(100), pytest.raises(StoreError):
    manifest.commit(tmp_path, 'again', [tmp_path / 'note.txt'], {'tasks': 4}, {}, 2.0)
  assert manifest.done(tmp_path, {'config': 'abc'}) == before
