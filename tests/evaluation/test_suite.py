from __future__ import annotations

import collections
import dataclasses
import gzip
import hashlib

import pytest

from inftool_jax.errors import StoreError
from inftool_jax.evaluation import suite
from inftool_jax.evaluation.suite import Suite
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.verify import check_tasks
from inftool_jax.types import KINDS


@pytest.fixture
def frozen(tmp_path, held_out, splits):
  path = tmp_path / 'test.jsonl.gz'
  return path, suite.save(path, held_out, splits.test)


def test_what_was_saved_is_loaded(frozen, held_out, splits):
  path, saved = frozen
  loaded = suite.load(path)
  assert loaded == saved
  assert loaded.tasks == held_out and loaded.tools == splits.test
  assert loaded.hash == hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()


def test_the_file_alone_can_be_played(frozen):
  loaded = suite.load(frozen[0])
  assert check_tasks(loaded.tasks, Simulator(loaded.tools, 'test')) == {}


def test_equal_tasks_give_equal_bytes(frozen, tmp_path, held_out, splits):
  again = tmp_path / 'elsewhere' / 'other.gz'
  suite.save(again, held_out, splits.test)
  assert again.read_bytes() == frozen[0].read_bytes()


def test_half_a_pair_is_not_saved(tmp_path, held_out, splits):
  half = [task for task in held_out if not task.id.endswith('-told')]
  with pytest.raises(ValueError, match='lacks its twin'):
    suite.save(tmp_path / 'x.gz', half, splits.test)
  assert not (tmp_path / 'x.gz').exists()


def edited(data, old, new):
  assert old in data
  return gzip.compress(data.replace(old, new, 1))


def cut(data):
  return gzip.compress(data[: data[:-1].rindex(b'\n') + 1])


@pytest.mark.parametrize(('damage', 'message'), [
  (lambda raw: raw[:-20], 'cannot be read'),
  (lambda raw: raw[:200] + bytes([raw[200] ^ 1]) + raw[201:], 'cannot be read|does not have the content'),
  (lambda raw: b'not gzip at all', 'cannot be read'),
  (lambda raw: gzip.compress(b''), 'no evaluation file'),
  (lambda raw: gzip.compress(b'{"id": 3}\n'), 'no evaluation file'),
  (lambda raw: edited(gzip.decompress(raw), b'"opening":"', b'"opening":"Oh, '), 'does not have the content'),
  (lambda raw: cut(gzip.decompress(raw)), 'does not have the content'),
])
def test_damage_is_told(frozen, damage, message):
  path = frozen[0]
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(StoreError, match=message) as error:
    suite.load(path)
  assert str(path) in str(error.value) and 'freeze_evaluation' in str(error.value)


def test_a_missing_file_and_another_version_are_told(frozen, tmp_path):
  with pytest.raises(StoreError, match='does not exist'):
    suite.load(tmp_path / 'none.gz')
  rest = gzip.decompress(frozen[0].read_bytes()).partition(b'\n')[2].replace(b'"effect":', b'"outcome":', 1)
  header = f'{{"format":"{suite.FORMAT}","tools":1,"tasks":1,"sha256":"{hashlib.sha256(rest).hexdigest()}"}}\n'.encode()
  frozen[0].write_bytes(gzip.compress(header + rest))
  with pytest.raises(StoreError, match='another version'):
    suite.load(frozen[0])


def test_units_hold_twins_together_and_know_their_server(held_out):
  found = suite.units(held_out)
  assert sorted(task.id for unit in found for task in unit.tasks) == sorted(task.id for task in held_out)
  for unit in found:
    assert len(unit.tasks) == (2 if unit.kind in ('missing_parameter', 'irrelevance') else 1)
    assert len({suite.server_of(*pair) for pair in (unit.tasks, unit.tasks[::-1])}) == 1
    gold = next(task for task in unit.tasks if task.gold)
    assert unit.server == next(t.server for t in gold.tools if t.name == gold.gold[0].call.tool)
  with pytest.raises(ValueError, match='one id'):
    suite.units([held_out[0], held_out[0]])


def written_by_hand(tasks, share):
  """The tasks, and copies of every `share`-th unit that count as written by hand."""
  copies = [task for unit in suite.units(tasks)[::share] for task in unit.tasks]
  return (*tasks, *(
    dataclasses.replace(
      t, id=t.id + '-h', twin=t.twin and t.twin + '-h', scenario=dataclasses.replace(t.scenario, hand_written=True)) for t in copies))


@pytest.fixture(scope='module')
def large(held_out):
  return Suite(written_by_hand(held_out, 2), 'hash', ())


@pytest.mark.parametrize('seed', range(5))
def test_a_subset_has_whole_units_in_proportion(large, seed):
  drawn = suite.units(suite.subset(large, 6, seed))
  assert collections.Counter(unit.kind for unit in drawn) == dict.fromkeys(KINDS, 6)
  by_hand = collections.Counter(unit.kind for unit in drawn if unit.hand_written)
  assert by_hand == dict.fromkeys(KINDS, 2)  # 5 of 15, so 2 of 6
  assert suite.subset(large, 6, seed) == suite.subset(large, 6, seed)
  assert [t.id for t in suite.subset(large, 6, seed)] == [t.id for t in large.tasks if t in suite.subset(large, 6, seed)]


def test_a_subset_spreads_over_servers(large):
  """With n units drawn of N, a server with m of them gets m n / N, give or take one."""
  for kind in KINDS:
    whole = collections.Counter(u.server for u in suite.units(large.tasks) if u.kind == kind and not u.hand_written)
    drawn = collections.Counter(u.server for u in suite.units(suite.subset(large, 6, 1)) if u.kind == kind and not u.hand_written)
    total = sum(whole.values())
    assert all(abs(drawn[server] - 4 * m / total) < 1.5 for server, m in whole.items())


def test_seeds_draw_differently_and_nothing_or_enough_means_all(large):
  assert suite.subset(large, 6, 0) != suite.subset(large, 6, 1)
  assert suite.subset(large, None, 0) == suite.subset(large, 0, 0) == suite.subset(large, 999, 0) == large.tasks
  with pytest.raises(ValueError, match='n_per_kind=-1'):
    suite.subset(large, -1, 0)
