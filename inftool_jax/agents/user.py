"""The scripted user: opens with the need, answers what it is asked, and says nothing else."""

from __future__ import annotations

from inftool_jax.rewards.questions import asked_slots, is_question
from inftool_jax.types import Fact, Message, Task, View

NOTHING_MORE = 'I have nothing more to add.'
GOODBYE = Message('user')  # an empty message: the user has what they came for, the conversation is over


class ScriptedUser:
  """Speaks for a task's scenario.

  A question for exactly one parameter whose value the user knows and did not voice in the opening gets that value; any
  other question is needless and gets `NOTHING_MORE`. A message that is no question ends the conversation.
  """

  def __init__(self, task: Task) -> None:
    self._task = task

  async def speak(self, view: View, seed: int) -> Message:
    """The user's next message; `GOODBYE` ends the conversation. What they say depends on the task and the last message alone."""
    if not view.messages:
      return Message('user', self._task.scenario.opening)
    question = view.messages[-1].content
    if not is_question(question):
      return GOODBYE
    fact = asked_fact(question, self._task)
    return Message('user', fact.text if fact is not None else NOTHING_MORE)


def asked_fact(question: str, task: Task) -> Fact | None:
  """The withheld fact that `question` asks for; None if it asks for another parameter, for several, or for none."""
  tools = {tool.name: tool for tool in task.tools}
  for fact in task.scenario.withheld:
    if fact.tool in tools and asked_slots(question, tools[fact.tool]) == {fact.parameter}:
      return fact
  return None
