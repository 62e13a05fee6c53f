"""Conversations of a context: who plays whom, with which tools and limits."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Mapping, Sequence

from inftool_jax.agents.assistant import ScriptedAssistant
from inftool_jax.agents.policy import PolicyAssistant
from inftool_jax.agents.user import ScriptedUser
from inftool_jax.chat.grammar import Grammars
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import Progress
from inftool_jax.play.conversation import play
from inftool_jax.play.many import Play, play_many
from inftool_jax.servers.simulator import Simulator
from inftool_jax.servers.voiced import NEW_TOKENS, SampledWords, VoicedServer
from inftool_jax.types import JSON, Message, SampleParams, Sampler, Task, ToolServer, Trajectory


def scripted(context: Context, split: str, seed: int) -> Play:
  """The gold solution played by the scripted assistant."""
  server = context.simulators[split]

  async def one(task: Task, sample: int) -> Trajectory:
    assistant = ScriptedAssistant(task)
    return await play(task, assistant, ScriptedUser(task), server, context.tokenizer, context.limits, sample, seed)

  return one


def policy(
  context: Context, sampler: Sampler, server: Simulator, seed: int, temperature: float, reward: str, voiced: bool = False,
  grammar: bool = False,
) -> Play:
  """The policy at `temperature`; `seed` is this rollout's. `voiced`: it words the free text of tool answers too.

  `grammar`: its calls are held to their form and to the schemas of the tools offered.
  """
  grammars = Grammars(context.tokenizer, context.decoder.vocab) if grammar else None
  words = SampledWords(sampler, context.tokenizer, min(NEW_TOKENS, context.limits.max_new_tokens))
  written: dict[str, str] = {}  # of this policy version: a resumed run words the same again
  params = SampleParams(seed=0, max_new_tokens=context.limits.max_new_tokens, temperature=temperature)

  async def one(task: Task, sample: int) -> Trajectory:
    constrain = functools.partial(grammars.turn, task.tools) if grammars else None
    assistant = PolicyAssistant(sampler, context.tokenizer, params, f'{task.id}/{sample}', constrain)
    there: ToolServer = server
    if voiced:
      there = VoicedServer(server, task.tools, words, written, _asked_for(task))
    return await play(task, assistant, ScriptedUser(task), there, context.tokenizer, context.limits, sample, seed, reward, context.terms)

  return one


def _asked_for(task: Task) -> list[JSON]:
  """The values that a task depends on: whatever words a model finds for them would be others."""
  return [*(a.value for a in task.answers), *(v for g in task.gold for v in g.call.arguments.values())]


def play_all(name: str, tasks: Sequence[Task], samples: int, one: Play, concurrency: int) -> list[Trajectory]:
  """Plays all of it with a progress line every few seconds."""
  progress = Progress(name, 'conversations', len(tasks) * samples, time.monotonic())

  def report(done: int, total: int, outcomes: Mapping[str, int]) -> None:
    progress.at(done, ' '.join(f'{k} {v}' for k, v in outcomes.items() if k != 'completed'))

  return asyncio.run(play_many(tasks, samples, one, concurrency, report))


def fits(context: Context, task: Task) -> bool:
  """Whether the task's first prompt leaves room for a few turns; what does not fit is counted by the caller."""
  prompt = context.tokenizer.prompt([Message('user', task.scenario.opening)], task.tools)
  return len(prompt) + 3 * context.limits.max_new_tokens <= context.limits.max_tokens
