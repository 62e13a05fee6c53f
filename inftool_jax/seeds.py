"""Seeds: every random choice of a run is derived from its coordinates, never drawn from shared state."""

import hashlib
import json
import random


def derive(seed: int, *parts: object) -> int:
  """A 63-bit seed for the choice named by `parts` (strings, integers, JSON values) under `seed`."""
  text = json.dumps([seed, *parts], sort_keys=True, ensure_ascii=True, default=str)
  return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], 'big') >> 1


def rng(seed: int, *parts: object) -> random.Random:
  """A generator of its own for the choice named by `parts`."""
  return random.Random(derive(seed, *parts))
