"""Chats of the tiny base's corpus at a desk with forms.

Notes come in, and the desk writes the forms that they mean; asks where a required key is missing; says so where no form is meant; reads
records that come back, to say what was wanted of them or to write the next form with an identifier from them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tools.tiny_forms import Blank, Forms
from tools.tiny_text import Document, Line, Pieces, chat
from tools.tiny_values import plain

Rounds = list[tuple[str, str | Pieces]]
JOINED = (' and ', '; ', '. Then ', ', also ', ' plus ', '\n', ', then ')
WANTED = ('. {k}?', '; I need {k}', ', then say {k}', '. Look up {k}.', ' and the {k}', '. What is the {k}')
BOTH = (' and ', ' and the ', ', ')
NONE, ASKED, CHAIN, TWO = 0.18, 0.24, 0.12, 0.16  # shares of the notes; the others mean one form and are complete


class Desk:
  """One desk: its forms, and its ways of writing and speaking, of which the first message tells."""

  def __init__(self, forms: Forms):
    self._forms = forms
    self._rng = r = forms.rng
    self._name_key, self._about_key = r.choice(('form', 'title', 'sheet', 'name')), r.choice(('description', 'about', 'text'))
    self._fields_key, self._values_key = r.choice(('fields', 'properties', 'keys', 'entries')), r.choice(('values', 'filled', 'data'))
    self._before, self._after = r.choice((('', ''), ('<form>\n', '\n</form>'), ('[', ']'), ('> ', ''), ('<w>\n', '\n</w>')))
    self._nothing = r.choice(('nothing', 'none of these', 'no match', 'not there', 'No form is for that.'))
    self._say = r.choice(('{v}', 'It says {v}.', '{k}: {v}', '{k} = {v}', 'There {k} is {v}.'))
    self._ask = r.choice(('{k}?', 'Tell me {k}.', 'What about {k}?', '{k} is not given.', 'Say the {k}.'))
    self._done = r.choice(('ok', 'Noted.', 'That is it.'))
    self._listed, self._hidden = forms.blanks(r.randint(2, 5)), forms.blanks(3)
    self._required = {b.name: [k for k in b.schemas if r.random() < 0.7] for b in (*self._listed, *self._hidden)}
    self._nested = r.random() < 0.5

  def document(self) -> Document:
    rounds: Rounds = []
    for _ in range(self._rng.randint(5, 9)):
      rounds += self._note()
    return chat(self._opening(), rounds, [Line(b.name, self._line(b), b.line_words) for b in self._listed])

  def _opening(self) -> str:
    head = self._rng.choice(('', '', '', f'# {self._forms.title()}\n'))
    foot = f'\nWrite {self._before}{{"{self._name_key}": ..., "{self._values_key}": {{...}}}}{self._after}'
    ways = (self._ask.format(k='...'), self._nothing, self._say.format(k='...', v='...'), self._done)
    return head + '\n'.join(map(self._line, self._listed)) + foot + '\n' + ' / '.join(ways)

  def _line(self, blank: Blank) -> str:
    required = {'required': self._required[blank.name]} if self._required[blank.name] else {}
    opening = {self._name_key: blank.name, self._about_key: blank.about}
    if self._nested:
      return json.dumps({**opening, self._fields_key: {'type': 'object', 'properties': blank.schemas, **required}})
    return json.dumps({**opening, self._fields_key: blank.schemas, **required})

  def _written(self, blank: Blank, values: dict[str, object]) -> Pieces:
    before = f'{self._before}{{"{self._name_key}": "'
    return [(before, 1.0), (blank.name, 3.0), (f'", "{self._values_key}": {json.dumps(values)}}}{self._after}', 1.0)]

  def _note(self) -> Rounds:
    """One note, what it leads to, and what that leads to."""
    fate = self._rng.random()
    if fate < NONE:
      blank = self._rng.choice(self._hidden)
      text, _ = self._forms.noted(blank, self._listed, self._told(blank))
      return [(self._forms.sentence(text), [(self._nothing, 3.0)])]
    blank = self._rng.choice(self._listed)
    if fate < NONE + ASKED and self._required[blank.name]:
      return self._incomplete(blank)
    linked = [(b, k) for b in self._listed if b is not blank for k in self._required[b.name] if b.kinds[k] == 'id']
    if NONE + ASKED <= fate < NONE + ASKED + CHAIN and linked:
      return self._chain(blank, *self._rng.choice(linked))
    second = [self._rng.choice(self._listed)] if fate < NONE + ASKED + CHAIN + TWO else []
    third = [self._rng.choice(self._listed)] if second and self._rng.random() < 0.2 else []
    return self._complete([blank, *second, *third])

  def _told(self, blank: Blank, *without: str) -> list[str]:
    """The required keys and some others."""
    return [k for k in blank.kinds if k not in without and (k in self._required[blank.name] or self._rng.random() < 0.5)]

  def _incomplete(self, blank: Blank) -> Rounds:
    """A required key is left out, asked for, and told."""
    r = self._rng
    left_out = r.choice(self._required[blank.name])
    note, values = self._forms.noted(blank, self._listed, self._told(blank, left_out))
    value = self._forms.value(blank, left_out)
    words = left_out.replace('_', ' ')
    reply = r.choice(('{v}', '{v}.', 'It is {v}.', 'Put {v}.', '"{v}"', 'The {k} is {v}.')).format(v=plain(value), k=words)
    values[left_out] = value
    answer = self._written(blank, {k: values[k] for k in blank.kinds if k in values})
    rounds: Rounds = [(self._forms.sentence(note), [(self._ask.format(k=words), 3.0)])]
    if r.random() < 0.5:
      return [*rounds, (reply, answer)]
    record, said = self._record([], [])
    return [*rounds, (reply, answer), (record, said)]

  def _complete(self, blanks: Sequence[Blank]) -> Rounds:
    """All that is needed is told, and perhaps something wanted of what comes back."""
    r = self._rng
    notes: list[str] = []
    answer: Pieces = []
    for blank in blanks:
      note, values = self._forms.noted(blank, self._listed, self._told(blank))
      notes.append(note)
      answer += [*([('\n', 1.0)] if answer else []), *self._written(blank, values)]
    text = r.choice(JOINED).join(notes)
    fate = r.random()
    if fate < 0.4:
      return [(self._forms.sentence(text), answer)]
    wanted = self._wanted(0.82)
    text += self._asking(wanted)
    records = [self._record(wanted, []) for _ in blanks]
    back = '\n'.join(record for record, _ in records)
    said = ' '.join(said for _, said in records) if wanted else self._done
    return [(self._forms.sentence(text), answer), (back, [(said, 1.0)])]

  def _chain(self, first: Blank, second: Blank, linked: str) -> Rounds:
    """The second form takes an identifier from the record that comes back for the first."""
    r = self._rng
    note, values = self._forms.noted(first, self._listed, self._told(first))
    later, more = self._forms.noted(second, self._listed, self._told(second, linked))
    text = note + r.choice(JOINED) + r.choice(('it ', 'that ', '', 'for it ')) + later
    wanted = self._wanted(0.5)
    text += self._asking(wanted)
    link = self._forms.identifier(linked)
    record, _ = self._record([], [(linked, link)])
    filled = {k: link if k == linked else more[k] for k in second.kinds if k == linked or k in more}
    back, said = self._record(wanted, [])
    return [
      (self._forms.sentence(text), self._written(first, values)),
      (record, self._written(second, filled)),
      (back, said),
    ]

  def _wanted(self, share: float) -> list[str]:
    """The keys of what comes back that are asked for: one, two or, in all but `share` of the notes, none."""
    return self._forms.keys(self._rng.choice((1, 1, 1, 2))) if self._rng.random() < share else []

  def _asking(self, wanted: Sequence[str]) -> str:
    keys = self._rng.choice(BOTH).join(k.replace('_', ' ') for k in wanted)
    return self._rng.choice(WANTED).format(k=keys) if wanted else ''

  def _record(self, wanted: Sequence[str], told: list[tuple[str, object]]) -> tuple[str, str]:
    """A record with the keys that were wanted and what is told among others, and what is said of it."""
    r = self._rng
    record = self._forms.record(self._forms.keys(r.randint(1, 5)))[0]
    entries = [*record.items(), *told]
    missing = [k for k in wanted if k not in record]
    if missing:
      entries += self._forms.record(missing)[0].items()
    record = dict(r.sample(entries, len(entries)))
    said = [self._say.format(k=k.replace('_', ' '), v=plain(record[k])) for k in wanted]
    return json.dumps(record), ' '.join(said) or self._done
