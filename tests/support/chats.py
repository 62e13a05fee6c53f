"""A small tokenizer, a small stateful server and hand-written tasks: what chat, agents and play are tested with."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence

from inftool_jax import seeds
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.chat.vocabulary import save_tokenizer
from inftool_jax.types import Answer, Call, Fact, GoldCall, Provenance, Result, Sample, Scenario, Task, Tool

TEXTS = (
  'Which order do you mean? The total of the order is 12.50 and its status is open.',
  '{"name": "get_order", "description": "Reads an order", "parameters": {"order_id": {"type": "string"}}, "required": ["order_id"]}',
  'To call tools, write for each {"name": ..., "arguments": {...}} user assistant system You are helpful.',
  'créer une réservation für zwei Personen, please: name, city, date 2031-04-05',
) * 4


def small_tokenizer(folder) -> ChatTokenizer:
  save_tokenizer(TEXTS, 400, folder)
  return ChatTokenizer.load(folder)


# The structure of Llama 3.1's template: tools in the first user message, one call a turn, results as JSON in the role `ipython`.
LLAMA_TEMPLATE = """
{{- bos_token }}
{%- macro turn(role, text) %}{{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + text + '<|eot_id|>' }}{%- endmacro %}
{{- turn('system', 'Date: ' + (date_string if date_string is defined else strftime_now('%d %b %Y'))) }}
{%- for message in messages %}
  {%- if loop.first and tools %}
    {{- turn('user', 'Respond as {"name": ..., "parameters": {...}}.\n' + (tools | tojson) + '\n' + message.content | trim) }}
  {%- elif message.tool_calls is defined %}
    {%- if message.tool_calls | length != 1 %}{{- raise_exception('one call at a time') }}{%- endif %}
    {%- set call = message.tool_calls[0].function %}
    {{- turn('assistant', '{"name": "' + call.name + '", "parameters": ' + (call.arguments | tojson) + '}') }}
  {%- elif message.role == 'tool' %}
    {{- turn('ipython', message.content | tojson) }}
  {%- else %}
    {{- turn(message.role, message.content | trim) }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
""".strip()
LLAMA_TOKENS = ('<|end_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eom_id|>', '<|eot_id|>', '<|python_tag|>')


def llama_tokenizer(folder, template: str = LLAMA_TEMPLATE) -> ChatTokenizer:
  """A small tokenizer with Llama 3's control tokens and a template for them."""
  save_tokenizer(TEXTS, 400, folder)
  from transformers import PreTrainedTokenizerFast

  hf = PreTrainedTokenizerFast.from_pretrained(str(folder))
  hf.add_special_tokens({'bos_token': '<|begin_of_text|>', 'eos_token': '<|eot_id|>'})
  hf.add_tokens(list(LLAMA_TOKENS), special_tokens=True)
  hf.chat_template = template
  hf.save_pretrained(str(folder))
  return ChatTokenizer.load(folder)


def _tool(name: str, description: str, effect: str, **types: str) -> Tool:
  schema = {'type': 'object', 'properties': {p: {'type': t} for p, t in types.items()}, 'required': list(types)}
  return Tool(name, description, schema, None, 'orders', effect, ())


GET_ORDER = _tool('get_order', 'Reads an order', 'read', order_id='string')
FIND_CUSTOMER = _tool('find_customer', 'Finds a customer', 'read', email='string')
CREATE_ORDER = _tool('create_order', 'Creates an order', 'create', customer_id='string', item='string')
TOOLS = (GET_ORDER, FIND_CUSTOMER, CREATE_ORDER)

STATE = {
  'orders': {'ord_k3v7qd': {'status': 'open', 'total': 12.5}, 'ord_9xw2ma': {'status': 'paid', 'total': 7}},
  'customers': {'ada@example.org': 'cus_4hq8tz'},
}


class OrderServer:
  """Orders and customers in a dictionary."""

  def open(self, seed: int, state=None) -> OrderSession:
    return OrderSession(seed, copy.deepcopy(state))


class OrderSession:
  def __init__(self, seed: int, state) -> None:
    self._seed, self._state, self._written = seed, state, {}

  async def call(self, call: Call) -> Result:
    return self.execute(call)

  def execute(self, call: Call) -> Result:
    arguments = call.arguments
    if call.tool == 'get_order' and arguments.get('order_id') in self._state['orders']:
      return _reply({'id': arguments['order_id'], **self._state['orders'][arguments['order_id']]})
    if call.tool == 'find_customer' and arguments.get('email') in self._state['customers']:
      return _reply({'customer': {'id': self._state['customers'][arguments['email']]}})
    if call.tool == 'create_order' and set(arguments) == {'customer_id', 'item'}:
      name = f'ord_{seeds.derive(self._seed, len(self._written)):020d}'[:10]
      self._written[name] = {'status': 'new', **arguments}
      return _reply({'id': name, 'status': 'new'})
    return Result('{"error": "not found"}', is_error=True)

  def snapshot(self):
    return {**self._state, 'orders': {**self._state['orders'], **self._written}}

  def difference(self):
    return {'orders': self._written} if self._written else {}

  def digest(self) -> str:
    return json.dumps(self.snapshot(), sort_keys=True)


def _reply(value) -> Result:
  return Result(json.dumps(value), value)


def _order(order_id: str, step: int = 0) -> GoldCall:
  return GoldCall(Call('get_order', {'order_id': order_id}), {'order_id': Provenance('utterance', path=order_id)}, step)


def _task(name: str, kind: str, opening: str, gold: Sequence[GoldCall], answers: Sequence[Answer] = (), **fields) -> Task:
  tools, withheld = fields.get('tools', TOOLS), fields.get('withheld', ())
  final = fields.get('final', {})
  return Task(name, kind, tools, Scenario(opening, withheld=withheld), tuple(gold), tuple(answers), STATE, final, seed=7)


def single() -> Task:
  return _task('t-single', 'single', 'How is order ord_k3v7qd?', [_order('ord_k3v7qd')], [Answer(0, '$.status', 'open')])


def parallel() -> Task:
  answers = [Answer(0, '$.total', 12.5), Answer(1, '$.total', 7)]
  return _task('t-parallel', 'parallel', 'Totals of ord_k3v7qd and ord_9xw2ma?', [_order('ord_k3v7qd'), _order('ord_9xw2ma')], answers)


def multi_step() -> Task:
  first = GoldCall(Call('find_customer', {'email': 'ada@example.org'}), {'email': Provenance('utterance', path='ada@example.org')})
  provenance = {'customer_id': Provenance('result', turn=0, path='$.customer.id'), 'item': Provenance('utterance', path='lamp')}
  second = GoldCall(Call('create_order', {'customer_id': 'cus_4hq8tz', 'item': 'lamp'}), provenance, step=1)
  session = OrderServer().open(7, STATE)
  created = [session.execute(g.call) for g in (first, second)][1]
  answers = [Answer(1, '$.id', created.structured['id'])]
  return _task('t-steps', 'multi_step', 'A lamp for ada@example.org, please.', [first, second], answers, final=session.difference())


def missing_parameter() -> Task:
  withheld = (Fact('get_order', 'order_id', 'ord_k3v7qd', 'It is ord_k3v7qd.'),)
  gold = GoldCall(Call('get_order', {'order_id': 'ord_k3v7qd'}), {'order_id': Provenance('utterance', turn=1, path='ord_k3v7qd')})
  return _task('t-missing', 'missing_parameter', 'How is my order?', [gold], [Answer(0, '$.status', 'open')], withheld=withheld)


def irrelevance() -> Task:
  return _task('t-none', 'irrelevance', 'Water my plants.', [])


def all_tasks() -> list[Task]:
  return [single(), parallel(), multi_step(), missing_parameter(), irrelevance()]


class FixedSampler:
  """A sampler that says what it was given, turn by turn, and remembers what it was asked."""

  def __init__(self, samples: Sequence[Sample]) -> None:
    self._samples = list(samples)
    self.prompts: list[tuple[int, ...]] = []
    self.params = []
    self.released: list[str] = []
    self.constraints = []

  async def sample(self, tokens, params, session: str, *, constraint=None) -> Sample:
    self.prompts.append(tuple(tokens))
    self.constraints.append(constraint)
    self.params.append(params)
    return self._samples[len(self.prompts) - 1]

  def release(self, session: str) -> None:
    self.released.append(session)


def spelled(tokenizer: ChatTokenizer, text: str, finish='stop', version: int = 3) -> Sample:
  """A sample of `text` in a split the tokenizer itself would not choose: character by character, tags apart."""
  pieces, rest = [], text
  while rest:
    tag = next((t for t in ('<tool_call>', '</tool_call>') if rest.startswith(t)), rest[0])
    pieces, rest = [*pieces, tag], rest[len(tag):]
  ids = [i for piece in pieces for i in tokenizer.encode_text(piece)]
  if finish == 'stop':
    ids.append(tokenizer.end_of_turn)
  return Sample(tuple(ids), tuple(-0.5 - 0.001 * i for i in range(len(ids))), finish, version)


def hermes(*calls: Call) -> str:
  return '\n'.join('<tool_call>\n' + json.dumps({'name': c.tool, 'arguments': c.arguments}) + '\n</tool_call>' for c in calls)
