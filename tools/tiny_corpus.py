"""Generic text for the tiny base policy: repeated segments, JSON documents, ChatML chats and some English.

Nothing here is taken from the loop: no tool, no task, no wording of its scenarios. Names and values are random
words, so that the only way to predict them is to copy them from the context.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tools import tiny_desk, tiny_words
from tools.tiny_forms import Blank, Forms
from tools.tiny_text import Document, Line, Pieces, chat
from tools.tiny_values import plain


class Style(NamedTuple):
  """What stands before a line, after its first word, between and after the others, and before an answer."""

  before: str
  after: str
  between: str
  end: str
  arrow: str


class Corpus(Forms):
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
      return Document([(segment + '\n', 0.0)] + [(segment + '\n', 1.0) for _ in range(r.randint(1, 3))])
    segments = [self.noise(r.randint(3, 9)) for _ in range(r.randint(2, 6))]
    first = ''.join(s + '\n' for s in segments)
    again = [r.choice(segments) for _ in range(r.randint(2, 6))]
    pieces: Pieces = [(first, 0.0)]
    for s in again:
      cue = s.split(' ')[0]
      pieces += [(cue, 0.0), (s[len(cue) :] + '\n', 1.0)]
    return Document(pieces)

  def noise(self, n: int) -> str:
    return ' '.join(plain(self.typed_value(self.rng.choice(self.KINDS))) if self.rng.random() < 0.5 else self.word() for _ in range(n))

  def english(self) -> Document:
    return Document([(re.sub(r'[ \t]+', ' ', self.rng.choice(self.paragraphs)) + '\n', 0.4)])

  def documents(self) -> Document:
    """JSON: a list of like records, or a record and its copy in another place."""
    r = self.rng
    keys = self.keys(r.randint(2, 5))
    if r.random() < 0.5:
      rows = [self.record(keys)[0] for _ in range(r.randint(2, 4))]
      return Document([(json.dumps({self.key(): rows}) + '\n', 0.3)])
    record, _ = self.record(keys)
    order = r.sample(keys, len(keys))
    return Document([(json.dumps(record) + '\n', 0.2), (json.dumps({k: record[k] for k in order}) + '\n', 1.0)])

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
    rounds: list[tuple[str, str | Pieces]] = []
    for _ in range(r.randint(2, 5)):
      i = r.randrange(n)
      k = r.choice(list(records[i]))
      slots = {'k': k.replace('_', ' '), 't': names[i], 'v': plain(records[i][k])}
      rounds.append((ask.format(**slots), say.format(**slots)))
    return chat(context, rounds)

  def extraction(self) -> Document:
    """Notes turned into records: keys beside their values, or values known by their type alone; null if not told."""
    r = self.rng
    keys = self.keys(r.randint(1, 4))
    kinds = {k: r.choice(self.KINDS) for k in keys}
    blank = Blank('', '', kinds, {k: self._schema(k, kind) for k, kind in kinds.items()})
    style = r.randrange(4)
    if style < 2:  # JSON Schema
      system = json.dumps({'properties': blank.schemas, 'required': keys} if style else blank.schemas)
    elif style == 2:
      system = 'Keys: ' + ', '.join(f'{k} ({kinds[k]})' for k in keys)
    else:
      system = '\n'.join(f'- {k}: {kinds[k]}' for k in keys)
    rounds: list[tuple[str, str | Pieces]] = []
    for _ in range(r.randint(2, 5)):
      record = {k: (self.value(blank, k) if r.random() < 0.85 else None) for k in keys}
      note = self.note(blank, {k: v for k, v in record.items() if v is not None})
      rounds.append((note, json.dumps(record)))
    return chat(system, rounds)

  def selection(self) -> Document:
    """Which of several named notes is meant? One word of it tells, or a few that share more with it than with any other."""
    r = self.rng
    listed, (hidden,) = self.blanks(r.randint(2, 6)), self.blanks(1)
    name_key, about_key = r.choice(('id', 'name', 'title')), r.choice(('about', 'description', 'text'))
    lines = [json.dumps({name_key: b.name, about_key: b.about}) for b in listed]
    style = r.choice(('{n}', 'That is {n}.', '[{n}]', '{{"id": "{n}"}}'))
    before, after = style.format(n='\n').split('\n')
    rounds: list[tuple[str, str | Pieces]] = []
    for _ in range(r.randint(8, 14)):
      known = r.random() > 0.12
      blank = r.choice(listed) if known else hidden
      own = [w for w in blank.words if not any(w in b.words for b in listed if b is not blank)]
      said = [r.choice(sorted(own))] if own and r.random() < 0.7 else self.named(blank, listed)
      noise = self.noise(r.randint(1, 3)) if r.random() < 0.3 else ''
      asked = ' '.join(said) + r.choice((' ', ', ', ': ', '. ')) + noise
      answer: Pieces = [(before, 1.0), (blank.name if known else 'none', 2.0), (after, 1.0)]
      rounds.append((self.sentence(asked), [piece for piece in answer if piece[0]]))
    return chat('\n'.join(lines), rounds, [Line(b.name, line, frozenset(b.words)) for b, line in zip(listed, lines)])

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
    pieces: Pieces = []
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
        said += [text for text in other if not listed & set(re.findall('[a-z]+', text.lower()))]
        r.shuffle(said)
      pieces += [(' '.join(said) + style.arrow, 0.0), (line[0] + '\n', 1.0)]
    return Document(pieces)

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
    lines = [Line(c.name, f'{c.name}: {c.about} ({", ".join(c.kinds)})', c.line_words) for c in cards]
    pieces: Pieces = [('\n'.join(line.text for line in lines) + '\n', 0.0)]
    for card in r.choices(cards, k=r.randint(1, 3)):
      values = {k: self.pseudo() if kind == 'pseudo' else self.typed_value(kind) for k, kind in card.kinds.items()}
      said = [f'{k} {v}' if len(values) > 1 or r.random() < 0.5 else str(v) for k, v in values.items()]
      meant = self.meant(card, cards)
      note = [*(r.choice(tiny_words.SMALL) for _ in range(r.choice((0, 0, 1, 2)))), *meant, *r.sample(said, len(said))]
      pieces += [(' '.join(note) + '\n', 0.0), (card.name, 3.0), (f' {", ".join(f"{k}: {v}" for k, v in values.items())}\n', 1.0)]
    return Document(pieces, tuple(lines))

  def desk(self) -> Document:
    """A chat at a desk with forms; see `tiny_desk`."""
    return tiny_desk.Desk(self).document()

  def draw(self, mix: Mapping[str, float]) -> tuple[str, Document]:
    """A document and its kind."""
    kind = self.rng.choices(list(mix), list(mix.values()))[0]
    maker: Callable[[], Document] = getattr(self, kind)
    return kind, maker()
