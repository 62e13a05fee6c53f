from __future__ import annotations

import subprocess
import sys

import pytest

from inftool_jax.errors import StoreError
from inftool_jax.evaluation import freezing, suite
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS


def row(task, before='Hello there, I was told to come to you. ', after=''):
  """A row whose opening says the same in other words, its values included."""
  return {'task': task.id, 'opening': before + task.scenario.opening + after}


def of_kind(tasks, kind):
  return [task for task in tasks if task.kind == kind]


def test_frozen_tasks_hold_and_hand_written_ones_are_marked_copies(splits):
  generated = plan(splits.test, dict.fromkeys(KINDS, 2), 5, split='test')
  told = of_kind(generated, 'missing_parameter')[:2]
  rows = [row(task) for task in (of_kind(generated, 'single')[0], of_kind(generated, 'irrelevance')[0], *told)]
  frozen = freezing.freeze(splits.test, 2, 5, rows)
  assert frozen[: len(generated)] == generated
  copies = frozen[len(generated) :]
  assert [c.id for c in copies] == [t.id + '-h' for t in generated if t.id + '-h' in {c.id for c in copies}]
  assert len(copies) == 5 and len(suite.units(copies)) == 3
  by_id = {t.id: t for t in generated}
  for copy in copies:
    source = by_id[copy.id.removesuffix('-h')]
    assert copy.scenario.hand_written and copy.scenario.opening.startswith('Hello there')
    assert copy.twin == (source.twin + '-h' if source.twin else '')
    assert [g.call for g in copy.gold] == [g.call for g in source.gold] and copy.final_state == source.final_state


def test_a_row_that_loses_a_value_or_gives_an_answer_away_is_refused(splits):
  generated = plan(splits.test, dict.fromkeys(KINDS, 2), 5, split='test')
  read = next(t for t in of_kind(generated, 'single') if t.answers)
  with pytest.raises(StoreError, match=f'{read.id}-h: .*gives the answer'):
    freezing.freeze(splits.test, 2, 5, [row(read, after=f' Is it {read.answers[0].value}?')])
  voiced = next(t for t in generated if not t.twin and any(p.source == 'utterance' for g in t.gold for p in g.provenance.values()))
  with pytest.raises(StoreError, match=f'{voiced.id}-h: .*is not said in'):
    freezing.freeze(splits.test, 2, 5, [{'task': voiced.id, 'opening': 'Please do that thing.'}])


def test_named_follows_the_new_words(held_out):
  task, gold, name, value = next(
    (t, g, n, p.path)
    for t in held_out if not t.twin for g in t.gold for n, p in g.provenance.items() if p.source == 'utterance' and '_' in n)
  words = name.replace('_', ' ')
  index = task.gold.index(gold)
  far = f'{value}{" and so on" * 9} {words}'
  for opening, named in ((f'The {words} is {value}.', True), (f'Take {value}, will you?', False), (far, False)):
    copy = freezing.rewritten([task], [{'task': task.id, 'opening': opening}])[0]
    assert copy.gold[index].provenance[name].named is named


def test_rows_that_fit_no_task_are_told(held_out):
  told = next(t for t in held_out if t.kind == 'missing_parameter')
  single = held_out[0]
  unknown = {'task': 'nope', 'opening': 'x'}
  for rows, message in (([unknown], "'nope'"), ([row(single), row(single)], 'row already'), ([row(told)], 'its twin')):
    with pytest.raises(StoreError, match=message):
      freezing.rewritten(held_out, rows)


def test_a_file_of_rows_is_read_or_its_line_named(tmp_path):
  path = tmp_path / 'rows.jsonl'
  path.write_text('{"task": "a", "opening": "b"}\n\n{"task": "c", "opening": "d"}\n')
  assert [r['task'] for r in freezing.read_rows(path)] == ['a', 'c']
  for bad in ('{', '[]', '{"task": "a"}', '{"task": "a", "opening": ""}', '{"task": "a", "opening": 1}'):
    path.write_text('{"task": "a", "opening": "b"}\n' + bad)
    with pytest.raises(StoreError, match='rows.jsonl:2'):
      freezing.read_rows(path)
  with pytest.raises(StoreError, match='cannot be read'):
    freezing.read_rows(tmp_path / 'none.jsonl')


def command(*arguments):
  return subprocess.run([sys.executable, '-m', 'tools.freeze_evaluation', *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_freezes_and_does_not_overwrite(tmp_path):
  out = tmp_path / 'test.jsonl.gz'
  first = command(f'--out={out}', '--hand_written=', '--units=1')
  assert first.returncode == 0, first.stderr
  assert suite.load(out).hash in first.stdout and 'single: 1 generated' in first.stdout
  before = out.read_bytes()
  second = command(f'--out={out}', '--hand_written=', '--units=1')
  assert second.returncode == 1 and '--overwrite' in second.stderr
  assert out.read_bytes() == before
  third = command(f'--out={out}', '--hand_written=', '--units=1', '--seed=9', '--overwrite')
  assert third.returncode == 0 and out.read_bytes() != before
