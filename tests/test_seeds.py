"""Seeds that a run is reproduced from: their values may never change."""

from __future__ import annotations

import random
import subprocess
import sys

from inftool_jax import seeds


def test_derived_seeds_are_the_ones_of_all_runs_so_far() -> None:
  # The first 8 bytes of the SHA-256 of the JSON text [seed, *parts], halved.
  assert seeds.derive(0) == 7520536977032167579
  assert seeds.derive(0, 'round', 1, 2) == 8540055801159106201
  assert seeds.derive(7, 'turn', 'é', {'b': 1, 'a': [None, 2.5]}) == 5955206565207725369
  assert seeds.rng(3, 'what').randrange(1000) == 533


def test_a_seed_depends_on_every_part_its_order_and_its_type() -> None:
  variants = [
    (0,), (1,), (0, 'a'), (0, 'a', 'b'), (0, 'b', 'a'), (0, 'ab'), (0, 1), (0, '1'), (0, ['a', 'b']),
    (0, 'a', 1), (0, 'a', 11), (0, 'a1', 1),
  ]  # fmt: skip
  assert len({seeds.derive(*v) for v in variants}) == len(variants)
  assert all(0 <= seeds.derive(*v) < 2**63 for v in variants)


def test_the_order_of_keys_and_the_shared_generator_do_not_matter() -> None:
  random.seed(1)
  first = seeds.derive(0, {'a': 1, 'b': 2}), seeds.rng(0, 'x').random()
  random.seed(2)
  before = random.getstate()
  assert (seeds.derive(0, {'b': 2, 'a': 1}), seeds.rng(0, 'x').random()) == first
  assert random.getstate() == before


def test_another_process_derives_the_same_seed() -> None:
  code = "from inftool_jax import seeds; print(seeds.derive(0, 'task', {'k': 'v'}))"
  outputs = {
    subprocess.run([sys.executable, '-c', code], env={'PYTHONHASHSEED': salt}, capture_output=True, text=True, check=True).stdout
    for salt in '12'
  }
  assert outputs == {f"{seeds.derive(0, 'task', {'k': 'v'})}\n"}
