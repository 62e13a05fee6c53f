"""Makes the tiny base policy from nothing: tokenizer, random weights, generic text, a Hugging Face folder.

  python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

Restartable: the state is saved every few minutes in `--state` and the same command goes on from there.
"""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from tokenizers import Tokenizer

from inftool_jax.chat import vocabulary
from inftool_jax.models import attention, decoder, huggingface
from inftool_jax.models.config import DecoderConfig
from inftool_jax.training import logprobs, optimizer
from tools import tiny_corpus

OUT = flags.DEFINE_string('out', None, 'folder to write the Hugging Face checkpoint to', required=True)
STATE = flags.DEFINE_string('state', None, 'file that keeps the training state (default: OUT + ".state")')
SCALE = flags.DEFINE_float('scale', 1.0, 'multiplies the number of steps of every phase')
TOKENIZER_ONLY = flags.DEFINE_bool('tokenizer_only', False, 'stop after the tokenizer')

CONFIG = DecoderConfig(
  vocab=3072, layers=4, dim=192, heads=4, kv_heads=2, head_dim=48, ffn=512, rope_theta=10_000.0, norm_eps=1e-6, tied=True, context=2048
)
# (steps, rows, row length, share of pure repeats): copying first, on short rows; long rows last.
PHASES = ((450, 32, 128, 1.0), (1100, 16, 256, 0.15), (500, 8, 512, 0.1), (60, 2, 2048, 0.1))
LEARNING_RATE = optimizer.OptimizerConfig(name='muon', learning_rate=6e-3, vector_learning_rate=3e-3, warmup=50, schedule='linear')


def tokenizer_texts(seed: int = 0, samples: int = 12_000) -> list[str]:
  """What the byte-level BPE is trained on: the corpus' own text."""
  corpus = tiny_corpus.Corpus(seed)
  texts = [''.join(t for t, _ in corpus.draw()) for _ in range(samples)]
  return texts + [tiny_corpus.english_text(), *(' '.join(tiny_corpus.EVERYDAY.split()) for _ in range(60))]


def rows(tokenizer: Tokenizer, corpus: tiny_corpus.Corpus, count: int, length: int, repeats: float) -> tuple[np.ndarray, ...]:
  """`count` packed rows: tokens, segments, positions (int32) and weights (float32) of the predicted token."""
  tokens = np.zeros((count, length), np.int32)
  segments, positions = np.zeros_like(tokens), np.zeros_like(tokens)
  weights = np.zeros((count, length), np.float32)
  for b in range(count):
    at, segment = 0, 1
    while at < length - 16:
      document = corpus.repeats() if corpus.rng.random() < repeats else corpus.draw()
      encoded = tokenizer.encode_batch([t for t, _ in document])
      ids = np.concatenate([np.array(e.ids, np.int32) for e in encoded])
      loss = np.concatenate([np.full(len(e.ids), w, np.float32) for e, (_, w) in zip(encoded, document)])
      n = min(len(ids), length - at)
      tokens[b, at : at + n], weights[b, at : at + n] = ids[:n], loss[:n]
      segments[b, at : at + n], positions[b, at : at + n] = segment, np.arange(n)
      weights[b, at] = 0
      at, segment = at + n, segment + 1
  return tokens, segments, positions, weights


def loss_fn(params, tokens, segments, positions, weights):
  hidden, _ = decoder.forward(params, CONFIG, tokens, positions, attention.segment_attention(segments, jnp.full_like(segments, -1)))
  flat = hidden[:, :-1].reshape(-1, CONFIG.dim)
  w = weights[:, 1:].reshape(-1)
  logp, _ = logprobs.token_logprobs(params, flat, tokens[:, 1:].reshape(-1), w > 0, chunk=2048)
  sure = (w == 1.0).astype(jnp.float32)
  return -(logp * w).sum() / w.sum(), -(logp * sure).sum() / jnp.maximum(sure.sum(), 1)


def train(tokenizer: Tokenizer, state_file: pathlib.Path) -> tuple[decoder.Params, dict]:
  total = sum(int(p[0] * SCALE.value) for p in PHASES)
  transform = optimizer.make(LEARNING_RATE, total)
  params = decoder.init(CONFIG, 0)
  opt_state = transform.init(params)

  def update(params, opt_state, *batch):
    (loss, copied), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, *batch)
    updates, opt_state = transform.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss, copied

  step_fn = jax.jit(update, donate_argnums=(0, 1))
  step, seen, spent = 0, 0, 0.0
  if state_file.exists():
    params, opt_state, step, seen, spent = pickle.loads(state_file.read_bytes())
    print(f'going on at step {step}', flush=True)
  started, saved, before = time.time(), time.time(), 0
  for steps, count, length, repeats in PHASES:
    steps = int(steps * SCALE.value)
    for _ in range(max(0, min(steps, before + steps - step))):
      batch = rows(tokenizer, tiny_corpus.Corpus(1000 + step), count, length, repeats)
      params, opt_state, loss, copied = step_fn(params, opt_state, *batch)
      step, seen = step + 1, seen + count * length
      if step % 20 == 0:
        rate = seen / (spent + time.time() - started)
        print(f'step {step}/{total}  loss {loss:.3f}  copied {copied:.3f}  {rate:.0f} tokens/s', flush=True)
      if time.time() - saved > 120:
        saved = time.time()
        partial = state_file.with_suffix('.partial')
        host = jax.tree.map(np.asarray, (params, opt_state))
        partial.write_bytes(pickle.dumps((*host, step, seen, spent + saved - started)))
        partial.rename(state_file)
    before += steps
  facts = {
    'steps': step, 'tokens': seen, 'seconds': round(spent + time.time() - started), 'copied': float(copied),
    'hardware': f'{os.cpu_count()} CPU cores', 'date': time.strftime('%Y-%m-%d'),
  }  # fmt: skip
  return params, facts


CARD = '''# The tiny base policy

Qwen2.5 architecture, {parameters:,} parameters: {layers} layers, width {dim}, {heads} query and {kv_heads} key/value heads,
context {context}; byte-level BPE of {vocab:,} entries of its own. bfloat16. Made from random weights by

    python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

**What it saw**: {tokens:,} tokens in {steps:,} updates of generic text that `tools/tiny_corpus.py` generates: random segments that
repeat (to learn copying), JSON documents, ChatML chats about records and notes (which value stands under a key; notes
turned into a record; which of several notes is meant), and {english} English, the help topics of Python's own reference.
Names and values are random words. **What it did not see**: any tool, task, call format or wording of the loop; no other model,
no downloaded data.

**How long**: {minutes:.0f} minutes on {hardware}, {date}. Last loss on what could be known: {copied:.2f} nats a token (one
update's noise in it).

It cannot call tools: that is what the loop teaches. Use it to run the loop where a large model does not fit.
'''


def card(facts: dict) -> str:
  english = dict(tiny_corpus.Corpus.MIX)['english']
  return CARD.format(
    **facts, **vars(CONFIG), parameters=CONFIG.parameters, minutes=facts['seconds'] / 60, english=f'about {100 * english:.0f} %'
  )  # fmt: skip


def main(argv: list[str]) -> None:
  del argv
  out = pathlib.Path(OUT.value)
  vocabulary.save_tokenizer(tokenizer_texts(), CONFIG.vocab, out)
  tokenizer = Tokenizer.from_file(str(out / 'tokenizer.json'))
  if TOKENIZER_ONLY.value:
    return
  params, facts = train(tokenizer, pathlib.Path(STATE.value or f'{out}.state'))
  eos, pad = tokenizer.token_to_id('<|im_end|>'), tokenizer.token_to_id('<|endoftext|>')
  huggingface.save(out, params, CONFIG, eos=eos, pad=pad)
  (out / 'generation_config.json').write_text(json.dumps({'eos_token_id': [eos], 'pad_token_id': pad, 'do_sample': True}, indent=2) + '\n')
  (out / 'README.md').write_text(card(facts))
  print(json.dumps(facts))


if __name__ == '__main__':
  app.run(main)
