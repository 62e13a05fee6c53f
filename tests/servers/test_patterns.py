from __future__ import annotations

import random

import pytest

from inftool_jax.servers import patterns


@pytest.mark.parametrize('pattern', [
  '^[A-Z]{2}[0-9]{4}$', r'^\d{3}-\d{2}-\d{4}$', '^(red|green|blue)$', '^[^0-9]+x?$', r'^\w+@\w+\.(com|org)$',
  '^a{2,}b*?$', '^v(?P<n>[1-9])(?:\\.[0-9])*$', '.',
])
def test_what_is_made_matches(pattern):
  made = {patterns.matching(pattern, random.Random(seed)) for seed in range(30)}
  assert all(patterns.fits(pattern, text) for text in made) and len(made) > 1


def test_absurd_repeats_are_cut():
  assert len(patterns.matching('[ab]{100000,}', random.Random(1))) <= 2 * patterns.MAX_REPEATS
