"""A checkpoint whose tokenizer is a SentencePiece model, without tokenizer.json."""

from __future__ import annotations

import io
import json

import pytest
import sentencepiece

from inftool_jax.chat.template import CHAT_TEMPLATE
from inftool_jax.chat.tokenizer import ChatTokenizer
from inftool_jax.errors import CheckpointError
from inftool_jax.types import Call, Message, Result
from tests.support.chats import TEXTS, TOOLS

MESSAGES = [
  Message('user', 'How are  "ord_1" and é?'),
  Message('assistant', calls=(Call('get_order', {'order_id': 'a b'}),)),
  Message('tool', results=(Result('{"status": "open"}'),)),
  Message('assistant', 'It is open.'),
]


@pytest.fixture
def folder(tmp_path):
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(TEXTS * 20), model_writer=model, vocab_size=320, model_type='bpe', byte_fallback=True, minloglevel=2,
    hard_vocab_limit=False,
  )  # fmt: skip
  (tmp_path / 'tokenizer.model').write_bytes(model.getvalue())
  names = {'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>', 'additional_special_tokens': ['<|im_start|>', '<|im_end|>']}
  config = {'tokenizer_class': 'LlamaTokenizer', 'legacy': False, 'chat_template': CHAT_TEMPLATE, **names}
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps(config))
  (tmp_path / 'config.json').write_text('{"model_type": "llama"}')
  return tmp_path


def test_pieces_add_up_to_the_full_rendering(folder):
  tokenizer = ChatTokenizer.load(folder)
  ids = tokenizer.prompt(MESSAGES[:1], TOOLS)
  for i, message in enumerate(MESSAGES[1:], 1):
    ids += tokenizer.encode_turn(message) if i % 2 else tokenizer.suffix([message])
  full = tokenizer.render_text(MESSAGES, TOOLS)
  assert tokenizer.decode(ids) == full[:-1]
  assert ids == tokenizer.encode_text(full[:-1])


def test_special_tokens_are_known_and_the_vocabulary_counts_them(folder):
  tokenizer = ChatTokenizer.load(folder)
  assert tokenizer.decode([tokenizer.end_of_turn]) == '<|im_end|>'
  assert tokenizer.vocab_size == 1 + max(tokenizer.encode_text('<|im_start|><|im_end|>'))
  assert '</s>' in [tokenizer.decode([i]) for i in tokenizer.stop_ids]


def test_a_stop_token_that_the_tokenizer_lacks_is_named(folder):
  (folder / 'generation_config.json').write_text('{"eos_token_id": [2, 151645]}')
  with pytest.raises(CheckpointError, match='generation_config.json ends texts with token 151645'):
    ChatTokenizer.load(folder)
