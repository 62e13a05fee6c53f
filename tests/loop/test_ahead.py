"""Working ahead changes when things are made, and nothing else."""

from __future__ import annotations

import threading
import time

import pytest

from inftool_jax.loop.ahead import ahead


def threads() -> list[str]:
  return [t.name for t in threading.enumerate() if t.name == 'ahead']


def test_the_items_come_in_order_and_the_thread_ends_with_them():
  assert list(ahead(range(50))) == list(range(50))
  assert list(ahead(())) == []
  assert not threads()


def test_no_more_than_the_depth_is_made_in_advance():
  made = []

  def items():
    for i in range(20):
      made.append(i)
      yield i

  iterator = ahead(items(), depth=3)
  assert next(iterator) == 0
  while len(made) < 1 + 3:
    time.sleep(0.01)
  time.sleep(0.3)  # for what should not happen
  assert len(made) <= 1 + 3 + 1  # taken, waiting, in the hands of the thread
  iterator.close()
  assert not threads()


def test_what_the_source_raises_is_raised_after_the_items_before_it():
  def items():
    yield 1
    raise ValueError('no more')

  iterator = ahead(items())
  assert next(iterator) == 1
  with pytest.raises(ValueError, match='no more'):
    next(iterator)
  assert not threads()
