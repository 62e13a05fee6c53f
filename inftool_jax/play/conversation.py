"""One conversation: user, assistant and tool server take turns until one of them, or a limit, ends it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

from inftool_jax import seeds
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.play.ledger import Ledger
from inftool_jax.rewards import gates
from inftool_jax.rewards.terms import Term, joined, values
from inftool_jax.types import Call, Message, Outcome, Result, Session, Speaker, Task, ToolServer, Trajectory, View

# Outcomes that say nothing about the policy: not scored (gates empty, reward 0), and not to be trained on.
NOT_THE_POLICY: frozenset[Outcome] = frozenset({'user_error', 'server_error', 'verifier_error', 'timeout'})

NO_TERMS: Mapping[str, Term] = MappingProxyType({})

T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Limits:
  """Bounds of one conversation.

  A turn is asked for only if its full allowance still fits: tokens so far + `max_new_tokens` <= `max_tokens`. So no
  sampler ever cuts a turn short for lack of room, and `max_tokens` is the cache length it needs.
  """

  max_turns: int  # assistant turns
  max_tokens: int  # of the whole conversation, prompt included
  max_new_tokens: int  # of one assistant turn, end-of-turn token included


@runtime_checkable
class Closable(Protocol):
  """An assistant that holds something for its conversation, and lets go of it when that is over."""

  def close(self) -> None: ...


@runtime_checkable
class Ending(Protocol):
  """A session that holds something outside of this process, and lets go of it when the conversation is over."""

  async def aclose(self) -> None: ...


async def play(
  task: Task, assistant: Speaker, user: Speaker, server: ToolServer, tokenizer: ChatTokenizer, limits: Limits, sample: int, seed: int,
  reward_name: str = 'gated', terms: Mapping[str, Term] = NO_TERMS,
) -> Trajectory:
  """Plays `task` once and scores it.

  `seed` is the run's (or the round's). User and server are seeded by the task alone, so all samples of a task meet the
  same ones; the assistant's turns are seeded by `seed`, task, `sample` and turn. Whatever the agents do becomes an
  outcome: `policy_error` (a turn that does not parse, nothing follows it), `truncated` (a limit), `user_error` and
  `server_error` (the agent raised; a raising assistant is a failure of what serves the policy, and counts with the
  latter), `timeout` (any of them raised TimeoutError, or the sampler gave up), `verifier_error`. `note` says why.
  """
  talk = _Conversation(task, assistant, user, tokenizer, limits, seeds.derive(seed, 'assistant', task.id, sample))
  try:
    try:
      await talk.run(server)
      outcome: Outcome = 'completed'
      note = ''
    except _Ended as end:
      outcome, note = end.outcome, end.note
    finally:
      if isinstance(assistant, Closable):
        assistant.close()
    return _scored(talk, sample, outcome, note, reward_name, terms)
  finally:  # of one that is cancelled, too
    if isinstance(talk.session, Ending):
      await talk.session.aclose()


def failed(task: Task, sample: int, outcome: Outcome, note: str) -> Trajectory:
  """A conversation of which nothing is left but its failure."""
  return Trajectory(task.id, sample, (), (), (), (), (), 0, {}, 0.0, outcome, note)


class _Ended(Exception):
  """The conversation cannot go on."""

  def __init__(self, outcome: Outcome, note: str) -> None:
    super().__init__(note)
    self.outcome, self.note = outcome, note


class _Conversation:
  """The state of one conversation: what was said, the tokens of it, and what the assistant has not been shown yet."""

  def __init__(
    self, task: Task, assistant: Speaker, user: Speaker, tokenizer: ChatTokenizer, limits: Limits, seed: int,
  ) -> None:
    self.task = task
    self.messages: list[Message] = []
    self.ledger = Ledger()
    self.session: Session | None = None
    self._assistant, self._user = assistant, user
    self._tokenizer, self._limits, self._seed = tokenizer, limits, seed
    self._unseen: list[Message] = []

  async def run(self, server: ToolServer) -> None:
    """Returns when the user is satisfied; raises `_Ended` otherwise."""
    try:
      self.session = server.open(self.task.seed, self.task.initial_state)
    except Exception as e:  # noqa: BLE001  whatever a server raises is an outcome
      _end('server_error', e)
    self._hear(await self._user_turn())
    for turn in range(self._limits.max_turns):
      message = await self._assistant_turn(turn)
      if message.calls:
        self._hear(Message('tool', results=tuple([await self._result(self.session, call) for call in message.calls])))
        continue
      reply = await self._user_turn()
      if not reply.content:
        return
      self._hear(reply)
    raise _Ended('truncated', f'not over after {self._limits.max_turns} assistant turns')

  def verdict(self, terms: Mapping[str, Term]) -> tuple[gates.Verdict, dict[str, float]]:
    """And the values of terms of the user's own."""
    if self.session is None:
      raise RuntimeError('a conversation without a session cannot be judged')
    difference = self.session.difference()
    return gates.score(self.task, self.messages, difference), values(terms, self.task, self.messages, difference)

  def _hear(self, message: Message) -> None:
    self.messages.append(message)
    self._unseen.append(message)

  async def _user_turn(self) -> Message:
    seed = seeds.derive(self.task.seed, 'user', len(self.messages))
    return await _guarded(self._user.speak(View(tuple(self.messages)), seed), 'user_error')

  async def _result(self, session: Session, call: Call) -> Result:
    if call.tool not in {t.name for t in self.task.tools}:  # the server may well have it, but it was not offered
      return Result(json.dumps({'error': f'Unknown tool: {call.tool}'}, ensure_ascii=False), is_error=True)
    return await _guarded(session.call(call), 'server_error')

  async def _assistant_turn(self, turn: int) -> Message:
    self._show_unseen()
    view = View(tuple(self.messages), self.ledger.tokens)
    message = await _guarded(self._assistant.speak(view, seeds.derive(self._seed, 'turn', turn)), 'server_error')
    self.messages.append(message)
    length = self._record(message)
    finish = message.sample.finish if message.sample is not None else 'scripted'
    if finish in ('cancelled', 'deadline'):
      raise _Ended('timeout', f'the sampler gave up the turn: {finish}')
    if finish == 'length' or length > self._limits.max_new_tokens:
      raise _Ended('truncated', f'a turn of {length} tokens')
    if message.error:
      raise _Ended('policy_error', message.error)
    return message

  def _show_unseen(self) -> None:
    """Appends what the assistant has not read yet, and its generation prompt, to the ledger; or ends for lack of room."""
    if len(self.ledger):
      tokens = self._tokenizer.suffix(self._unseen)
    else:
      tokens = self._tokenizer.prompt(self._unseen, self.task.tools)
    needed = len(self.ledger) + len(tokens) + self._limits.max_new_tokens
    if needed > self._limits.max_tokens:
      raise _Ended('truncated', f'the next turn needs room for {needed} tokens of {self._limits.max_tokens}')
    self.ledger.context(tokens)
    self._unseen.clear()

  def _record(self, message: Message) -> int:
    """Appends the assistant's own tokens, id for id if they were sampled. Returns their number."""
    before = len(self.ledger)
    if message.sample is not None:
      self.ledger.sampled(message.sample)
    else:
      self.ledger.scripted(self._tokenizer.encode_turn(message))
    return len(self.ledger) - before


async def _guarded(awaitable: Awaitable[T], blame: Outcome) -> T:
  try:
    return await awaitable
  except Exception as e:  # noqa: BLE001  whatever an agent raises is an outcome
    _end(blame, e)


def _end(outcome: Outcome, error: Exception) -> NoReturn:
  if isinstance(error, TimeoutError):
    outcome = 'timeout'
  raise _Ended(outcome, f'{type(error).__name__}: {error}') from error


def _scored(
  talk: _Conversation, sample: int, outcome: Outcome, note: str, reward_name: str, extra: Mapping[str, Term]
) -> Trajectory:
  terms: dict[str, float] = {}
  reward = 0.0
  if outcome not in NOT_THE_POLICY:
    try:
      verdict, own = talk.verdict(extra)
    except Exception as e:  # noqa: BLE001  a verifier that fails on hostile calls costs this conversation, not the run
      outcome, note = 'verifier_error', f'{type(e).__name__}: {e}'
    else:
      terms = {**verdict.gates(), 'success': float(verdict.success), **own}
      reward = joined(gates.reward(verdict, reward_name), reward_name, own)
  ledger = talk.ledger
  turns = sum(m.role == 'assistant' for m in talk.messages)
  return Trajectory(
    talk.task.id, sample, tuple(talk.messages), ledger.tokens, ledger.loss_mask, ledger.logprobs, ledger.versions,
    turns, terms, reward, outcome, note,
  )
