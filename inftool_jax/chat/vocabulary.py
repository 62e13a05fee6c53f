"""A byte-level BPE of our own: trained on a text, saved as a Hugging Face tokenizer folder with our chat template."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from inftool_jax.chat.template import CHAT_TEMPLATE, END_OF_TEXT, IM_END, SPECIAL_TOKENS, TAGS

# Letters, pairs of digits and all else apart, so that a word has the same tokens after a blank, a quote or an underscore:
# a tiny model can copy it from prose into JSON. (Qwen's own pattern glues the character before a word to it.)
_PIECES = r'\p{L}+|\p{N}{1,2}|[^\p{L}\p{N}]+'


def save_tokenizer(texts: Iterable[str], vocab_size: int, folder: str | pathlib.Path) -> None:
  """Trains on `texts` and writes tokenizer.json and tokenizer_config.json into `folder`.

  `vocab_size` counts everything: 256 bytes, merges, the ChatML tokens (special) and the tool tags (ordinary text).
  The same texts give the same files. Raises ValueError if `vocab_size` leaves no room for the bytes.
  """
  if vocab_size < 256 + len(SPECIAL_TOKENS) + len(TAGS):
    raise ValueError(f'vocab_size={vocab_size} is too small: 256 bytes and {len(SPECIAL_TOKENS) + len(TAGS)} added tokens')
  from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
  from transformers import PreTrainedTokenizerFast

  bpe = Tokenizer(models.BPE())
  bpe.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(_PIECES), behavior='isolated'),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
  ])
  bpe.decoder = decoders.ByteLevel()
  alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size - len(TAGS), special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
  )
  bpe.train_from_iterator(texts, trainer)
  bpe.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
  hf = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=IM_END, pad_token=END_OF_TEXT)
  hf.chat_template = CHAT_TEMPLATE
  hf.save_pretrained(str(folder))
