"""A folder in an object store is used like one on disk: what is written is there whole, or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from inftool_jax.data import manifest, places, store
from inftool_jax.errors import StoreError
from tests.support.object_store import ObjectStore


@dataclasses.dataclass(frozen=True)
class Row:
  number: int
  logprobs: tuple[float, ...] = ()


@pytest.fixture(params=['on disk', 'in an object store'])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
  return tmp_path / 'run' if request.param == 'on disk' else request.getfixturevalue('bucket')


def _uploads(objects: ObjectStore, folder: Path) -> list[str]:
  """Names in `folder`, in the order in which they were written."""
  key = str(folder).removeprefix('gs://').partition('/')
  mine = [(generation, name) for (bucket, name), (_, generation) in objects.objects.items() if bucket == key[0]]
  return [name.removeprefix(f'{key[2]}/') for _, name in sorted(mine)]


def test_a_stage_is_done_after_its_manifest_and_is_verified(folder: Path) -> None:
  assert manifest.done(folder, {}) is None
  (folder / 'left').mkdir(parents=True)
  manifest.write_bytes(folder / 'left' / 'over.txt', b'of an interrupted run')
  manifest.write_bytes(folder / 'kept' / 'note.txt', b'kept')
  manifest.begin(folder, keep=['kept'])
  assert not (folder / 'left' / 'over.txt').exists() and (folder / 'kept' / 'note.txt').exists()
  files = store.write(folder / 'kept', [Row(1), Row(2)], 'rows').files(folder / 'kept')
  written = manifest.commit(folder, 'sft', [*files, folder / 'kept' / 'note.txt'], {'n': 2}, {}, 1.0)
  assert manifest.done(folder, {}) == written
  assert list(written.files) == ['kept/note.txt', 'kept/rows-00000-of-00001.array_record', 'kept/rows.index.json']
  with pytest.raises(StoreError, match='holds a finished stage'):
    manifest.begin(folder)
  (folder / 'kept' / 'note.txt').write_bytes(b'KEPT')
  with pytest.raises(StoreError, match=r'note\.txt does not have the content'):
    manifest.done(folder, {})


def test_a_dataset_comes_back_and_damage_is_found(folder: Path) -> None:
  rows = [Row(n, (0.5, float(n))) for n in range(10)]
  dataset = store.write(folder, rows, 'rows', shard_size=4)
  assert len(dataset.shards) == 3 and store.find(folder) == dataset
  read = store.read(folder, Row)
  assert list(read) == rows and read[7] == rows[7]
  shard = folder / dataset.shards[1].file
  data = bytearray(shard.read_bytes())
  data[len(data) // 2] ^= 1
  shard.write_bytes(data)
  with pytest.raises(StoreError, match='rows-00001-of-00003.array_record does not have the content'):
    store.read(folder, Row)
  places.remove(shard)
  with pytest.raises(StoreError, match='rows-00001-of-00003.array_record is missing'):
    store.read(folder, Row)


def test_a_manifest_that_was_cut_off_is_none(folder: Path) -> None:
  manifest.write_bytes(folder / manifest.NAME, manifest.signed({'a': 1})[:-5])
  assert not manifest.is_whole(folder / manifest.NAME) and manifest.read_signed(folder / manifest.NAME) is None


def test_what_says_that_the_others_are_there_is_uploaded_last_and_removed_first(objects: ObjectStore, bucket: Path) -> None:
  for n in range(2):
    with places.staged(bucket, 'config.json') as local:
      assert not places.is_remote(local)
      for name in ('z.bin', 'config.json', 'a/b.bin'):
        (local / name).parent.mkdir(exist_ok=True)
        (local / name).write_text(f'{name} {n}')
    assert _uploads(objects, bucket) == ['a/b.bin', 'z.bin', 'config.json']
  objects.before_put = lambda name: not name.endswith('z.bin')
  try:
    with pytest.raises(OSError, match='cut off|Forbidden'), places.staged(bucket, 'config.json') as local:
      for name in ('a.bin', 'z.bin', 'config.json'):
        (local / name).write_text(name)
  finally:
    objects.before_put = lambda name: True
  assert not (bucket / 'config.json').exists()


def test_other_stores_and_a_missing_extra_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
  with pytest.raises(StoreError, match=r's3://bucket/run: folders and gs:// are known'):
    places.place('s3://bucket/run')
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  with pytest.raises(StoreError, match=r"gs://bucket/run: to use gs://, pip install 'inftool_jax\[gs\]'"):
    places.place('gs://bucket/run')
  assert places.place('runs/default') == Path('runs/default')
