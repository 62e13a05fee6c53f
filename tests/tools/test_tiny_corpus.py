"""The base's corpus: what is asked for can be known from the text, and only from it."""

import json
import re

import pytest

from tools import tiny_corpus, tiny_text, tiny_words
from tools.tiny_values import plain

KINDS = (
  'cards', 'desk', 'documents', 'english', 'extraction', 'hints', 'lookup', 'repeats', 'selection', 'table',
)  # fmt: skip


@pytest.mark.parametrize('kind', KINDS)
def test_a_seed_draws_the_same_document_of_every_kind(kind):
  drawn = [tiny_corpus.Corpus(seed).draw({kind: 1.0}) for seed in (3, 3, 4)]
  assert drawn[0] == drawn[1] != drawn[2]
  assert drawn[0][0] == kind
  assert any(weight > 0 for _, weight in drawn[0][1].pieces)


@pytest.mark.parametrize('kind', ('table', 'hints'))
@pytest.mark.parametrize('seed', range(100))
def test_a_line_is_asked_for_by_a_word_of_it_and_answered_by_its_first(kind, seed):
  pieces = getattr(tiny_corpus.Corpus(seed, tiny_words.EVERYDAY.split()), kind)().pieces
  start = next(i for i, (_, weight) in enumerate(pieces) if weight) - 1  # the first question
  lines: list[list[str]] = [[]]
  for text, _ in pieces[:start]:
    lines[-1] += [text] if text.isalpha() else []
    lines += [[]] if '\n' in text else []
  for (question, _), (answer, weight) in zip(pieces[start::2], pieces[start + 1 :: 2]):
    (own,) = (line for line in lines if line[:1] == [answer.strip()])
    asked = set(re.findall('[a-z]+', question.replace('{"name": "', '').lower()))
    assert weight == 1.0
    assert set(own[1:]) & asked
    assert not any(set(line) & asked for line in lines if line is not own)


@pytest.mark.parametrize('seed', range(40))
def test_the_words_that_mean_a_form_mean_no_other(seed):
  corpus = tiny_corpus.Corpus(seed)
  listed = corpus.blanks(4)
  for blank in listed:
    words = set(corpus.meant(blank, listed))
    assert all(len(words & other.words) < len(words & blank.words) for other in listed if other is not blank)


def test_with_words_given_no_others_are_made_up():
  words = ['lake', 'moon', 'river', *(f'w{i}' for i in range(40))]
  corpus = tiny_corpus.Corpus(0, words)
  assert {corpus.word() for _ in range(300)} <= set(words)


@pytest.mark.parametrize('seed', range(40))
def test_what_is_said_at_a_desk_was_told_before(seed):
  (opening, _), *pieces = tiny_corpus.Corpus(seed).desk().pieces
  *_, told = opening.removesuffix('<|im_end|>\n').rpartition('\n')
  ask, nothing, *_ = told.split(' / ')
  question = re.escape(ask).replace(re.escape('...'), '(.+)', 1)
  before = opening
  for text, weight in pieces:
    if weight == 3 and f'"{text}"' not in opening:  # else the name of a form
      asked = re.fullmatch(question, text)
      assert text == nothing or asked and asked[1].replace(' ', '_') in opening
    if values := re.search(r'": (\{.*\})\}', text) if weight == 1 else None:
      for value in json.loads(values[1]).values():
        said = (plain(value), 'with ' if value is True else 'without ' if value is False else plain(value))
        assert any(text.lower() in before.lower() for text in said)
    before += text


def test_made_up_words_are_of_the_pieces_too():
  pieces = ('qqx', 'zzw')
  words = [tiny_corpus.Corpus(0, pieces=pieces).pseudo() for _ in range(3)]
  assert len(set(words)) == 1  # of one seed
  corpus, plain_ones = tiny_corpus.Corpus(0, pieces=pieces), tiny_corpus.Corpus(0)
  share = sum(any(p in corpus.pseudo(1, 1) for p in pieces) for _ in range(400)) / 400
  assert 0.4 < share < 0.6
  assert not any(p in plain_ones.pseudo() for _ in range(400) for p in pieces)


@pytest.mark.parametrize('kind', ('cards', 'desk', 'selection'))
@pytest.mark.parametrize('seed', range(20))
def test_a_pointer_names_the_line_it_stands_in_or_the_only_one_that_has_its_word(kind, seed):
  document = tiny_corpus.Corpus(seed).draw({kind: 1.0})[1]
  lines = {line.name: line for line in document.lines}
  own = [p for p in tiny_text.pointers(document) if p.own]
  assert [p.name for p in own] == list(lines)
  for p in own:
    assert (p.name + document.text[p.start : p.end]).strip('{"') in lines[p.name].text
  for p in tiny_text.pointers(document):
    if not p.own:
      word = document.text[p.start : p.end].lower()
      assert any(word.startswith(w.removesuffix('e')) for w in lines[p.name].words)
      assert not any(word in line.words for line in document.lines if line.name != p.name)
      assert p.start >= own[-1].end


def test_the_names_of_roles_in_a_chat_are_no_words_of_it():
  lines = [tiny_text.Line('make_user', '{"make_user": "user start"}', frozenset({'user', 'start', 'make'}))]
  document = tiny_text.chat(lines[0].text, [('Start it.', 'make_user')], lines)
  meant = [document.text[p.start : p.end] for p in tiny_text.pointers(document) if not p.own]
  assert meant == ['Start']
