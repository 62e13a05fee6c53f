import ast
import json
import textwrap

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inftool_jax import specs
from inftool_jax.errors import SpecError
from inftool_jax.specs import python
from inftool_jax.specs.annotations import Hints


def read(source):
  source = textwrap.dedent(source)
  assert python.is_python(source)
  return python.read(source, 'my module')


def test_a_function():
  reading = read('''
    import os
    raise SystemExit('is never run')

    async def send_mail(to: str, /, subject: str, *, copies: int = 1, urgent=False) -> dict[str, int]:
      """Sends a mail.

      At once, if it is urgent.

      Args:
        to: Who gets it, an
          address.
        subject (str): What it says.
        copies: How many.

      Returns:
        What came of it.
      """
    def _private(): ...
  ''')
  operation, = reading.operations
  assert (operation.server, operation.name, operation.effect, operation.pointer) == ('my_module', 'send_mail', 'action', '/5')
  assert operation.description == 'Sends a mail. At once, if it is urgent.'
  assert operation.input_schema == {'type': 'object', 'required': ['to', 'subject'], 'properties': {
    'to': {'type': 'string', 'description': 'Who gets it, an address.'}, 'subject': {'type': 'string', 'description': 'What it says.'},
    'copies': {'type': 'integer', 'default': 1, 'description': 'How many.'}, 'urgent': {'type': 'boolean', 'default': False}}}
  assert operation.output_schema == {'type': 'object', 'additionalProperties': {'type': 'integer'}}
  assert operation.locations == {'to': 'positional', 'subject': 'keyword', 'copies': 'keyword', 'urgent': 'keyword'}
  assert reading.problems == ()


@pytest.mark.parametrize(('hint', 'schema'), [
  ('int', {'type': 'integer'}), ('"str"', {'type': 'string'}), ('typing.Any', {}), ('int | None', {'type': ['integer', 'null']}),
  ('Optional[float]', {'type': ['number', 'null']}), ('list[str]', {'type': 'array', 'items': {'type': 'string'}}),
  ('set[int]', {'type': 'array', 'uniqueItems': True, 'items': {'type': 'integer'}}),
  ('tuple[int, str]', {'type': 'array', 'minItems': 2, 'maxItems': 2, 'items': {'not': {}},
                       'prefixItems': [{'type': 'integer'}, {'type': 'string'}]}),
  ('tuple[int, ...]', {'type': 'array', 'items': {'type': 'integer'}}),
  ("Literal['a', 'b']", {'type': 'string', 'enum': ['a', 'b']}), ('Union[int, str]', {'anyOf': [{'type': 'integer'}, {'type': 'string'}]}),
  ("Annotated[int, 'How many.']", {'type': 'integer', 'description': 'How many.'}),
  ("Annotated[int, Field(description='How many.')]", {'type': 'integer', 'description': 'How many.'}),
  ('datetime.date', {'type': 'string', 'format': 'date'}), ('Mapping[str, Any]', {'type': 'object'}),
  ('Color', {'type': 'string', 'enum': ['red', 'blue']}), ('Size', {'enum': [1, 2]}), ('Id', {'type': 'integer'}),
  ('Point', {'type': 'object', 'description': 'A place.', 'required': ['x'], 'properties': {
    'x': {'type': 'number', 'description': 'Eastward.'}, 'y': {'type': 'number', 'description': 'Northward.'}}}),
  ('Movie', {'type': 'object', 'properties': {'title': {'type': 'string'}}}),
])
def test_hints(hint, schema):
  reading = read(f'''
    class Color(Enum):
      RED = 'red'
      BLUE = 'blue'
    Size = Literal[1, 2]
    Id = NewType('Id', int)
    @dataclass
    class Point:
      """A place.

      Attributes:
        z: Nothing.
      """
      x: float = Field(description='Eastward.')
      y: float = field(default=0.0, metadata=1, description='Northward.')
      _hidden: int = 0
    class Movie(TypedDict, total=False):
      title: str
    def f(a: {hint}): ...
  ''')
  operation, = reading.operations
  assert operation.input_schema['properties']['a'] == schema and reading.problems == ()


def test_a_record_that_holds_itself():
  operation, = read('''
    class Node(BaseModel):
      children: list['Node'] = []
    def f(root: Node) -> Node: ...
  ''').operations
  jsonschema.Draft202012Validator.check_schema(operation.input_schema)
  assert '$ref' not in json.dumps(operation.input_schema)
  assert operation.input_schema['properties']['root']['properties']['children']['type'] == 'array'


def test_what_cannot_be_said_is_told_with_its_line_and_the_function_kept():
  reading = read('''
    def f(a: Callable[[], int],
          b=os.getcwd(),
          *rest, c: Thing = None, **more) -> socket.socket: ...
  ''')
  operation, = reading.operations
  assert operation.input_schema == {'type': 'object', 'required': ['a'], 'properties': {'a': {}, 'b': {}, 'c': {}}}
  assert operation.output_schema is None
  assert [(p, r.split(',')[0]) for p, r in reading.problems] == [
    ('/2', 'f: a is a Callable[[]'), ('/3', 'f: the default of b is no JSON value; it is not told'), ('/4', 'f: c is a Thing'),
    ('/4', 'f: *rest takes any number of arguments; it is left out'), ('/4', 'f: *more takes any number of arguments; it is left out'),
    ('/4', 'f: returns a socket.socket')]


@pytest.mark.parametrize('docstring', [
  'Does it.\n\nParameters\n----------\nx : int\n  The first.\ny, z : list of str, optional\n  The others.\n'
  '\nReturns\n-------\nint\n  Nothing.',
  'Does it.\n\n:param int x: The first.\n:param y: The\n  others.\n:param z: The others.\n'
  ':type y: list of str\n:type z: list of str, optional\n'
  ':returns: Nothing.\n:rtype: int',
  'Does it.\n\nArgs:\n  x (int): The first.\n  y (list of str): The\n    others.\n'
  '  z (list of str, optional): The others.\n\nRaises:\n  E: No.',
])
def test_styles_of_docstrings_give_types_where_there_are_no_hints(docstring):
  operation, = read(f'def f(x, y, z=None):\n  {docstring!r}\n').operations
  strings = {'type': 'array', 'items': {'type': 'string'}, 'description': 'The others.'}
  assert operation.description == 'Does it.'
  assert operation.input_schema['properties'] == {'x': {'type': 'integer', 'description': 'The first.'}, 'y': strings, 'z': strings}


def test_public_functions_only():
  assert [o.name for o in read("__all__ = ['b']\ndef a(): ...\ndef b(): ...").operations] == ['b']
  twice = read('@overload\ndef a(x): ...\ndef a(x, y): ...\nif W:\n  def c(): ...\nelse:\n  def c(): ...')
  assert [o.pointer for o in twice.operations] == ['/3', '/5']
  assert read('def _a(): ...').problems == (('', 'has no public functions'),)


def test_files_modules_and_names_in_any_script(tmp_path, monkeypatch):
  package = tmp_path / 'lib' / 'outer'
  package.mkdir(parents=True)
  (package / '__init__.py').write_text('raise SystemExit("was run")')
  (package / 'inner.py').write_text('def größe(länge: int) -> int: ...\n')
  monkeypatch.syspath_prepend(tmp_path / 'lib')
  tool, = specs.load('python:outer.inner').tools
  assert (tool.name, tool.server, tool.lineage[0].source, tool.lineage[0].pointer) == ('groe', 'inner', 'python:outer.inner', '/1')
  assert specs.load(tmp_path / 'lib').tools[0].lineage[0].source == 'outer/inner.py'
  for module in ('outer.nowhere', 'nowhere', 'sys', '', '..outer'):
    with pytest.raises(SpecError, match='python:'):
      specs.load(f'python:{module}')


@pytest.mark.parametrize('text', ['a: 1', '{"a": 1}', 'def f(', 'x = 1', '',
                                  'openapi: 3.0.0\ninfo:\n  description: |\n    def f(x): ...\n'])
def test_other_text_is_no_python(text):
  assert not python.is_python(text)


@given(st.text(max_size=200))
def test_any_docstring_is_read(docstring):
  python.read(f'def f(x, y=1):\n  {docstring!r}\n', 'm')


@given(st.text(alphabet="[]|, 'aintsrNoe.()*-", max_size=40))
def test_any_hint_is_a_schema_or_a_problem(hint):
  source = f'def f(x: {hint}): ...'
  if python.is_python(source):
    for operation in python.read(source, 'm').operations:
      jsonschema.Draft202012Validator.check_schema(operation.input_schema)
  jsonschema.Draft202012Validator.check_schema(Hints(ast.parse('')).of_text(hint))


@pytest.mark.parametrize('hint', ['-' * 5000 + '1', 'list[' * 90 + 'int' + ']' * 90,
                                  '|'.join(['int'] * 3000), '"' + 'list of ' * 3000 + '"'])
def test_deep_source_is_no_crash(tmp_path, hint):
  (tmp_path / 'deep.py').write_text(f'def f(x: {hint}): ...\ndef g(x): """:type x: {hint}"""')
  (tmp_path / 'good.py').write_text('def good(): ...')
  assert 'good' in [t.name for t in specs.load(tmp_path).tools]
