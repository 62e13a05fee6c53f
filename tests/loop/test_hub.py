"""A checkpoint is a folder, or a name of the hub that is looked up as transformers does."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from inftool_jax.loop import hub

REVISION = '0' * 40


def test_a_folder_is_itself_whether_it_is_there_or_not(tmp_path: pathlib.Path) -> None:
  assert hub.folder(str(tmp_path)) == tmp_path
  assert hub.folder(str(tmp_path / 'none')) == tmp_path / 'none'  # who reads it says what is missing


def _looked_up(name: str, home: pathlib.Path) -> subprocess.CompletedProcess[str]:
  """In a process of its own: the hub's library reads its variables when it is imported."""
  code = f'from inftool_jax.loop import hub; print(hub.folder({name!r}))'
  offline = {**os.environ, 'HF_HOME': str(home), 'HF_HUB_OFFLINE': '1'}
  return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=offline)


def test_a_name_of_the_hub_is_found_in_its_cache(tmp_path: pathlib.Path) -> None:
  repository = tmp_path / 'hub' / 'models--some--model'
  snapshot = repository / 'snapshots' / REVISION
  snapshot.mkdir(parents=True)
  (snapshot / 'config.json').write_text('{}')
  (repository / 'refs').mkdir()
  (repository / 'refs' / 'main').write_text(REVISION)
  assert _looked_up('some/model', tmp_path).stdout.strip() == str(snapshot)
  failed = _looked_up('some/other', tmp_path)
  assert failed.returncode == 1 and 'some/other is no folder here, and the Hugging Face hub does not give it: ' in failed.stderr


def test_what_is_no_name_of_the_hub_is_not_looked_up() -> None:
  assert hub.folder('a/b/c') == pathlib.Path('a/b/c') and hub.folder('/none/here') == pathlib.Path('/none/here')
