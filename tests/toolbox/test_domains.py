"""Servers in few domains under names that the specifications use."""

from __future__ import annotations

import pytest

from inftool_jax.toolbox.domains import OTHER, domains
from inftool_jax.toolbox.tree import grow


def test_every_bundled_server_is_in_one_domain_that_says_what_it_is(bundled):
  found = domains(bundled, 15)
  assert sorted(s for d in found for s in d.servers) == sorted({t.server for t in bundled})
  assert 5 <= len(found) <= 15 and len({d.label for d in found}) == len(found)
  assert all(d.label and not d.label.isdigit() for d in found)
  stated = {t.server: t.domain.replace('_', ' ') for t in bundled}
  right = sum(stated[s] == d.label for d in found for s in d.servers)
  assert right >= 0.8 * len(stated)
  assert domains(bundled, 15) == found


def test_no_more_domains_than_wanted(bundled):
  assert len(domains(bundled, 4)) <= 4
  with pytest.raises(ValueError, match='at least 2 domains'):
    domains(bundled, 1)


def test_a_server_that_states_nothing_is_placed_by_its_words_or_left_to_the_rest(tool):
  tools = (
    tool('get_invoice', 'An invoice with its tax.', server='books', domain='finance'),
    tool('get_flight', 'A flight between airports.', server='air', domain='travel'),
    tool('list_airports', 'Airports of a country with flights.', server='ports', domain=''),
    tool('zzz', 'qqq', server='odd', domain=''),
  )
  found = {server: d.label for d in domains(tools, 3) for server in d.servers}
  assert found == {'books': 'finance', 'air': 'travel', 'ports': 'travel', 'odd': OTHER}


def test_a_tree_tells_its_counts_and_every_tool_once(bundled):
  tree = grow(bundled, count=8)
  told = tree.to_json()
  names = [name for d in told['domains'] for of in d['servers'].values() for name in of]
  assert sorted(names) == sorted(t.name for t in tree.tools)
  assert told['sizes'][0] == len(bundled) and told['sizes'][-1] == len(names)
