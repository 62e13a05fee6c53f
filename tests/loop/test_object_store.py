"""A run whose folder is in an object store leaves there what it would have left on disk, also after kill -9."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.loop.conftest import SHORT, command, environment, finish
from tests.loop.test_run import content, params_hashes
from tests.support.object_store import ObjectStore


@pytest.mark.slow
def test_a_killed_run_in_an_object_store_ends_like_one_on_disk(objects: ObjectStore, bucket: Path, finished_run: Path) -> None:
  process = subprocess.Popen(command(bucket, *SHORT), env=environment(), cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
  deadline = time.monotonic() + 600
  while not any(name.endswith('round_1/checkpoints/step_00000001/manifest.json') for _, name in list(objects.objects)):
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  process.wait()
  done = finish(bucket, *SHORT)
  assert done.returncode == 0, done.stdout + done.stderr
  assert content(bucket) == content(finished_run) and params_hashes(bucket) == params_hashes(finished_run)
  assert (bucket / 'model' / 'model.safetensors').read_bytes() == (finished_run / 'model' / 'model.safetensors').read_bytes()
  again = finish(bucket, *SHORT)
  assert again.returncode == 0 and 'finished' in again.stdout
