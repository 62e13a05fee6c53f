"""What a long sample pays, apart from the gates."""

from __future__ import annotations


def penalty(length: int, limit: int, buffer: int) -> float:
  """In [-1, 0]: nothing up to `limit - buffer` tokens, -1 from `limit` on, in between in proportion (DAPO, 2503.14476, equation 13).

  Limit 0 is none.
  """
  if not limit or length <= limit - buffer:
    return 0.0
  return -1.0 if length > limit else (limit - buffer - length) / buffer
