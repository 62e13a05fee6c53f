"""An iterator that works ahead: what an update needs is made while the one before it is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar('T')


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
  """The items in order, up to `depth` of them made in advance by a thread; what it raises is raised here, in its place.

  The thread ends with the items, or when the returned iterator is closed.
  """
  made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
  closed = threading.Event()

  def put(entry: tuple[bool, T | BaseException | None]) -> bool:
    while not closed.is_set():
      try:
        made.put(entry, timeout=0.1)
        return True
      except queue.Full:
        continue
    return False

  def work() -> None:
    try:
      for item in items:
        if not put((True, item)):
          return
      put((False, None))
    except BaseException as e:  # noqa: BLE001  the caller's thread decides
      put((False, e))

  thread = threading.Thread(target=work, name='ahead', daemon=True)
  thread.start()
  try:
    while True:
      more, value = made.get()
      if not more:
        if isinstance(value, BaseException):
          raise value
        return
      yield value  # type: ignore[misc]
  finally:
    closed.set()
    thread.join(timeout=5)  # it may be in the middle of an item; it is a daemon and will not outlive the process
