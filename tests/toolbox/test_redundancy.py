"""Who does the same as whom, case by case."""

from __future__ import annotations

import pytest

from inftool_jax.toolbox.consolidation import consolidate
from inftool_jax.toolbox.redundancy import align

TEXT, NUMBER = {'type': 'string'}, {'type': 'number'}
CITY = {'city': TEXT, 'days': {'type': 'integer'}}


@pytest.mark.parametrize(
  ('name', 'description', 'parameters', 'same'),
  [
    ('fetch_weather_forecast', 'Forecast of the weather in a city.', CITY, True),  # another verb of the same meaning
    ('weatherForecast', 'Weather forecast for the city.', CITY, True),  # no verb
    ('get_weather_forecast_v2', 'Weather forecast for a city.', CITY, True),  # a version
    ('get_weather_forecast', 'Weather forecast for a city.', {'City': TEXT, 'numDays': {'type': 'integer'}}, True),  # respelled
    ('delete_weather_forecast', 'Deletes the weather forecast of a city.', CITY, False),  # another deed
    ('get_penguin_forecast', 'Forecast of the penguins in a city.', CITY, False),  # of another thing
    ('get_weather_forecast', 'Weather forecast for a city.', {'city': NUMBER, 'days': {'type': 'integer'}}, False),  # another type
    ('get_weather_forecast', 'Weather forecast.', {'lat': NUMBER, 'lon': NUMBER}, False),  # asked in another way
  ],
)
def test_what_is_the_same_and_what_only_looks_it(tool, name, description, parameters, same):
  home = tool('get_weather_forecast', 'Weather forecast for a city.', CITY, ('city',), server='met')
  first = next(iter(parameters))
  other = tool(f'b_{name}', description, parameters, (first,), server='b')
  assert (len(consolidate((home, other)).tools) == 1) == same


def test_a_server_hardly_offers_a_thing_twice(tool):
  two = (
    tool('get_user', 'A user by id.', {'id': TEXT}, ('id',)), tool('fetch_user', 'A user by name.', {'id': TEXT}, ('id',)),
  )
  assert consolidate(two).tools == two


def test_parameters_are_matched_by_spelling_and_by_abbreviation(tool):
  home = tool('a', '', {'query': TEXT, 'latitude': NUMBER, 'order_id': TEXT}, ('query',))
  other = tool('b', '', {'q': TEXT, 'lat': NUMBER, 'orderId': TEXT}, ('q',))
  assert align(home, other) == {'q': 'query', 'lat': 'latitude', 'orderId': 'order_id'}
  assert align(home, tool('c', '', {'page': NUMBER}, ('page',))) is None  # a required one without partner
