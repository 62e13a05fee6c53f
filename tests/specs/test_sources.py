import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax.errors import SpecError
from inftool_jax.specs import sources

KEY = 'sk-live-4f9Qz81LmN2xV7'  # no key of anything


@pytest.mark.parametrize('named', [
  'npx -y @modelcontextprotocol/server-filesystem /tmp', 'python3.11 -m my_server --port 80 --region=eu-central-1', '/opt/x/bin/server',
  'GITHUB_TOKEN=${GITHUB_TOKEN} DEBUG=1 npx -y server-github', 'server --api-key ${KEY}', 'server --token=${KEY}',
  'https://example.com/mcp', 'http://127.0.0.1:8000/mcp', 'https://example.com/mcp?key=${KEY}',
  "https://example.com/mcp 'Authorization: Bearer ${KEY}' 'X-Region: eu'", 'https://example.com/${KEY}/mcp'])
def test_names_without_secrets(named):
  source = sources.parse(named)
  assert source.named == named and bool(source.command) != bool(source.url)


@pytest.mark.parametrize('named', [
  f'server --api-key {KEY}', f'server --api-key={KEY}', f'server {KEY}', f'API_KEY={KEY} server', 'PASSWORD=abc server',
  'server --password abc',
  f'https://me:{KEY}@example.com/mcp', f'https://{KEY}@example.com/mcp', f'https://example.com/mcp?q={KEY}', f'https://example.com/mcp?{KEY}=1',
  f'https://example.com/{KEY}/mcp', f'https://example.com/mcp#{KEY}', f"https://example.com/mcp 'Authorization: Bearer {KEY}'",
  f"https://example.com/mcp 'X-Api-Key: {KEY}'", f'https://{KEY}.example.com/mcp', f'https://example.com/mcp {KEY}', f'X={KEY}'])
def test_what_looks_like_a_secret_is_refused_and_not_repeated(named):
  with pytest.raises(SpecError) as error:
    sources.parse(named)
  assert KEY not in str(error.value) and 'abc' not in str(error.value)


@pytest.mark.parametrize(('named', 'said'), [
  ('', 'is empty'), ('"x', 'cannot be split'), ('A=1', 'names no command'),
  ('https:///x', 'without a host'), ('http://[x', 'no valid URL')])
def test_names_of_no_form(named, said):
  with pytest.raises(SpecError, match=said):
    sources.parse(named)


def test_parts_of_a_name(monkeypatch):
  monkeypatch.setenv('KEY', KEY)
  source = sources.parse("A=${KEY} run 'two words' ${KEY}")
  assert source.environment == {'A': '${KEY}'} and source.command == ('run', 'two words', '${KEY}') and source.variables == ('KEY',)
  assert sources.expand('a ${KEY} b') == f'a {KEY} b'
  with pytest.raises(SpecError, match='MISSING_KEY is not set'):
    sources.expand('${MISSING_KEY}')
  remote = sources.parse("https://example.com/mcp 'Authorization: Bearer ${KEY}'")
  assert remote.headers == {'Authorization': 'Bearer ${KEY}'}


def test_values_become_their_names_again(monkeypatch):
  monkeypatch.setenv('LONG', 'a b/c&longer')
  monkeypatch.setenv('PART', 'longer')
  monkeypatch.setenv('SHORT', '7')
  source = sources.parse('run ${PART} ${LONG} ${SHORT} ${UNSET}')
  assert sources.scrub('x a b/c&longer y a%20b%2Fc%26longer longer 7', source) == 'x ${LONG} y ${LONG} ${PART} ${SHORT}'
  assert sources.scrub_json({'a b/c&longer': ['has 7', 7, None, 'a b/c&longer!']}, source) == {'${LONG}': ['has 7', 7, None, '${LONG}!']}


@given(st.text(max_size=80))
def test_any_text_is_a_source_or_an_error(text):
  try:
    sources.parse(text)
  except SpecError:
    pass
