import pytest

from inftool_jax.specs import effects


@pytest.mark.parametrize(('method', 'name', 'path', 'effect'), [
  ('GET', 'deletePet', '/pets', 'read'),
  ('GET', 'convert_currency', '/convert', 'pure'),
  ('DELETE', 'post_x', '/pets/{id}', 'delete'),
  ('PATCH', 'x', '/pets/{id}', 'update'),
  ('POST', 'searchPets', '/pets', 'read'),
  ('POST', 'addPet', '/pet', 'create'),
  ('POST', 'post_pets', '/pets', 'create'),
  ('POST', 'post_setup', '/setup', 'action'),
  ('POST', 'x', '/orders/{id}/cancel', 'action'),
  ('POST', 'x', '/pets/{id}', 'action'),
])
def test_http(method, name, path, effect):
  assert effects.of_http(method, name, path) == effect


@pytest.mark.parametrize(('name', 'annotations', 'effect'), [
  ('get_pet', {}, 'read'),
  ('maps_place_details', {}, 'action'),
  ('delete_pet', {'readOnlyHint': True}, 'read'),
  ('calculate_tax', {'readOnlyHint': True}, 'pure'),
  ('get_pet', {'readOnlyHint': False}, 'action'),
  ('update_pet', {'destructiveHint': True}, 'update'),
  ('remove_filter', {'destructiveHint': False}, 'action'),
  ('frobnicate', {}, 'action'),
])
def test_mcp(name, annotations, effect):
  assert effects.of_mcp(name, '', annotations) == effect


def test_stated_takes_the_six_effects_only():
  assert [effects.stated(e) for e in (*effects.EFFECTS, 'write', None, ['read'])] == [*effects.EFFECTS, None, None, None]


@pytest.mark.parametrize(('method', 'name', 'description', 'effect'), [
  ('POST', 'SentimentAnalysis', 'Identifies the sentiment of a document.', 'pure'),
  ('POST', 'x', 'New contract. Creates a contract.', 'create'),
  ('GET', 'numbers_base', 'Convert a given number to octal', 'pure'),
  ('GET', 'numbers_prime', 'Checks whether a given number is a prime or not', 'pure'),
  ('GET', 'tide', 'Predicts the tide at a gauge', 'read'),  # of what the server knows
  ('GET', 'empty', 'Removes all items from the cart', 'delete'),
  ('GET', 'list_items', 'Removes nothing', 'read'),
  ('PUT', 'addReceipt', '', 'create'),
])
def test_http_described(method, name, description, effect):
  assert effects.of_http(method, name, '/x', description) == effect


def test_what_writes_files_is_not_pure():
  assert effects.of_mcp('convert_html', '', {}, ['input']) == 'pure'
  assert effects.of_mcp('convert_html', '', {}, ['input', 'outputDir']) == 'action'
