"""The chat template of the small checkpoints we make ourselves: the structure of Qwen2.5's, frugal in tokens.

A checkpoint carries its template in `tokenizer_config.json`; this text is only read where such a file is written.

    <|im_start|>system
    You are helpful.

    # Tools
    <tools>
    {"name": "get_order", "description": "Reads an order", "parameters": {"id": {"type": "string"}}, "required": ["id"]}
    </tools>
    To call tools, write for each
    <tool_call>
    {"name": ..., "arguments": {...}}
    </tool_call><|im_end|>
    <|im_start|>user
    Show order ord_k3v7qd.<|im_end|>
    <|im_start|>assistant
    <tool_call>
    {"name": "get_order", "arguments": {"id": "ord_k3v7qd"}}
    </tool_call><|im_end|>
    <|im_start|>user
    <tool_response>
    {"id": "ord_k3v7qd", "total": 12.5}
    </tool_response><|im_end|>
    <|im_start|>assistant
    The total is 12.5.<|im_end|>
"""

from __future__ import annotations

IM_START, IM_END, END_OF_TEXT = '<|im_start|>', '<|im_end|>', '<|endoftext|>'
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END)  # what the model never writes inside a turn
# One token each, but ordinary text to a decoder.
TAGS = ('<tool_call>', '</tool_call>', '<tool_response>', '</tool_response>', '<tools>', '</tools>')

DEFAULT_SYSTEM = 'You are helpful.'

# Of a tool's schema only the wrapper is dropped ({"type": "object", "properties": ...}), and not even that when the
# schema has definitions of its own that its properties point to.
_TOOL_LINE = r"""
    {%- set tool = tool.function if tool.function is defined else tool %}
    {%- set schema = tool.parameters or {} %}
    {{- '\n{"name": ' + (tool.name | tojson) + ', "description": ' + (tool.description | tojson) + ', "parameters": ' }}
    {%- if schema['$defs'] is defined or schema['properties'] is not defined %}
      {{- (schema | tojson) + '}' }}
    {%- else %}
      {{- schema['properties'] | tojson }}
      {{- ', "required": ' + (schema['required'] | tojson) + '}' if schema['required'] else '}' }}
    {%- endif %}
"""

_SYSTEM = (
  r"""
{%- set has_system = messages and messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + (messages[0].content if has_system else '"""
  + DEFAULT_SYSTEM
  + r"""') }}
{%- if tools %}
  {{- '\n\n# Tools\n<tools>' }}
  {%- for tool in tools %}"""
  + _TOOL_LINE
  + r"""
  {%- endfor %}
  {{- '\n</tools>\nTo call tools, write for each\n<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
"""
)

_ASSISTANT = r"""
    {{- '<|im_start|>assistant\n' + (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
      {%- set call = call.function if call.function is defined else call %}
      {{- '\n' if message.content or not loop.first else '' }}
      {{- '<tool_call>\n{"name": ' + (call.name | tojson) + ', "arguments": ' + (call.arguments | tojson) + '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
"""

# The results of parallel calls share one user turn.
_RESULT = r"""
    {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
      {{- '<|im_start|>user' }}
    {%- endif %}
    {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
    {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
      {{- '<|im_end|>\n' }}
    {%- endif %}
"""

CHAT_TEMPLATE = (
  _SYSTEM
  + r"""
{%- for message in messages %}
  {%- if message.role == 'assistant' %}"""
  + _ASSISTANT
  + r"""
  {%- elif message.role == 'tool' %}"""
  + _RESULT
  + r"""
  {%- elif message.role == 'user' or not loop.first %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
).strip()
