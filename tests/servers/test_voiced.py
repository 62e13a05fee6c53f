"""A model words what nothing depends on; all else is the simulator's, and the same call in the same state has the same words."""

from __future__ import annotations

import asyncio
import collections
import json

import pytest

from inftool_jax.servers.simulator import Simulator
from inftool_jax.servers.voiced import MAX_TEXT, SampledWords, VoicedServer
from inftool_jax.types import Call, Result, Sample, Tool
from tests.support.chats import FixedSampler, small_tokenizer, spelled

TEXT = {'type': 'string'}
REPORT = {
  'type': 'object', 'required': ['city', 'summary', 'note', 'temperature'],
  'properties': {'city': TEXT, 'summary': TEXT, 'note': {'type': 'string', 'maxLength': 30}, 'temperature': {'type': 'number'},
                 'comment': {'type': 'string', 'enum': ['mild']}, 'report_id': TEXT},
}
ASKED = {'type': 'object', 'properties': {'city': TEXT}, 'required': ['city']}
TOOL = Tool('get_weather', 'The weather in a city', ASKED, REPORT, 'sky', 'read', ())
CALL = Call('get_weather', {'city': 'Oslo'})


class Written:
  """Words as given, one after the other."""

  def __init__(self, *texts: str) -> None:
    self.texts, self.asked = list(texts), []

  async def write(self, prompt: str, seed: int) -> str:
    self.asked.append((prompt, seed))
    return self.texts[(len(self.asked) - 1) % len(self.texts)]


def answer(words, tools=(TOOL,), call: Call = CALL, seed: int = 7, **more) -> Result:
  return asyncio.run(VoicedServer(Simulator(tools), tools, words, **more).open(seed).call(call))


def test_free_text_is_worded_and_nothing_else():
  plain = Simulator([TOOL]).open(7).execute(CALL).structured
  words = Written('A mild day by the fjord.', '"Bring a coat."')
  counts: collections.Counter[str] = collections.Counter()
  result = answer(words, counts=counts)
  assert result.structured == {**plain, 'summary': 'A mild day by the fjord.', 'note': 'Bring a coat.'}
  assert json.loads(result.content) == result.structured and counts == {'worded': 2}
  assert 'get_weather' in words.asked[0][0] and 'Oslo' in words.asked[0][0]


@pytest.mark.parametrize('text', ['', '  ', 'x' * (MAX_TEXT + 1), 'two\nlines', '<tool_call>', '{"a": 1}', 'bell\a'])
def test_what_does_not_fit_is_left_as_the_code_has_it(text):
  counts: collections.Counter[str] = collections.Counter()
  assert answer(Written(text), counts=counts) == Simulator([TOOL]).open(7).execute(CALL)
  assert counts == {'left': 2}


def test_the_output_schema_is_kept():
  plain = Simulator([TOOL]).open(7).execute(CALL).structured
  long = 'This is longer than what the note may be.'
  assert answer(Written(long)).structured == {**plain, 'summary': long}


def test_the_same_call_in_the_same_state_has_the_same_words_and_is_asked_once():
  written: dict[str, str] = {}
  words = Written('one', 'two', 'three', 'four')
  first = answer(words, written=written)
  assert answer(words, written=written) == first and len(words.asked) == 2
  assert answer(words, written=written, call=Call('get_weather', {'city': 'Rome'})).structured['summary'] == 'three'
  other = Written('one', 'two')
  answer(other)
  assert [seed for _, seed in other.asked] == [seed for _, seed in words.asked[:2]]  # told by the call and the state


def test_texts_of_the_state_of_the_call_and_of_the_task_stay(shop):
  words = Written('other words')
  server = VoicedServer(Simulator(shop), shop, words)
  session = server.open(7)
  customer = sorted(session.snapshot()['shop/customer'])[0]

  async def use() -> list[Result]:
    made = await session.call(Call('create_order', {'customer_id': customer, 'product': 'tolmi', 'note': 'for the garden'}))
    return [made, await session.call(Call('get_order', {'order_id': made.structured['order_id']})),
            await session.call(Call('get_order', {'order_id': 'nowhere'})), await session.call(Call('fly', {}))]

  plain = Simulator(shop).open(7)
  made, read, missing, unknown = asyncio.run(use())
  assert made == plain.execute(Call('create_order', {'customer_id': customer, 'product': 'tolmi', 'note': 'for the garden'}))
  assert not words.asked and read.structured['product'] == 'tolmi' and missing.is_error and unknown.is_error
  assert session.digest() == plain.digest() and session.difference() == plain.difference()
  kept = Simulator([TOOL]).open(7).execute(CALL).structured
  assert answer(Written('new'), kept=[kept['summary']]).structured == {**kept, 'note': 'new'}


def test_words_of_a_sampler(tmp_path):
  tokenizer = small_tokenizer(tmp_path)
  sampler = FixedSampler([spelled(tokenizer, 'A mild day.'), spelled(tokenizer, 'No end to it', finish='length')])
  plain = Simulator([TOOL]).open(7).execute(CALL).structured
  assert answer(SampledWords(sampler, tokenizer, 40)).structured == {**plain, 'summary': 'A mild day.'}
  assert all(isinstance(s, Sample) for s in sampler._samples) and sampler.params[0].max_new_tokens == 40
  assert len(sampler.released) == len(set(sampler.released)) == 2
