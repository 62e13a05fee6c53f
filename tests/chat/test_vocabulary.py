from __future__ import annotations

import pytest

from inftool_jax.chat.template import SPECIAL_TOKENS, TAGS
from inftool_jax.chat.vocabulary import save_tokenizer
from tests.support.chats import TEXTS


def test_control_tokens_are_one_id_and_any_text_comes_back(tokenizer):
  for token in (*SPECIAL_TOKENS, *TAGS):
    assert len(tokenizer.encode_text(token)) == 1
  for text in ('héllo  wörld\n\n\t12.50', '漢字 🙂', ' lead', 'a<tool_call>b'):
    assert tokenizer.decode(tokenizer.encode_text(text)) == text


def test_digits_come_in_pairs_and_a_word_is_the_same_after_a_blank_a_quote_or_an_underscore(tokenizer):
  assert len(tokenizer.encode_text('2031')) == 2
  word = tokenizer.encode_text('order')
  assert len(word) == 1
  for before in (' ', '"', '_'):
    assert tokenizer.encode_text(f'{before}order')[-1:] == word


def test_the_same_texts_give_the_same_files(tmp_path):
  for name in 'ab':
    save_tokenizer(TEXTS, 400, tmp_path / name)
  assert (tmp_path / 'a/tokenizer.json').read_bytes() == (tmp_path / 'b/tokenizer.json').read_bytes()


def test_a_vocabulary_without_room_for_bytes_is_refused(tmp_path):
  with pytest.raises(ValueError, match='too small'):
    save_tokenizer(TEXTS, 200, tmp_path)
