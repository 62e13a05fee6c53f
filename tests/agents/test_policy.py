from __future__ import annotations

import asyncio

from inftool_jax.agents.policy import PolicyAssistant
from inftool_jax.types import Call, SampleParams, View
from tests.support.chats import FixedSampler, hermes, spelled

CALL = Call('get_order', {'order_id': 'ord_k3v7qd'})


def test_samples_after_the_exact_tokens_and_keeps_the_sample(tokenizer):
  sample = spelled(tokenizer, hermes(CALL))
  sampler = FixedSampler([sample])
  assistant = PolicyAssistant(sampler, tokenizer, SampleParams(0, 64, temperature=0.5), 'conversation-1')
  message = asyncio.run(assistant.speak(View((), (5, 6, 7)), seed=11))
  assert message.calls == (CALL,) and message.error == '' and message.sample is sample
  assert sampler.prompts == [(5, 6, 7)]
  assert sampler.params == [SampleParams(11, 64, temperature=0.5, stop=tokenizer.stop_ids)]
  assistant.close()
  assert sampler.released == ['conversation-1']


def test_errors_are_told_by_code(tokenizer):
  samples = [spelled(tokenizer, '<tool_call>{'), spelled(tokenizer, hermes(CALL), finish='length')]
  assistant = PolicyAssistant(FixedSampler(samples), tokenizer, SampleParams(0, 64), 's')
  messages = [asyncio.run(assistant.speak(View(()), seed)) for seed in range(2)]
  assert [m.error for m in messages] == ['unterminated_call', 'truncated']
  assert [m.sample for m in messages] == samples


def test_every_turn_gets_a_constraint_of_its_own(tokenizer):
  sampler = FixedSampler([spelled(tokenizer, hermes(CALL))] * 2)
  assistant = PolicyAssistant(sampler, tokenizer, SampleParams(0, 64), 's', constrain=object)
  for seed in range(2):
    asyncio.run(assistant.speak(View(()), seed))
  assert len(set(map(id, sampler.constraints))) == 2 and None not in sampler.constraints
