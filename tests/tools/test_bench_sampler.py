"""The rollouts that are measured are those that were asked for: every token of every request, each turn after what came before."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.sampling.sampler import BatchedSampler
from tests.models.small import weights
from tests.sampling.driving import CONFIG, SIZES
from tools import bench_sampler as bench

rng = np.random.default_rng(0)
ids = lambda n: rng.integers(0, CONFIG.vocab, n).tolist()
WORK = {
  'temperature': 1.0,
  'group': {'prompts': [{'prompt': ids(20), 'max_new': [3, 9, 5]}, {'prompt': ids(31), 'max_new': [7, 1]}]},
  'multiturn': {'conversations': [{'system': ids(11), 'turns': [{'append': ids(6), 'max_new': n} for n in (4, 8)]} for _ in range(3)]},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
  (tmp_path / 'work.json').write_text(json.dumps(WORK))
  return tmp_path / 'work.json'


@pytest.mark.parametrize(('workload', 'useful', 'prefilled'), [('group', 25, 19 + 30), ('multiturn', 36, 3 * (16 + 6))])
def test_every_request_gets_its_tokens_and_what_is_shared_is_prefilled_once(path: Path, workload: str, useful: int, prefilled: int) -> None:
  sampler = BatchedSampler(weights(CONFIG), CONFIG, SIZES)
  assert asyncio.run(bench.roll_out(sampler, *bench.read(path, workload), 0)) == useful
  assert (sampler.stats.sampled_tokens, sampler.stats.prefilled_tokens) == (useful, prefilled)


def test_a_request_that_gets_fewer_tokens_is_an_error(path: Path) -> None:
  sampler = BatchedSampler(weights(CONFIG), CONFIG, dataclasses.replace(SIZES, context=33))
  with pytest.raises(RuntimeError, match=r'conversation 3: 2 tokens instead of 7 \(length\)'):
    asyncio.run(bench.roll_out(sampler, *bench.read(path, 'group'), 0))


@pytest.mark.parametrize('text', ['{"temperature": 1.0}', '{"temperature": 1.0, "group": {"prompts": [{"prompt": [1]}]}}', '{', None])
def test_a_file_that_is_no_work_is_told(tmp_path: Path, text: str | None) -> None:
  if text is not None:
    (tmp_path / 'bad.json').write_text(text)
  with pytest.raises(ConfigError, match='cannot be read as work'):
    bench.read(tmp_path / 'bad.json', 'group')
