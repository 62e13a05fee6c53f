"""Terms of a user's own: found by name, and joined to each of the three rewards."""

from __future__ import annotations

import sys
import types

import pytest

from inftool_jax.errors import ConfigError
from inftool_jax.rewards import terms


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
  mine = types.ModuleType('my_terms')
  mine.polite = lambda task, messages, difference: float(any('please' in m for m in messages))  # type: ignore[attr-defined]
  mine.parse, mine.LIMIT = mine.polite, 3  # type: ignore[attr-defined]
  monkeypatch.setitem(sys.modules, 'my_terms', mine)


def test_a_term_is_found_by_name_and_called_as_its_function() -> None:
  found = terms.load(['my_terms:polite'])
  assert list(found) == ['polite'] and terms.load([]) == {}
  assert terms.values(found, None, ['yes please'], {}) == {'polite': 1.0}  # type: ignore[arg-type, list-item]


@pytest.mark.parametrize(('names', 'message'), [
  (['no_such_module:f'], 'no_such_module:f cannot be found'),
  (['my_terms:rude'], 'my_terms:rude cannot be found'),
  (['my_terms:LIMIT'], 'my_terms:LIMIT is no function'),
  (['my_terms:parse'], "there is a term 'parse' already"),
  (['my_terms:polite', 'my_terms:polite'], "there is a term 'polite' already"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name(names: list[str], message: str) -> None:
  with pytest.raises(ConfigError, match=rf'--config\.rounds\.terms: {message}'):
    terms.load(names)


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan')])
def test_a_value_outside_its_range_is_an_error(value: float) -> None:
  with pytest.raises(ValueError, match="the term 'odd' is"):
    terms.values({'odd': lambda *_: value}, None, [], {})  # type: ignore[arg-type]


def test_it_is_a_factor_a_condition_or_a_part() -> None:
  extra = {'a': 0.5, 'b': 1.0}
  assert terms.joined(0.8, 'gated', extra) == pytest.approx(0.4)
  assert terms.joined(1.0, 'binary', extra) == 0 and terms.joined(1.0, 'binary', {'b': 1.0}) == 1
  assert terms.joined(0.9, 'additive', extra) == pytest.approx((0.9 + 0.05 + 0.1) / 1.2)
  assert [terms.joined(0.7, name, {}) for name in ('gated', 'additive')] == [0.7, 0.7]
