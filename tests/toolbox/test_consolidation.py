"""Rounds of merging: what must hold of every merge, and how well duplicates are found among real tools."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inftool_jax.servers.simulator import Simulator
from inftool_jax.toolbox import perturbing
from inftool_jax.toolbox.consolidation import Consolidation, Method, consolidate
from inftool_jax.toolbox.embedding import TfidfEmbedder
from inftool_jax.types import WRITES, Tool

TEXT = {'type': 'string'}
ORDER = {'order_id': TEXT, 'carrier': TEXT}


@pytest.fixture(scope='module')
def perturbed(bundled) -> perturbing.Perturbed:
  return perturbing.perturb(bundled, len(bundled) // 4, len(bundled) // 8, seed=3)


@pytest.fixture(scope='module')
def found(perturbed) -> Consolidation:
  return consolidate(perturbed.tools)


@pytest.fixture
def twice(tool) -> tuple[Tool, Tool]:
  """One thing, written by two people."""
  return (
    tool('track_order', 'Tracks the parcel of an order.', ORDER, ('order_id',)),
    tool('trackOrder', 'Track the parcel of an order', {'orderId': TEXT, 'carrier': TEXT}, ('orderId',), server='post'),
  )


def test_duplicates_of_real_tools_are_found_and_little_else(perturbed, found):
  q = perturbing.quality(perturbed, found)
  assert q.expected > 90
  assert q.recall >= 0.9 and q.precision >= 0.95 and q.contradictory == 0, q


def test_every_merge_keeps_effect_home_and_the_whole_lineage(perturbed, found):
  was = {t.name: t for t in perturbed.tools}
  left = {t.name: t for t in found.tools}
  groups = perturbing.merged_names(found)
  assert groups
  for names in groups:
    tool, members = left[names[0]], [was[n] for n in names]
    assert {m.effect in WRITES for m in members} == {tool.effect in WRITES} and {m.effect for m in members} == {tool.effect}
    assert (tool.server, tool.name) == (members[0].server, members[0].name)
    assert {(o.server, o.pointer) for o in tool.lineage} == {(o.server, o.pointer) for m in members for o in m.lineage}


def test_a_merged_tool_does_in_the_simulator_what_it_did(bundled, found):
  before, after = Simulator(bundled).catalog.operations, Simulator(found.tools).catalog.operations
  kept = [names[0] for names in perturbing.merged_names(found)]
  assert len(kept) > 80
  for name in kept:
    was, now = before[name], after[name]
    assert (now.role, now.entity, now.id_parameter) == (was.role, was.entity, was.id_parameter)


def test_no_tool_is_lost(perturbed, found):
  merged = [name for names in perturbing.merged_names(found) for name in names[1:]]
  assert sorted([*merged, *(t.name for t in found.tools)]) == sorted(t.name for t in perturbed.tools)
  assert (found.sizes[0], found.sizes[-1]) == (len(perturbed.tools), len(found.tools))


def test_the_same_tools_give_the_same_tree(perturbed, found):
  assert consolidate(perturbed.tools) == found


def test_what_is_merged_hardly_depends_on_the_order_of_the_tools(perturbed, found):
  shuffled = random.Random(0).sample(perturbed.tools, len(perturbed.tools))
  groups, others = ({frozenset(names) for names in perturbing.merged_names(f)} for f in (found, consolidate(shuffled)))
  assert len(groups & others) >= 0.9 * len(groups | others)


def test_one_thing_written_twice_is_one_tool_of_the_larger_server(tool, twice):
  more = tool('get_price', 'Price of a product.', {'product': TEXT}, server='post')
  result = consolidate((*twice, more))
  assert [(t.name, t.server) for t in result.tools] == [('trackOrder', 'post'), ('get_price', 'post')]
  (merge,) = result.merges
  assert merge.members == (('trackOrder', 'post'), ('track_order', 'shop')) and merge.renamed == {'track_order.order_id': 'orderId'}
  assert 'post.trackOrder stands for shop.track_order' in str(merge) and 'renamed track_order.order_id to orderId' in str(merge)


def test_a_name_is_as_like_with_the_server_before_it_as_without(tool):
  bare = tool('list_boxes', 'All boxes.', server='north_depot')
  prefixed = tool('far_away_warehouse_17_list_boxes', 'All boxes.', server='far_away_warehouse_17')
  vectors = TfidfEmbedder().embed((bare, prefixed))
  assert (vectors[0] @ vectors[1].T).toarray()[0, 0] == pytest.approx(1)


def test_servers_of_different_splits_are_kept_apart(twice):
  assert len(consolidate(twice).tools) == 1
  assert consolidate(twice, apart={'shop': 'train', 'post': 'test'}).tools == twice
  assert len(consolidate(twice, apart={'shop': 'train', 'post': 'train'}).tools) == 1
  assert consolidate(twice, apart={'post': 'test'}).tools == twice


def test_a_read_and_a_write_of_one_name_stay_two(tool):
  two = (tool('order_status', 'The status of an order.', ORDER), tool('order_status2', 'The status of an order.', ORDER, effect='update'))
  assert consolidate(two).tools == two


def test_it_stops_at_the_target(perturbed):
  enough = len(perturbed.tools) - 10
  assert consolidate(perturbed.tools, target=enough).sizes[-1] == enough


def test_few_or_strange_tools_are_left_as_they_are(tool):
  assert consolidate(()).tools == ()
  alone = (tool('a'),)
  assert consolidate(alone).tools == alone
  strange = (
    tool('天気', '今日の天気を返します。', {'都市': TEXT}),
    tool('погода', 'Погода в городе', {'город': TEXT}, server='b'),
    tool('long', 'word ' * 200_000, server='c'),
    tool('none', server='d'),
    tool('any', parameters={'x': True, 'y': {}}, server='e'),
  )
  assert consolidate(strange).tools == strange
  with pytest.raises(ValueError, match='two tools are called a'):
    consolidate(alone * 2)
  with pytest.raises(ValueError, match='delta must lie between 0 and 1'):
    consolidate((*alone, tool('b')), Method(delta=1.0))


def test_one_thing_in_another_script_is_merged_as_well(tool):
  weather = tool('天気', '今日の天気を返します。', {'都市': TEXT})
  assert len(consolidate((weather, tool('b_天気', '今日の天気を返します。', {'都市': TEXT}, server='b'))).tools) == 1
  assert len(consolidate((weather, tool('b_為替', '為替レート。', {'通貨': TEXT}, server='b'))).tools) == 2


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_parameters_does_not_matter(perturbed, found, seed):
  rng = random.Random(seed)
  shuffled = []
  for t in perturbed.tools:
    names = rng.sample(list(t.parameters), len(t.parameters))
    properties = {name: t.parameters[name] for name in names}
    shuffled.append(dataclasses.replace(t, input_schema={**t.input_schema, 'properties': properties}) if names else t)
  assert perturbing.merged_names(consolidate(shuffled)) == perturbing.merged_names(found)
