"""Round trip, determinism and damage of the store."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from inftool_jax import seeds, types
from inftool_jax.data import manifest, store
from inftool_jax.errors import StoreError

words = st.text(st.characters(codec='utf-8') | st.just('\ud800'), max_size=12)  # a model may write a lone surrogate
values = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
  lambda v: st.lists(v, max_size=3) | st.dictionaries(words, v, max_size=3),
  max_leaves=5,
)
logprobs = st.floats(max_value=0.0, allow_nan=False) | st.just(math.nan)
calls = st.builds(types.Call, tool=words, arguments=st.dictionaries(words, values, max_size=3), id=words)
results = st.builds(types.Result, content=words, structured=values, is_error=st.booleans())
tools = st.builds(
  types.Tool,
  name=words,
  description=words,
  input_schema=st.dictionaries(words, values, max_size=3),
  output_schema=st.none() | st.dictionaries(words, values, max_size=3),
  server=words,
  effect=st.sampled_from(['read', 'create', 'pure']),
  lineage=st.lists(st.builds(types.Origin, words, words, words, words), max_size=1).map(tuple),
)
facts = st.builds(types.Fact, words, words, values, words)
tasks = st.builds(
  types.Task,
  id=words,
  kind=st.sampled_from(types.KINDS),
  tools=st.lists(tools, max_size=2).map(tuple),
  scenario=st.builds(types.Scenario, opening=words, known=st.lists(facts, max_size=2).map(tuple)),
  gold=st.lists(
    st.builds(types.GoldCall, calls, st.dictionaries(words, st.builds(types.Provenance, st.just('utterance')), max_size=2)), max_size=2
  ).map(tuple),
  answers=st.lists(st.builds(types.Answer, st.integers(0, 3), words, values), max_size=2).map(tuple),
  initial_state=values,
  final_state=values,
  seed=st.integers(0, 2**63 - 1),
)


@st.composite
def samples(draw: st.DrawFn) -> types.Sample:
  pairs = draw(st.lists(st.tuples(st.integers(0, 9999), logprobs), max_size=4))
  return types.Sample(tuple(t for t, _ in pairs), tuple(p for _, p in pairs), 'stop', 3)


@st.composite
def trajectories(draw: st.DrawFn) -> types.Trajectory:
  row = st.tuples(st.integers(0, 9999), st.booleans(), logprobs, st.integers(-1, 5))
  aligned = draw(st.lists(row, max_size=6))
  columns = tuple(zip(*aligned, strict=True)) if aligned else ((), (), (), ())
  message = st.builds(
    types.Message,
    role=st.sampled_from(['system', 'user', 'assistant', 'tool']),
    content=words,
    calls=st.lists(calls, max_size=2).map(tuple),
    results=st.lists(results, max_size=2).map(tuple),
    sample=st.none() | samples(),
    error=words,
  )
  messages = tuple(draw(st.lists(message, max_size=3)))
  gates = draw(st.dictionaries(words, st.floats(0, 1), max_size=3))
  return types.Trajectory(draw(words), draw(st.integers(0, 15)), messages, *columns, len(messages), gates, 0.5, 'completed')


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(trajectories() | tasks)
def test_encode_and_decode_are_inverse(record: types.Trajectory | types.Task) -> None:
  again = store.decode(type(record), store.encode(record))
  assert type(again) is type(record)
  assert repr(again) == repr(record)  # repr, because NaN is not equal to NaN; it shows types and the order of keys too


def _trajectory(n: int) -> types.Trajectory:
  sample = types.Sample((5, n), (-0.5, math.nan), 'stop', 1)
  messages = (
    types.Message('user', 'hé' * (n % 7)),
    types.Message('assistant', calls=(types.Call('t', {'b': n, 'a': 0.1}),), sample=sample),
  )
  mask, logps = (False, True, True), (math.nan, -0.25, -1e-9)
  return types.Trajectory(f'task-{n}', 0, messages, (1, 2, n), mask, logps, (-1, 1, 1), 1, {'parse': 1.0}, 0.5, 'completed')


def test_shards_are_named_counted_and_read_in_order(tmp_path: Path) -> None:
  records = [_trajectory(n) for n in range(10)]
  info = store.write(tmp_path, iter(records), 'accepted', shard_size=4)
  assert [s.file for s in info.shards] == [f'accepted-{i:05d}-of-00003.array_record' for i in range(3)]
  assert [s.records for s in info.shards] == [4, 4, 2] and info.records == 10
  assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in info.files(tmp_path))
  stored = store.read(tmp_path, types.Trajectory)
  assert [repr(r) for r in stored] == [repr(r) for r in records]
  assert [stored[i].task_id for i in (9, 0, 4, -1)] == ['task-9', 'task-0', 'task-4', 'task-9']
  assert [r.task_id for r in stored[3:5]] == ['task-3', 'task-4'] and len(stored) == 10
  with pytest.raises(IndexError):
    stored[10]


def test_equal_records_give_equal_files(tmp_path: Path) -> None:
  for folder in ('a', 'b'):
    store.write(tmp_path / folder, (_trajectory(n) for n in range(300)), 'rollouts', shard_size=128)
  hashes = [{p.name: manifest.sha256_file(p) for p in (tmp_path / f).iterdir()} for f in ('a', 'b')]
  assert hashes[0] == hashes[1] and len(hashes[0]) == 4


def test_parameters_keep_their_declared_order(tmp_path: Path) -> None:
  schema = {'type': 'object', 'properties': {'zeta': {'type': 'string'}, 'alpha': {'type': 'integer'}}}
  store.write(tmp_path, [types.Tool('t', '', schema, None, 's', 'read', ())], 'tools')
  assert list(store.read(tmp_path, types.Tool)[0].parameters) == ['zeta', 'alpha']


def test_numbers_that_json_does_not_know_come_back(tmp_path: Path) -> None:
  store.write(tmp_path, [types.Call('t', {'x': math.inf, 'y': [-math.inf, math.nan], 'logprobs': [None]})], 'calls')
  assert repr(store.read(tmp_path, types.Call)[0].arguments) == "{'x': inf, 'y': [-inf, nan], 'logprobs': [None]}"


def test_two_datasets_and_dicts_in_one_folder(tmp_path: Path) -> None:
  store.write(tmp_path, [_trajectory(1)], 'accepted')
  store.write(tmp_path, [{'task_id': 'x', 'failed': 'schema'}], 'rejected')
  assert store.read(tmp_path, dict, 'rejected')[0] == {'task_id': 'x', 'failed': 'schema'}
  with pytest.raises(StoreError, match='accepted, rejected'):
    store.read(tmp_path, types.Trajectory)
  with pytest.raises(StoreError, match='not Task'):
    store.read(tmp_path, types.Task, 'accepted')
  with pytest.raises(StoreError, match='missing or incomplete'):
    store.read(tmp_path, types.Task, 'other')


def test_an_empty_dataset_reads_as_empty(tmp_path: Path) -> None:
  info = store.write(tmp_path, [], 'rejected')
  assert len(info.shards) == 1 and list(store.read(tmp_path, types.Trajectory)) == []


def test_every_flipped_bit_is_found_at_read(tmp_path: Path) -> None:
  info = store.write(tmp_path, [_trajectory(n) for n in range(3)], 'accepted')
  shard = tmp_path / info.shards[0].file
  data = shard.read_bytes()
  for position in range(0, len(data), len(data) // 7):
    shard.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
    with pytest.raises(StoreError, match=shard.name):
      store.read(tmp_path, types.Trajectory)
  shard.unlink()
  with pytest.raises(StoreError, match='is missing'):
    store.read(tmp_path, types.Trajectory)


def test_a_smaller_dataset_replaces_a_larger_one(tmp_path: Path) -> None:
  store.write(tmp_path, [_trajectory(n) for n in range(9)], 'accepted', shard_size=2)
  info = store.write(tmp_path, [_trajectory(n) for n in range(3)], 'accepted', shard_size=2)
  assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in info.files(tmp_path))
  assert len(store.read(tmp_path, types.Trajectory)) == 3


@pytest.mark.parametrize('limit', [1000, 200_000])  # room for no shard, and for the first of two
def test_a_full_disk_leaves_the_earlier_dataset(tmp_path: Path, limit: int) -> None:
  store.write(tmp_path, [_trajectory(1)], 'accepted')
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  big = [{'text': seeds.rng(0, 'text').randbytes(n).hex()} for n in (1000, 300_000)]
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
  try:
    with pytest.raises(StoreError, match='cannot be written'):
      store.write(tmp_path, big, 'accepted', shard_size=1)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_record_that_cannot_be_stored_leaves_the_earlier_dataset(tmp_path: Path) -> None:
  store.write(tmp_path, [{'a': 1}], 'rows')
  with pytest.raises(TypeError):
    store.write(tmp_path, [{'a': 2}, {'a': object()}], 'rows', shard_size=1)
  with pytest.raises(ValueError, match='mixes'):
    store.write(tmp_path, [{'a': 2}, _trajectory(1)], 'rows')
  assert list(store.read(tmp_path, dict)) == [{'a': 1}]
  assert len(list(tmp_path.iterdir())) == 2


def test_export_is_one_json_object_a_line(tmp_path: Path) -> None:
  store.write(tmp_path / 'data', [_trajectory(n) for n in range(5)], 'accepted', shard_size=2)
  assert store.export_jsonl(tmp_path / 'data', tmp_path / 'out' / 'a.jsonl') == 5
  lines = (tmp_path / 'out' / 'a.jsonl').read_text().splitlines()
  assert [json.loads(line)['task_id'] for line in lines] == [f'task-{n}' for n in range(5)]
  assert json.loads(lines[0])['logprobs'] == [None, -0.25, -1e-9]
