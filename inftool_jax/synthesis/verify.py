"""Is a task what it claims to be, and was it played as it should?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from inftool_jax.agents import paths
from inftool_jax.rewards import gates
from inftool_jax.rewards.answers import says
from inftool_jax.rewards.canonical import canonical_text
from inftool_jax.rewards.questions import asked_slots
from inftool_jax.servers import schemas
from inftool_jax.synthesis import answers
from inftool_jax.synthesis.kinds.missing_parameter import speaks_of
from inftool_jax.synthesis.slots import Slot, resolved, spoken, whole_words
from inftool_jax.synthesis.solutions import Goal, Known, solves
from inftool_jax.types import JSON, KINDS, TWINNED, GoldCall, Provenance, Result, Session, Task, Tool, ToolServer, Trajectory
