"""The command that writes Hugging Face folders; what it writes of a run is in tests/loop."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from inftool_jax.loop.context import SHIPPED
from inftool_jax.loop.exporting import COMPANIONS
from inftool_jax.models import config as decoder_config
from inftool_jax.models import decoder, huggingface, lora, peft
from inftool_jax.models.lora import LoraConfig

ROOT = Path(__file__).parents[2]
ADAPTED = decoder_config.from_huggingface(SHIPPED, lora=LoraConfig(rank=2, alpha=4.0, targets=('q', 'up')))


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run([sys.executable, '-m', 'tools.export_hf', *flags], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope='module')
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """Adapters of the shipped model that PEFT might have written, fresh: they change nothing."""
  folder = tmp_path_factory.mktemp('adapter')
  peft.save(folder, decoder.init(ADAPTED, 0), ADAPTED, 'tiny')
  return folder


def test_a_model_and_adapters_that_change_nothing_give_the_model_back_bit_for_bit(adapter: Path, tmp_path: Path) -> None:
  done = _run(f'--model={SHIPPED}', f'--adapter={adapter}', f'--out={tmp_path / "out"}')
  assert done.returncode == 0, done.stderr
  assert f'is in {tmp_path / "out"}' in done.stdout
  for name in ('model.safetensors', *(name for name in COMPANIONS if (SHIPPED / name).exists())):
    assert (tmp_path / 'out' / name).read_bytes() == (SHIPPED / name).read_bytes(), name
  assert decoder_config.from_huggingface(tmp_path / 'out') == dataclasses.replace(ADAPTED, lora=None)


def test_adapters_of_another_model_are_refused_and_nothing_is_written(adapter: Path, tmp_path: Path) -> None:
  other = dataclasses.replace(ADAPTED, dim=ADAPTED.dim * 2)
  peft.save(tmp_path / 'adapter', lora.join(decoder.init(ADAPTED, 0), lora.split(decoder.init(other, 0))[1]), other, '')
  done = _run(f'--model={SHIPPED}', f'--adapter={tmp_path / "adapter"}', f'--out={tmp_path / "out"}')
  assert done.returncode == 1 and 'q_proj.lora_A.weight has shape' in done.stderr and 'Traceback' not in done.stderr
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('flags', [(), ('--workdir=a', '--model=b', '--adapter=c'), ('--model=b',), ('--workdir=a', '--adapter=c')])
def test_what_to_export_must_be_clear(flags: tuple[str, ...], tmp_path: Path) -> None:
  done = _run(*flags, f'--out={tmp_path / "out"}')
  assert done.returncode != 0 and 'give --workdir, or --model with --adapter' in done.stdout + done.stderr


def test_help_tells_the_ways_to_call_it() -> None:
  told = _run('--help').stdout
  assert '--model=BASE --adapter=ADAPTER' in told and '--only_adapter' in told and all(dtype in told for dtype in huggingface.STORED_AS)
