import pytest

from inftool_jax.toolbox.similarity import SimilarityIndex, band_of
from inftool_jax.types import Tool


def tool(name, description, *parameters):
  schema = {'type': 'object', 'properties': {p: {'type': 'string'} for p in parameters}}
  return Tool(name, description, schema, None, 'server', 'read', ())


TOOLS = (
  tool('get_order', 'Gets one order.', 'order_id'),
  tool('get_orders', 'Gets one order.', 'order_id'),
  tool('find_orders', 'Finds orders of a customer.', 'customer_id'),
  tool('translate_text', 'Translates words to another language.', 'text', 'language'),
)


def test_bands():
  assert [band_of(s) for s in (0.0, 0.39, 0.4, 0.85, 0.86, 1.0)] == ['far', 'far', 'related', 'related', 'near', 'near']


def test_scores_are_symmetric_and_one_to_oneself():
  index = SimilarityIndex(TOOLS)
  rows = [index.scores(t.name) for t in TOOLS]
  assert all(rows[i][i] == 1.0 for i in range(len(TOOLS)))
  assert all(rows[i][j] == rows[j][i] for i in range(len(TOOLS)) for j in range(len(TOOLS)))
  assert rows[0][1] > rows[0][2] > rows[0][3]


def test_look_alikes_are_near_and_strangers_far():
  index = SimilarityIndex(TOOLS)
  assert [t.name for t in index.band('get_order', 'near')] == ['get_orders']
  assert 'translate_text' in [t.name for t in index.band('get_order', 'far')]
  others = [t.name for band in ('near', 'related', 'far') for t in index.band('get_order', band)]
  assert sorted(others) == ['find_orders', 'get_orders', 'translate_text']


def test_the_same_tools_give_the_same_scores():
  assert SimilarityIndex(TOOLS).scores('get_order') == SimilarityIndex(TOOLS).scores('get_order')


def test_no_tools_and_strangers_are_errors():
  with pytest.raises(ValueError):
    SimilarityIndex(())
  with pytest.raises(KeyError):
    SimilarityIndex(TOOLS).scores('nobody')
