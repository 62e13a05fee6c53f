"""Talk to a policy that has tools: those of a simulated server, or of a real one.

  python -m tools.chat --model=runs/default/model SPEC...                    # the servers of any specification, simulated
  python -m tools.chat --model=runs/default/model SPEC... --server=NAME --tools=get_order,cancel_order
  python -m tools.chat --model=DIR --mcp='npx -y @modelcontextprotocol/server-memory'    # a real server, in a folder of its own
  python -m tools.chat --model=DIR --mcp=https://example.org/mcp --reads=search,get_page  # one that cannot be reset: reads only

Type what you want; what the policy calls, what comes back and what it says are shown. An empty line, or the end of the input, ends the
conversation. SPEC is whatever --config.specs.paths takes, DIR a Hugging Face folder or a name on the hub. A command is started in an
empty folder and can write nowhere else; of a server behind a URL only the tools named by --reads are ever called.
"""

from __future__ import annotations

import asyncio
import pathlib
import sys
from collections.abc import Sequence

import jax
from absl import app, flags

from inftool_jax import specs
from inftool_jax.agents.policy import PolicyAssistant
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.errors import ConfigError, InftoolError, SpecError
from inftool_jax.loop import hub
from inftool_jax.models import config as decoder_config
from inftool_jax.models import huggingface
from inftool_jax.play import aloud
from inftool_jax.play.conversation import Limits
from inftool_jax.sampling.programs import SamplerConfig
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.servers.live import LiveServer
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import Message, SampleParams, Speaker, Tool, ToolServer

MODEL = flags.DEFINE_string('model', None, 'Hugging Face folder, such as the model/ of a run, or a name on the hub', required=True)
SERVER = flags.DEFINE_string('server', '', 'which server, where the specifications hold several')
TOOLS = flags.DEFINE_list('tools', [], 'tools to offer; empty: all of the server')
MCP = flags.DEFINE_string('mcp', '', 'command or URL of a real MCP server, in the place of specifications')
READS = flags.DEFINE_list('reads', [], 'with --mcp: the tools that may be called; needed for a URL, empty for a command: all')
CONTEXT = flags.DEFINE_integer('context', 2048, 'tokens of the whole conversation', lower_bound=64)
TURN = flags.DEFINE_integer('max_new_tokens', 160, 'tokens of one turn of the policy', lower_bound=1)
TURNS = flags.DEFINE_integer('max_turns', 50, 'turns of the policy', lower_bound=1)
DTYPE = flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'of the weights and of what is computed')
TENSOR = flags.DEFINE_integer('tensor', 1, 'accelerators that divide the policy', lower_bound=1)
TEMPERATURE = flags.DEFINE_float('temperature', 0.0, '0: always the likeliest token', lower_bound=0.0)
SEED = flags.DEFINE_integer('seed', 0, 'of the simulated records and of what is sampled', lower_bound=0)


def main(argv: list[str]) -> None:
  if bool(MCP.value) == (len(argv) > 1):
    raise app.UsageError('name specifications, or one --mcp server')
  if READS.value and not MCP.value:
    raise app.UsageError('--reads is for an --mcp server; of a simulated one every tool may be called')
  try:
    server, tools = live(MCP.value, READS.value) if MCP.value else simulated(argv[1:], SERVER.value)
    tools = offered(tools, TOOLS.value)
    tokenizer, assistant = policy(hub.folder(MODEL.value), tools)
  except InftoolError as e:
    sys.exit(str(e))
  print(f'{len(tools)} tools: {", ".join(t.name for t in tools)}', flush=True)
  limits = Limits(TURNS.value, CONTEXT.value, TURN.value)
  try:
    trajectory = asyncio.run(aloud.converse(assistant, server, tools, tokenizer, limits, SEED.value))
  except KeyboardInterrupt:
    sys.exit('\ninterrupted')
  if trajectory.outcome != 'completed':
    sys.exit(f'{trajectory.outcome}: {trajectory.note}')


def simulated(paths: Sequence[str], name: str) -> tuple[ToolServer, Sequence[Tool]]:
  """The simulator of a server of these specifications, and its tools. Raises SpecError when it is not clear which one is meant."""
  ingest = specs.load(paths)
  for problem in ingest.problems:
    print(problem, file=sys.stderr)
  _, tools = specs.one_server(ingest.tools, name)
  return Simulator(tools), tools


def live(named: str, reads: Sequence[str]) -> tuple[ToolServer, Sequence[Tool]]:
  """A real server, and those of its tools that may be called."""
  dump = specs.fetch(named)
  tools = specs.load([], dumps={named: dump}).tools
  server = LiveServer(dump, tools, reads)
  return server, [t for t in tools if t.name in server.allowed]


def offered(tools: Sequence[Tool], names: Sequence[str]) -> Sequence[Tool]:
  """The tools of these names, in the order named; all of them if none is. Raises SpecError for a name that there is not."""
  by_name = {t.name: t for t in tools}
  unknown = [n for n in names if n not in by_name]
  if unknown:
    raise SpecError(f'--tools: there is no tool {unknown[0]!r}; choose among {", ".join(sorted(by_name)[:40])}')
  return [by_name[n] for n in names] if names else tools


def policy(folder: pathlib.Path, tools: Sequence[Tool]) -> tuple[ChatTokenizer, Speaker]:
  """The checkpoint's tokenizer, and the policy as a speaker. Raises ConfigError if the tools leave no room for a conversation."""
  tokenizer = ChatTokenizer.load(folder)
  shape = decoder_config.from_huggingface(folder, compute_dtype=DTYPE.value, param_dtype=DTYPE.value)
  context = CONTEXT.value
  if context > shape.context:
    raise ConfigError(f'--context={context}: {folder} was made for {shape.context} tokens at most')
  needed = len(tokenizer.prompt([Message('user', '')], tools)) + TURN.value
  if needed > context:
    raise ConfigError(f'the {len(tools)} tools and a turn need {needed} tokens of {context}; offer fewer with --tools, or raise --context')
  devices = jax.local_devices()[: TENSOR.value]
  if len(devices) < TENSOR.value:
    raise ConfigError(f'--tensor={TENSOR.value}: there are only {len(devices)} devices')
  sampler = Replicas(huggingface.load(folder, shape), shape, SamplerConfig(slots=1, context=context), TENSOR.value, devices=devices)
  sampler.warm_up(lambda text: print(text, file=sys.stderr, flush=True))
  return tokenizer, PolicyAssistant(sampler, tokenizer, SampleParams(SEED.value, TURN.value, TEMPERATURE.value), 'chat')


if __name__ == '__main__':
  app.run(main)
