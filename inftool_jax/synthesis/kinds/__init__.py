"""One module per kind of task: each makes one task, or a pair of twins, out of a bench and a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inftool_jax.synthesis.bench import Bench
from inftool_jax.synthesis.draft import Request
from inftool_jax.synthesis.kinds import irrelevance, missing_parameter, multi_step, parallel, single
from inftool_jax.types import Task

# An attempt that does not lead to a fair task gives ().
MAKERS: Mapping[str, Callable[[Bench, Request], tuple[Task, ...]]] = {
  'single': single.single,
  'multiple': single.multiple,
  'parallel': parallel.parallel,
  'multi_step': multi_step.multi_step,
  'missing_parameter': missing_parameter.missing_parameter,
  'irrelevance': irrelevance.irrelevance,
}
