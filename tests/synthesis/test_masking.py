"""Masked conversations: new names everywhere at once, and nothing else changed."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from inftool_jax import specs
from inftool_jax.synthesis import masking
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS

TOOLS = specs.split((INGEST := specs.load([specs.bundled_path()])).tools, 0, INGEST.splits).train
TASKS = plan(TOOLS, dict.fromkeys(KINDS, 3), 5, split='train')
VOCABULARY = masking.vocabulary(TOOLS)


def texts(task) -> list[str]:
  """What a conversation says: tools, request, calls."""
  documents = [json.dumps({'name': t.name, 'description': t.description, 'parameters': t.parameters}) for t in task.tools]
  calls = [json.dumps({'name': g.call.tool, 'arguments': g.call.arguments}) for g in task.gold]
  return ['\n'.join(documents), task.scenario.opening, *calls]


@pytest.mark.parametrize('task', TASKS, ids=lambda t: t.id)
def test_a_word_gets_one_replacement_throughout_and_the_shape_stays(task):
  before, after = texts(task), masking.mask(texts(task), [task], VOCABULARY, seed=1)
  table: dict[str, str] = {}
  for old, new in zip(before, after):
    assert re.sub('[A-Za-z]+', 'w', old) == re.sub('[A-Za-z]+', 'w', new)  # blanks, digits and punctuation untouched
    for a, b in zip(re.findall('[A-Za-z]+', old), re.findall('[A-Za-z]+', new)):
      assert table.setdefault(a, b) == b
  replaced = {b.lower() for a, b in table.items() if a != b}
  assert not replaced & {a.lower() for a, b in table.items() if a == b}  # no new name is an old word


@pytest.mark.parametrize('task', TASKS, ids=lambda t: t.id)
def test_every_call_still_names_an_offered_tool_and_its_parameters(task):
  documents, _, *calls = masking.mask(texts(task), [task], VOCABULARY, seed=2)
  offered = {d['name']: d['parameters'] for d in map(json.loads, documents.splitlines())}
  for call in map(json.loads, calls):
    assert set(call['arguments']) <= set(offered[call['name']])


def test_schema_words_are_never_replaced_and_synonyms_keep_their_meaning():
  for task in TASKS:
    chosen = set(masking.candidates(task))
    assert not chosen & masking.KEPT
    said = set(re.findall('[a-z]+', task.scenario.opening.lower()))
    own = {w for t in task.tools if t.name in {g.call.tool for g in task.gold} for w in t.name.split('_')}
    unsaid = {w for w in own if w not in said and w + 's' not in said and not any(w in f.text.lower() for f in task.scenario.withheld)}
    assert not chosen & {w for w in unsaid if not w.endswith('s')}


@pytest.mark.parametrize('task', TASKS, ids=lambda t: t.id)
def test_markup_stays_even_where_a_name_has_its_words(task):
  markup = ['<|im_start|>', '<|im_end|>', '<tools>', '</tools>', '<tool_call>', '</tool_call>', '<tool_response>', '</tool_response>']
  tools = tuple(dataclasses.replace(t, description=f'{t.description} (start, end, response)') for t in task.tools)
  scenario = dataclasses.replace(task.scenario, opening=f'{task.scenario.opening} Start, end, response.')
  task = dataclasses.replace(task, tools=tools, scenario=scenario)
  assert {'start', 'end', 'response'} <= set(masking.candidates(task))
  assert masking.mask(markup, [task], VOCABULARY, seed=3) == markup


def test_another_seed_gives_other_names_and_the_same_seed_the_same():
  task = max(TASKS, key=lambda t: len(masking.candidates(t)))
  first = masking.mask(texts(task), [task], VOCABULARY, seed=1)
  assert first == masking.mask(texts(task), [task], VOCABULARY, seed=1) != masking.mask(texts(task), [task], VOCABULARY, seed=2)
