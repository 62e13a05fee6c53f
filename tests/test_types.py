"""The vocabulary: exact JSON round trips, and values that cannot be built wrong."""

from __future__ import annotations

import json
import math

import hypothesis
import pytest
from hypothesis import strategies as st

from inftool_jax import types
from inftool_jax.types import (
  KINDS,
  Answer,
  Call,
  Fact,
  GoldCall,
  Message,
  Origin,
  Provenance,
  Result,
  Sample,
  Scenario,
  Task,
  Tool,
  Trajectory,
)

TEXT = st.text(max_size=6)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=2)


COUNTS = st.integers(0, 9)
FLOATS = st.floats(allow_nan=False)


def _tuples(of: st.SearchStrategy) -> st.SearchStrategy:
  return st.lists(of, max_size=2).map(tuple)


ORIGINS = st.builds(Origin, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=2))
TOOLS = st.builds(Tool, TEXT, TEXT, OBJECTS, st.none() | OBJECTS, TEXT, st.sampled_from(['read', 'create', 'pure']), _tuples(ORIGINS))
CALLS = st.builds(Call, TEXT, OBJECTS, TEXT)
RESULTS = st.builds(Result, TEXT, JSON, st.booleans())
SAMPLES = st.builds(Sample, _tuples(COUNTS), _tuples(FLOATS), st.sampled_from(['stop', 'length']), COUNTS)
ROLES = st.sampled_from(['system', 'user', 'assistant', 'tool'])
MESSAGES = st.builds(Message, ROLES, TEXT, _tuples(CALLS), _tuples(RESULTS), st.none() | SAMPLES, TEXT)
PROVENANCE = st.builds(Provenance, st.sampled_from(['utterance', 'result']), COUNTS, TEXT, st.booleans())
GOLD = st.builds(GoldCall, CALLS, st.dictionaries(TEXT, PROVENANCE, max_size=2), COUNTS)
FACTS = _tuples(st.builds(Fact, TEXT, TEXT, JSON, TEXT))
SCENARIOS = st.builds(Scenario, TEXT, FACTS, FACTS, TEXT, TEXT, st.booleans())
ANSWERS = _tuples(st.builds(Answer, COUNTS, TEXT, JSON))
TASKS = st.builds(
  Task, TEXT, st.sampled_from(KINDS), _tuples(TOOLS), SCENARIOS, _tuples(GOLD), ANSWERS, JSON, JSON, st.integers(0, 2**63), TEXT, TEXT
)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
  n = draw(st.integers(0, 4))
  column = lambda of: tuple(draw(st.lists(of, min_size=n, max_size=n)))
  return Trajectory(
    draw(TEXT), draw(COUNTS), draw(_tuples(MESSAGES)), column(COUNTS), column(st.booleans()), column(FLOATS), column(st.integers(-1, 9)),
    draw(COUNTS), draw(st.dictionaries(TEXT, FLOATS, max_size=2)), draw(st.floats(0, 1)), draw(st.sampled_from(['completed', 'timeout'])),
    draw(TEXT),
  )  # fmt: skip


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(TASKS | trajectories() | TOOLS | RESULTS)
def test_json_text_and_back_is_the_same_value(value) -> None:
  text = json.dumps(types.to_json(value))
  again = types.from_json(type(value), json.loads(text))
  assert again == value and json.dumps(types.to_json(again)) == text


def _trajectory(**changes) -> Trajectory:
  fields = dict(
    task_id='t', sample=0, messages=(), tokens=(1, 2), loss_mask=(False, True), logprobs=(math.nan, -0.1), policy_versions=(-1, 3),
    turns=1, gates={}, reward=0.0, outcome='completed',
  ) | changes  # fmt: skip
  return Trajectory(**fields)  # type: ignore[arg-type]


def test_nan_where_the_policy_did_not_sample_survives() -> None:
  again = types.from_json(Trajectory, json.loads(json.dumps(types.to_json(_trajectory()))))
  assert math.isnan(again.logprobs[0]) and again.logprobs[1] == -0.1
  assert isinstance(again.tokens, tuple) and isinstance(again.messages, tuple)


@pytest.mark.parametrize('field', ['tokens', 'loss_mask', 'logprobs', 'policy_versions'])
def test_token_aligned_fields_have_one_length(field: str) -> None:
  with pytest.raises(ValueError, match='differ in length'):
    _trajectory(**{field: (1, 1, 1)})


def test_unknown_and_missing_fields_are_refused_by_name() -> None:
  with pytest.raises(ValueError, match=r"Call has no field \['args'\]"):
    types.from_json(Call, {'tool': 'x', 'args': {}})
  with pytest.raises(ValueError, match="Call.*'arguments'"):
    types.from_json(Call, {'tool': 'x'})


def test_what_a_tool_says_about_itself() -> None:
  schema = {'type': 'object', 'properties': {'b': {}, 'a': {}}, 'required': ['a']}
  tool = Tool('x', '', schema, None, 's', 'read', (Origin('f', '/p', 's', 'music'),))
  assert (list(tool.parameters), tool.required, tool.domain, tool.writes) == (['b', 'a'], ('a',), 'music', False)
  bare = Tool('x', '', {}, None, 's', 'delete', ())
  assert (dict(bare.parameters), bare.required, bare.domain, bare.writes) == ({}, (), '', True)
