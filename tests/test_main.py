"""What the command line answers to a mistake: one message, nothing computed, nothing written."""

from __future__ import annotations

import pytest

from tests.loop.conftest import finish


@pytest.mark.parametrize(
  'flags, said',
  [
    (('--config.specs.pahts=("x",)',), 'pahts'),
    (('--config.rounds.steps=many',), 'rounds.steps'),
    (('--config.specs.paths=("no/such/folder",)',), 'no/such/folder does not exist'),
    (('--config.model.path=no/such/model',), 'model.path: no/such/model is neither a folder nor a name of the Hugging Face hub'),
    (('--config.rounds.group=1',), 'rounds.group'),
    (('--config.stages=("sft", "sing")',), "'sing' is unknown"),
    (('surplus',), 'surplus'),
  ],
)
def test_a_mistake_gives_one_message_that_names_it(flags, said, tmp_path):
  done = finish(tmp_path / 'run', *flags)
  assert done.returncode != 0
  assert said in done.stderr and 'Traceback' not in done.stderr
  assert not (tmp_path / 'run').exists()


def test_all_problems_of_a_config_are_told_at_once(tmp_path):
  done = finish(tmp_path / 'run', '--config.rounds.group=1', '--config.rounds.arm=best', '--config.sampling.slots=0')
  assert done.returncode != 0
  for name in ('rounds.group', 'rounds.arm', 'sampling.slots'):
    assert f'--config.{name}' in done.stderr


def test_an_empty_folder_and_a_file_that_is_no_specification_are_named(tmp_path):
  (tmp_path / 'empty').mkdir()
  done = finish(tmp_path / 'run', f'--config.specs.paths=("{tmp_path / "empty"}",)')
  assert done.returncode != 0 and 'empty' in done.stderr and 'Traceback' not in done.stderr
  (tmp_path / 'notes.json').write_text('{"hello": 1}')
  done = finish(tmp_path / 'run', f'--config.specs.paths=("{tmp_path / "notes.json"}",)')
  assert done.returncode != 0 and 'notes.json' in done.stderr and 'Traceback' not in done.stderr
