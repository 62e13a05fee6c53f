"""Calls of a live MCP server, made in order and recorded. Whatever they do there, they do: name a server that may be changed.

A call's arguments may hold what an earlier one answered: the text `${2:/id}` is the value at the JSON pointer `/id` in the answer to the
third call.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from inftool_jax.errors import SpecError
from inftool_jax.servers.fidelity import Recorded
from inftool_jax.specs import live, sources
from inftool_jax.specs.sources import Source
from inftool_jax.types import JSON, Call, Result

if TYPE_CHECKING:
  import mcp

CALL_SECONDS = 30.0
_EARLIER = re.compile(r'\$\{(\d+):((?:/[^/}]*)*)\}')


def record(named: str, calls: Sequence[Call]) -> tuple[dict[str, JSON], list[Recorded]]:
  """(dump of the server's tools, the calls as they were made with their answers), without the secrets of the server's name.

  Raises SpecError when the server fails, or a call refers to what no earlier answer holds.
  """
  source = sources.parse(named)
  dump, recorded = live.talk(source, lambda client: _played(client, source, calls), live.SECONDS + CALL_SECONDS * len(calls))
  return sources.scrub_json(dump, source), [_scrubbed(r, source) for r in recorded]


async def _played(client: mcp.Client, source: Source, calls: Sequence[Call]) -> tuple[dict[str, JSON], list[Recorded]]:
  dump = await live.listed(client, source)
  done: list[Recorded] = []
  for number, call in enumerate(calls):
    arguments = _filled(call.arguments, done, number)
    done.append(Recorded(Call(call.tool, arguments), await _answer(client, call.tool, arguments)))
  return dump, done


async def _answer(client: mcp.Client, tool: str, arguments: JSON) -> Result:
  """A protocol error is an answer too, for that is how many servers refuse a call; so is none for too long."""
  from mcp import MCPError

  try:
    async with asyncio.timeout(CALL_SECONDS):
      answer = await client.call_tool(tool, arguments)
  except MCPError as e:
    return Result(str(e), is_error=True)
  except TimeoutError:
    return Result(f'no answer within {CALL_SECONDS:g} s', is_error=True)
  text = '\n'.join(block.text for block in answer.content if block.type == 'text')
  return Result(text, answer.structured_content, bool(answer.is_error))


def _filled(value: JSON, done: Sequence[Recorded], number: int) -> JSON:
  if isinstance(value, Mapping):
    return {key: _filled(member, done, number) for key, member in value.items()}
  if isinstance(value, list):
    return [_filled(member, done, number) for member in value]
  reference = _EARLIER.fullmatch(value) if isinstance(value, str) else None
  if reference is None:
    return value
  try:
    result = done[int(reference[1])].result
    node = result.structured if result.structured is not None else json.loads(result.content)
    for step in reference[2].split('/')[1:]:
      node = node[int(step)] if isinstance(node, list) else node[step]
  except (LookupError, TypeError, ValueError):
    raise SpecError(f'call {number} wants {value}, which no earlier answer holds') from None
  return node


def _scrubbed(recorded: Recorded, source: Source) -> Recorded:
  call, result = recorded.call, recorded.result
  arguments, structured = sources.scrub_json(call.arguments, source), sources.scrub_json(result.structured, source)
  return Recorded(Call(call.tool, arguments), Result(sources.scrub(result.content, source), structured, result.is_error))
