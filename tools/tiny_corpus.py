"""Generic text for the tiny base policy: repeated segments, JSON documents, ChatML chats and some English.

Nothing here is taken from the loop: no tool, no task, no wording of its scenarios. Names and values are random
words, so that the only way to predict them is to copy them from the context.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tools import tiny_words
from tools.tiny_values import ALIKE, SCHEMAS, Values, plain

# A document is a list of (text, loss weight) pieces.
Document = list[tuple[str, float]]

ALONE = ('{v}', 'at {v}', 'to {v}', 'with {v}', 'on {v}', 'from {v}', 'for {v}', 'as {v}', 'by {v}', 'in {v}', '({v})')
BESIDE_KEY = (
  '{k} {v}', '{v} as {k}', '{k} is {v}', '{k}: {v}', 'has {k} {v}', '{k} now {v}', 'a {k} of {v}', 'the {k} {v}', '{v} {k}', '{k} = {v}',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Blank:
  """A form: key -> kind of value, and key -> JSON Schema."""

  name: str
  about: str
  kinds: dict[str, str]
  schemas: dict[str, dict[str, object]]

  @property
  def words(self) -> set[str]:
    return {*self.name.split('_'), *self.about.split()}

  def within(self, other: Blank) -> bool:
    """Does the other one have all the words of this one's name?"""
    return set(self.name.split('_')) <= other.words


class Style(NamedTuple):
  """What stands before a line, after its first word, between and after the others, and before an answer."""

  before: str
  after: str
  between: str
  end: str
  arrow: str


class Corpus(Values):
  """Draws documents of every kind from one seeded generator; see `Values` for `words` and `pieces`."""

  def __init__(self, seed: int, words: Sequence[str] = (), pieces: Sequence[str] = ()):
    super().__init__(seed, words, pieces)
    text = tiny_words.english_text()
    self.paragraphs = [p for p in re.split(r'\n\s*\n', text) if 80 < len(p) < 900]

  def repeats(self) -> Document:
    """A random segment, said again and again; or several segments recalled in random order."""
    r = self.rng
    if r.random() < 0.5:
      segment = self.noise(r.randint(5, 24))
      return [(segment + '\n', 0.0)] + [(segment + '\n', 1.0) for _ in range(r.randint(1, 3))]
    segments = [self.noise(r.randint(3, 9)) for _ in range(r.randint(2, 6))]
    first = ''.join(s + '\n' for s in segments)
    again = [r.choice(segments) for _ in range(r.randint(2, 6))]
    pieces: Document = [(first, 0.0)]
    for s in again:
      cue = s.split(' ')[0]
      pieces += [(cue, 0.0), (s[len(cue) :] + '\n', 1.0)]
    return pieces

  def noise(self, n: int) -> str:
    return ' '.join(str(self.typed_value(self.rng.choice(self.KINDS))) if self.rng.random() < 0.5 else self.word() for _ in range(n))

  def english(self) -> Document:
    return [(re.sub(r'[ \t]+', ' ', self.rng.choice(self.paragraphs)) + '\n', 0.4)]

  def documents(self) -> Document:
    """JSON: a list of like records, or a record and its copy in another place."""
    r = self.rng
    keys = self.keys(r.randint(2, 5))
    if r.random() < 0.5:
      rows = [self.record(keys)[0] for _ in range(r.randint(2, 4))]
      return [(json.dumps({self.key(): rows}) + '\n', 0.3)]
    record, _ = self.record(keys)
    order = r.sample(keys, len(keys))
    return [(json.dumps(record) + '\n', 0.2), (json.dumps({k: record[k] for k in order}) + '\n', 1.0)]

  def chat(self, system: str, rounds: list[tuple[str, str | Document]]) -> Document:
    pieces: Document = [(f'<|im_start|>system\n{system}<|im_end|>\n', 0.0)] if system else []
    for asked, said in rounds:
      answer = [(said, 1.0)] if isinstance(said, str) else said
      pieces += [(f'<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n', 0.0), *answer, ('<|im_end|>', 1.0), ('\n', 0.0)]
    return pieces

  def lookup(self) -> Document:
    """Questions about values that stand in records: the key is said in words."""
    r = self.rng
    n = r.randint(1, 3)
    names = [self.title() for _ in range(n)]
    records = [self.record(self.keys(r.randint(3, 6)))[0] for _ in range(n)]
    if r.random() < 0.5:
      context = '\n'.join(json.dumps({'title': name, **rec}) for name, rec in zip(names, records))
    else:
      listed = ('; '.join(f'{k.replace("_", " ")} {plain(v)}' for k, v in rec.items()) for rec in records)
      context = '\n'.join(f'{name}: {text}' for name, text in zip(names, listed))
    ask = r.choice(('{k} of {t}?', '{t}, {k}?', 'Look up {k} for {t}.', 'I need {k} in {t}.', 'In {t}: {k}?'))
    say = r.choice(('{v}', 'It says {v}.', '{k}: {v}', '{t} has {v}', 'I read {v} there.', '{k} = {v}'))
    rounds = []
    for _ in range(r.randint(2, 5)):
      i = r.randrange(n)
      k = r.choice(list(records[i]))
      slots = {'k': k.replace('_', ' '), 't': names[i], 'v': plain(records[i][k])}
      rounds.append((ask.format(**slots), say.format(**slots)))
    return self.chat(context, rounds)

  def extraction(self) -> Document:
    """Notes turned into records: keys beside their values, or values known by their type alone; null if not told."""
    r = self.rng
    keys = self.keys(r.randint(1, 4))
    kinds = {k: r.choice(self.KINDS[:-1]) for k in keys}
    style = r.randrange(4)
    if style < 2:  # JSON Schema
      schemas = {k: {**SCHEMAS[kinds[k]], **({'description': self.noise(2)} if r.random() < 0.3 else {})} for k in keys}
      system = json.dumps({'properties': schemas, 'required': keys} if style else schemas)
    elif style == 2:
      system = 'Keys: ' + ', '.join(f'{k} ({kinds[k]})' for k in keys)
    else:
      system = '\n'.join(f'- {k}: {kinds[k]}' for k in keys)
    rounds: list[tuple[str, str | Document]] = []
    for _ in range(r.randint(2, 5)):
      told = [k for k in keys if r.random() < 0.85]
      record = {k: (self.typed_value(kinds[k]) if k in told else None) for k in keys}
      rounds.append((self.note(told, kinds, record), json.dumps(record)))
    return self.chat(system, rounds)

  def note(self, told: list[str], kinds: dict[str, str], record: dict[str, object]) -> str:
    r = self.rng
    order = r.sample(told, len(told))
    parts = []
    for k in order:
      value, words = plain(record[k]), k.replace('_', ' ')
      if r.random() < 0.2:
        words = r.choice(words.split())
      if kinds[k] == 'text' and r.random() < 0.4:
        value = f'"{value}"'
      alone = [o for o in kinds if ALIKE.get(kinds[o], kinds[o]) == ALIKE.get(kinds[k], kinds[k])] == [k]
      if alone and r.random() < 0.6:
        parts.append(r.choice(ALONE).format(v=value))
      else:
        parts.append(r.choice(BESIDE_KEY).format(k=words, v=value))
    filler = [r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 0, 1, 3)))]
    text = r.choice((', ', ' and ', ' ', '; ')).join(parts)
    return r.choice((f'{" ".join(filler)} {text}', f'{text} {" ".join(filler)}', text)).strip() or 'nothing'

  def selection(self) -> Document:
    """Which of several named notes is meant? The question shares more words with one of them than with any other, or with none."""
    r = self.rng
    listed, (hidden,) = self.blanks(r.randint(2, 6)), self.blanks(1)
    name_key, about_key = r.choice(('id', 'name', 'title')), r.choice(('about', 'description', 'text'))
    lines = [json.dumps({name_key: b.name, about_key: b.about}) for b in listed]
    style = r.choice(('{n}', 'That is {n}.', '[{n}]', '{{"id": "{n}"}}'))
    rounds = []
    for _ in range(r.randint(5, 9)):
      known = r.random() > 0.12
      blank = r.choice(listed) if known else hidden
      noise = self.noise(r.randint(1, 3)) if r.random() < 0.5 else ''
      asked = ' '.join(self.named(blank, listed)) + r.choice((' ', ', ', ': ', '. ')) + noise
      rounds.append((self.sentence(asked), style.format(n=blank.name if known else 'none')))
    return self.chat('\n'.join(lines), rounds)

  def roll(self) -> Document:
    """Lines of words, each followed by the first of its line again."""
    r = self.rng
    width, count = r.randint(2, 5), r.randint(2, 6)
    words = self.distinct(width * count)
    pieces: Document = []
    between = r.choice(('', ' ', '_', ': '))
    for i in range(0, width * count, width):
      first, *rest = words[i : i + width]
      pieces += [(first, 0.0)]
      for word in rest:
        pieces += [(between + word + between, 0.0), (first, 1.0)]
      pieces += [('\n', 0.0)]
    return pieces

  def table(self) -> Document:
    """Lines of a few words, nothing between them; then a word of a line and the first of that line."""
    return self.lines(2, 5, Style('', '', '', '\n', ''))

  def hints(self) -> Document:
    """Lines of a few words in many styles; then a word or two of a line among others that stand in none, and the first of that line."""
    r = self.rng
    style = Style(
      r.choice(('', '', '- ', '{"')), r.choice((' ', '_', ': ', ', ')), r.choice((' ', ' ', '_', ', ')),
      r.choice(('\n', '\n', '}\n', '.\n')), r.choice((' ', ': ', ' -> ', ' = ', '\n', '\n{"name": "')),
    )  # fmt: skip
    return self.lines(2, 5, style, r.choice((0, 1, 2, 4, 8)))

  def lines(self, low: int, high: int, style: Style, around: int = 0) -> Document:
    """Each line is asked for by words that no earlier answer has told."""
    r = self.rng
    width, count = r.randint(low, high), r.randint(2, 6)
    words = self.distinct(width * count)
    lines = [words[i : i + width] for i in range(0, width * count, width)]
    listed = set(words)
    pieces: Document = []
    for first, *rest in lines:
      pieces += [(text, 0.0) for text in (style.before, first, style.after) if text]
      pieces += [(text, 0.0) for word in rest for text in (word, style.between) if text]
      pieces += [(style.end, 0.0)]
    asked = [(line, word) for line in lines for word in line[1:]]
    for line, word in r.sample(asked, min(8, len(asked))):
      said = [word]
      if around:
        said += [w for w in line[1:] if w != word and r.random() < 0.3]
        other = [r.choice(tiny_words.SMALL) for _ in range(r.randint(0, around))]
        other += [plain(self.typed_value(r.choice(self.KINDS))) for _ in range(r.randint(0, around) // 4)]
        said += [text for text in other if not listed & set(text.lower().split())]
        r.shuffle(said)
      pieces += [(' '.join(said) + style.arrow, 0.0), (line[0] + '\n', 1.0)]
    return pieces

  def distinct(self, count: int) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < count:
      words[self.word()] = None
    return list(words)

  def cards(self) -> Document:
    """Forms without any JSON: a name, words and keys; a note that means one of them and gives its values; the name and the values."""
    r = self.rng
    words = self.distinct(30)
    cards: list[Blank] = []
    for _ in range(r.randint(2, 3)):
      first, last = words.pop(), cards[0].name.split('_')[-1] if cards and r.random() < 0.25 else words.pop()
      about = [*([first] if r.random() < 0.5 else []), *(words.pop() for _ in range(r.randint(0, 2))), last]
      kinds = {words.pop(): r.choice(('code', 'integer', 'pseudo', 'pseudo')) for _ in range(r.choice((1, 1, 2)))}
      cards.append(Blank(f'{first}_{last}', ' '.join(about), kinds, {}))
    pieces: Document = [('\n'.join(f'{c.name}: {c.about} ({", ".join(c.kinds)})' for c in cards) + '\n', 0.0)]
    for card in r.choices(cards, k=r.randint(1, 3)):
      values = {k: self.pseudo() if kind == 'pseudo' else self.typed_value(kind) for k, kind in card.kinds.items()}
      said = [f'{k} {v}' if len(values) > 1 or r.random() < 0.5 else str(v) for k, v in values.items()]
      meant = self.meant(card, cards)
      note = [*(r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 1, 2)))), *meant, *r.sample(said, len(said))]
      pieces += [(' '.join(note) + '\n', 0.0), (card.name, 3.0), (f' {", ".join(f"{k}: {v}" for k, v in values.items())}\n', 1.0)]
    return pieces

  def sentence(self, text: str) -> str:
    """The text as it is, or as a sentence."""
    text = text.strip(' ,:.')
    if self.rng.random() < 0.6:
      first = text[0].upper() if text.split()[0].isalpha() else text[0]  # a value stays as it is
      text = first + text[1:] + self.rng.choice(('', '.', '.', '?'))
    return text

  def forms(self) -> Document:
    """Several blank records in JSON, each with a name and its keys; notes say which one to fill in, and with what."""
    r = self.rng
    name_key, about_key = r.choice(('form', 'title', 'sheet')), r.choice(('description', 'about', 'text'))
    fields_key, values_key = r.choice(('fields', 'properties', 'keys')), r.choice(('values', 'filled', 'data'))
    listed, (hidden,) = self.blanks(r.randint(2, 4)), self.blanks(1)
    needed = r.random() < 0.6
    lines = [
      json.dumps({name_key: b.name, about_key: b.about, fields_key: b.schemas, **({'required': list(b.schemas)} if needed else {})})
      for b in listed
    ]
    head = r.choice(('', '# ' + self.title() + '\n', self.noise(3) + '\n'))
    foot = f'\nWrite {{"{name_key}": ..., "{values_key}": {{...}}}}'
    nothing = r.choice(('nothing', 'none of these', 'no match', 'not there'))
    say = r.choice(('{v}', 'It says {v}.', '{k}: {v}', '{k} = {v}'))  # one way of speaking in one chat
    rounds: list[tuple[str, str | Document]] = []
    for _ in range(r.randint(2, 6)):
      if r.random() < 0.12:  # a note about none of these forms, or about nothing
        note = self.filled(hidden, listed)[0] if r.random() < 0.7 else self.noise(r.randint(4, 9))
        rounds.append((self.sentence(note), nothing))
        continue
      chosen = [r.choice(listed) for _ in range(2 if r.random() < 0.2 else 1)]
      filled = [self.filled(b, listed) for b in chosen]
      asked = self.key() if r.random() < 0.3 else ''
      note = r.choice((' and ', '; ', '. Then ', ', also ')).join(text for text, _ in filled)
      if asked:
        note += r.choice(('. {k}?', '; I need {k}', ', then say {k}', '. Look up {k}.')).format(k=asked.replace('_', ' '))
      answer: Document = []
      for b, (_, values) in zip(chosen, filled):
        answer += [('\n', 1.0)] if answer else []
        answer += [(f'{{"{name_key}": "', 1.0), (b.name, 3.0), (f'", "{values_key}": {json.dumps(values)}}}', 1.0)]
      rounds.append((self.sentence(note), answer))
      if asked:
        rounds.append(self.found(asked, say, 4))
    return self.chat(head + '\n'.join(lines) + foot, rounds)

  def desk(self) -> Document:
    """Forms with required keys at a desk: what a note leaves out is asked for, what no form is for is refused, and records come back."""
    r = self.rng
    name_key, about_key = r.choice(('form', 'title', 'sheet', 'name')), r.choice(('description', 'about', 'text'))
    fields_key, values_key = r.choice(('fields', 'properties', 'keys')), r.choice(('values', 'filled', 'data'))
    before, after = r.choice((('', ''), ('<form>\n', '\n</form>'), ('[', ']'), ('> ', '')))
    listed, hidden = self.blanks(r.randint(2, 4)), self.blanks(3)
    required = {b.name: [k for k in b.schemas if r.random() < 0.7] for b in (*listed, *hidden)}
    lines = [
      json.dumps(
        {name_key: b.name, about_key: b.about, fields_key: b.schemas, **({'required': required[b.name]} if required[b.name] else {})}
      )
      for b in listed
    ]
    foot = f'\nWrite {before}{{"{name_key}": ..., "{values_key}": {{...}}}}{after}'
    nothing = r.choice(('nothing', 'none of these', 'no match', 'not there'))
    say = r.choice(('{v}', 'It says {v}.', '{k}: {v}', '{k} = {v}', 'There {k} is {v}.'))
    ask = r.choice(('{k}?', 'Tell me {k}.', 'What about {k}?', '{k} is not given.'))
    foot += f'\n{ask.format(k="...")} / {nothing} / {say.format(k="...", v="...")}'

    def written(blank: Blank, values: dict[str, object]) -> Document:
      return [(f'{before}{{"{name_key}": "', 1.0), (blank.name, 3.0), (f'", "{values_key}": {json.dumps(values)}}}{after}', 1.0)]

    rounds: list[tuple[str, str | Document]] = []
    for _ in range(r.randint(5, 9)):
      fate = r.random()
      blank = r.choice(hidden if fate < 0.18 else listed)
      told = [k for k in blank.kinds if k in required[blank.name] or r.random() < 0.6]
      if fate < 0.18:
        rounds.append((self.sentence(self.noted(blank, listed, told)[0]), [(nothing, 3.0)]))
        continue
      if fate < 0.4 and required[blank.name]:
        left_out = r.choice(required[blank.name])
        note, values = self.noted(blank, listed, [k for k in told if k != left_out])
        value = self.value(blank, left_out)
        rounds.append((self.sentence(note), [(ask.format(k=left_out.replace('_', ' ')), 3.0)]))
        reply = r.choice(('{v}', '{v}.', 'It is {v}.', 'Put {v}.', '"{v}"')).format(v=plain(value))
        rounds.append((reply, written(blank, {**values, left_out: value})))
        continue
      chosen = [blank, r.choice(listed)] if r.random() < 0.25 else [blank]
      notes, answer = [], Document()
      for b in chosen:
        note, values = self.noted(b, listed, [k for k in b.kinds if k in required[b.name] or r.random() < 0.6])
        notes.append(note)
        answer += [*([('\n', 1.0)] if answer else []), *written(b, values)]
      asked = self.key() if r.random() < 0.4 else ''
      text = r.choice((' and ', '; ', '. Then ', ', also ', ' plus ')).join(notes)
      if asked:
        text += r.choice(('. {k}?', '; I need {k}', ', then say {k}', '. Look up {k}.', ' and the {k}')).format(k=asked.replace('_', ' '))
      rounds.append((self.sentence(text), answer))
      if asked:
        rounds.append(self.found(asked, say, 5))
    return self.chat('\n'.join(lines) + foot, rounds)

  def found(self, asked: str, say: str, most: int) -> tuple[str, str]:
    """A record with the key that was asked for among up to `most` others, and what is said of it."""
    keys = self.keys(self.rng.randint(1, most))
    keys.insert(self.rng.randint(0, len(keys)), asked)
    record, _ = self.record(keys)
    return json.dumps(record), say.format(k=asked.replace('_', ' '), v=plain(record[asked]))

  def value(self, blank: Blank, key: str):
    if 'enum' in blank.schemas[key]:
      return self.rng.choice(blank.schemas[key]['enum'])
    return self.identifier(key) if blank.kinds[key] == 'id' else self.typed_value(blank.kinds[key])

  def noted(self, blank: Blank, listed: list[Blank], told: list[str]) -> tuple[str, dict[str, object]]:
    """A note that means this form more than any other and gives these of its values."""
    r = self.rng
    values = {k: self.value(blank, k) for k in told}
    said = self.named(blank, listed)
    text = self.note(told, blank.kinds, values) if told else ''
    if text and r.random() < 0.1:
      middle = r.randint(1, len(said))
      return ' '.join((*said[:middle], text, *said[middle:])), values
    name = ' '.join(said)
    return r.choice((f'{name} {text}', f'{name} {text}', f'{name}: {text}', f'{text} {name}', f'{name} with {text}')).strip(' :'), values

  def blanks(self, count: int) -> list[Blank]:
    """Forms that may share words with one another."""
    r = self.rng
    stock = [self.word() for _ in range(r.randint(3, 8))]
    found: dict[str, Blank] = {}
    while len(found) < count:
      words = list(dict.fromkeys(r.choice(stock) if r.random() < 0.6 else self.word() for _ in range(r.choice((2, 2, 3)))))
      size = r.choice((1, 1, 2, 2, 3, 4))
      keys = [f'{words[-1]}_{r.choice(("id", "id", "name"))}' if r.random() < 0.35 else self.key() for _ in range(size)]
      kinds = {k: 'id' if k.endswith('_id') else r.choice(self.KINDS) for k in keys}
      schemas: dict[str, dict[str, object]] = {k: dict(SCHEMAS.get(kind, {'type': 'boolean'})) for k, kind in kinds.items()}
      for k, kind in kinds.items():
        if kind == 'word':
          schemas[k]['enum'] = [self.word() for _ in range(r.randint(2, 4))]
        if r.random() < 0.15:
          schemas[k]['description'] = self.noise(2)
      about = ' '.join([*words, *(self.word() for _ in range(r.randint(0, 4)))]) if r.random() < 0.85 else ' '.join(self.distinct(4))
      blank = Blank('_'.join(words), about, kinds, schemas)
      if not any(blank.within(other) or other.within(blank) for other in found.values()):  # each can be meant alone
        found[blank.name] = blank
    return r.sample(list(found.values()), count)

  def filled(self, blank: Blank, listed: list[Blank]) -> tuple[str, dict[str, object]]:
    return self.noted(blank, listed, [k for k in blank.kinds if self.rng.random() < 0.92] or list(blank.kinds))

  def named(self, blank: Blank, listed: list[Blank]) -> list[str]:
    """Words that mean this form, inflected now and then, among small ones."""
    r = self.rng
    said = [self.inflected(w) for w in self.meant(blank, listed)]
    if r.random() < 0.6:
      said = [w for word in said for w in ((r.choice(tiny_words.SMALL), word) if r.random() < 0.4 else (word,))]
    return [*(r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 1, 2, 3)))), *said]

  def meant(self, blank: Blank, listed: list[Blank]) -> list[str]:
    """Words of this form's name and text, more of them than any other form has; all of its name where that takes all."""
    r = self.rng
    name, about = blank.name.split('_'), blank.about.split()
    others = [b.words for b in listed if b.name != blank.name]
    for _ in range(4):
      words = r.sample(name, r.randint(1, len(name))) if r.random() < 0.8 else r.sample(about, r.randint(1, min(3, len(about))))
      if all(len(other & set(words)) < len(set(words)) for other in others):
        return words if r.random() < 0.3 else sorted(words, key=(name + about).index)
    return name

  def draw(self, mix: Mapping[str, float]) -> tuple[str, Document]:
    """A document and its kind."""
    kind = self.rng.choices(list(mix), list(mix.values()))[0]
    maker: Callable[[], Document] = getattr(self, kind)
    return kind, maker()
