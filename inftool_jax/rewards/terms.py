"""Terms of a user's own, beside those of `gates`: functions that are named in the config and found by name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence

from inftool_jax.errors import ConfigError
from inftool_jax.rewards import gates
from inftool_jax.types import JSON, Message, Task

Term = Callable[[Task, Sequence[Message], JSON], float]  # (task, whole conversation, what was written) -> [0, 1]
WEIGHT = 0.1  # of each in the additive reward, as of one of the terms for form, before it is made to sum to 1 again


def load(names: Sequence[str]) -> dict[str, Term]:
  """Name of each function -> itself. `names` are such as `package.module:function`.

  Raises ConfigError for one that is not there, no function, or called as another term.
  """
  found: dict[str, Term] = {}
  for name in names:
    module, _, function = name.partition(':')
    try:
      term = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as e:
      raise ConfigError(f'--config.rounds.terms: {name} cannot be found ({e}); write package.module:function') from e
    if not callable(term):
      raise ConfigError(f'--config.rounds.terms: {name} is no function')
    if function in (*gates.TERMS, 'match', 'success', *found):
      raise ConfigError(f'--config.rounds.terms: there is a term {function!r} already; give {name} another name')
    found[function] = term
  return found


def values(terms: Mapping[str, Term], task: Task, messages: Sequence[Message], difference: JSON) -> dict[str, float]:
  """Of each term. Raises ValueError for a value that is not in [0, 1]."""
  out = {name: float(term(task, messages, difference)) for name, term in terms.items()}
  for name, value in out.items():
    if not 0 <= value <= 1:
      raise ValueError(f'the term {name!r} is {value}, not in [0, 1]')
  return out


def joined(reward: float, name: str, extra: Mapping[str, float]) -> float:
  """The reward called `name` with these terms: factors of the gated one, conditions of the binary one, parts of the additive one."""
  if name == 'additive':
    return (reward + WEIGHT * sum(extra.values())) / (1 + WEIGHT * len(extra))
  factors = extra.values() if name == 'gated' else [float(value == 1) for value in extra.values()]
  return reward * math.prod(factors)
