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
from typing import NamedTuple

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
TOKENIZER_ONLY = flags.DEFINE_bool('tokenizer_only', False, 'stop after the tokenizer')

CONFIG = DecoderConfig(
  vocab=3072, layers=4, dim=192, heads=4, kv_heads=2, head_dim=48, ffn=512, rope_theta=10_000.0, norm_eps=1e-6, tied=True, context=2048
)


class Course(NamedTuple):
  """A part of the training with a learning rate of its own, falling to its end; starts with a fresh optimizer."""

  phases: tuple[tuple[int, int, int, float], ...]  # steps, rows, row length, share of pure repeats
  mix: tuple[tuple[str, float], ...]
  optimizer: optimizer.OptimizerConfig


COURSES = (
  # Copying first, on short rows; long rows last.
  Course(
    ((450, 32, 128, 1.0), (1100, 16, 256, 0.15), (500, 8, 512, 0.1), (60, 2, 2048, 0.1)),
    tiny_corpus.Corpus.MIX,
    optimizer.OptimizerConfig('muon', 6e-3, 3e-3, token_learning_rate=0.5, warmup=50, schedule='linear'),
  ),
  Course(
    ((1000, 5, 768, 0.0), (30, 2, 2048, 0.0)),
    tiny_corpus.Corpus.COMPOSED,
    optimizer.OptimizerConfig('muon', 4e-3, 2e-3, token_learning_rate=0.2, warmup=30, schedule='linear'),
  ),
)


def tokenizer_texts(seed: int = 0, samples: int = 12_000) -> list[str]:
  """What the byte-level BPE is trained on: the corpus' own text."""
  corpus = tiny_corpus.Corpus(seed)
  texts = [''.join(t for t, _ in corpus.draw()) for _ in range(samples)]
  return texts + [tiny_corpus.english_text(), *(' '.join(tiny_corpus.EVERYDAY.split()) for _ in range(60))]


def rows(tokenizer: Tokenizer, corpus: tiny_corpus.Corpus, phase: tuple[int, int, int, float], mix) -> tuple[np.ndarray, ...]:
  """One phase's packed rows: tokens, segments, positions (int32) and weights (float32) of the predicted token."""
  _, count, length, repeats = phase
  tokens = np.zeros((count, length), np.int32)
  segments, positions = np.zeros_like(tokens), np.zeros_like(tokens)
  weights = np.zeros((count, length), np.float32)
  for b in range(count):
    at, segment = 0, 1
    while at < length - 16:
      document = corpus.repeats() if corpus.rng.random() < repeats else corpus.draw(mix)
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


class Progress(NamedTuple):
  """Where the training is; kept in the state file."""

  course: int
  step: int  # of the course
  updates: int  # of all courses
  seen: int  # tokens
  spent: float  # seconds


def train(tokenizer: Tokenizer, state_file: pathlib.Path) -> tuple[decoder.Params, dict]:
  params, opt_state, at = decoder.init(CONFIG, 0), None, Progress(0, 0, 0, 0, 0.0)
  if state_file.exists():
    params, opt_state, kept = pickle.loads(state_file.read_bytes())
    at = Progress(*kept)
    print(f'going on with {at}', flush=True)
  copied = float('nan')
  for course in range(at.course, len(COURSES)):
    params, copied, at = take(COURSES[course], params, opt_state, at, tokenizer, state_file)
    opt_state, at = None, at._replace(course=course + 1, step=0)
    save(state_file, params, opt_state, at)
  facts = {
    'steps': at.updates, 'tokens': at.seen, 'seconds': round(at.spent), 'copied': copied,
    'hardware': f'{os.cpu_count()} CPU cores', 'date': time.strftime('%Y-%m-%d'),
  }  # fmt: skip
  return params, facts


def take(course: Course, params, opt_state, at: Progress, tokenizer: Tokenizer, state_file: pathlib.Path):
  """The rest of one course: (parameters, last loss on what could be known, progress)."""
  total = sum(phase[0] for phase in course.phases)
  transform = optimizer.make(course.optimizer, total)
  opt_state = transform.init(params) if opt_state is None else opt_state

  def update(params, opt_state, *batch):
    (loss, copied), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, *batch)
    updates, opt_state = transform.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss, copied

  step_fn = jax.jit(update, donate_argnums=(0, 1))
  phases = [phase for phase in course.phases for _ in range(phase[0])]
  mark = saved = time.time()
  copied = float('nan')
  while at.step < total:
    phase = phases[at.step]
    batch = rows(tokenizer, tiny_corpus.Corpus(1000 + at.updates), phase, course.mix)
    params, opt_state, loss, known = step_fn(params, opt_state, *batch)
    copied, now = float(known), time.time()
    at = Progress(at.course, at.step + 1, at.updates + 1, at.seen + phase[1] * phase[2], at.spent + now - mark)
    mark = now
    if at.step % 20 == 0:
      rate = at.seen / at.spent
      print(f'course {at.course}  step {at.step}/{total}  loss {loss:.3f}  copied {copied:.3f}  {rate:.0f} tokens/s', flush=True)
    if now - saved > 120:
      saved = now
      save(state_file, params, opt_state, at)
  return params, copied, at


def save(state_file: pathlib.Path, params, opt_state, at: Progress) -> None:
  partial = state_file.with_suffix('.partial')
  partial.write_bytes(pickle.dumps((*jax.tree.map(np.asarray, (params, opt_state)), tuple(at))))
  partial.rename(state_file)


CARD = '''# The tiny base policy

Qwen2.5 architecture, {parameters:,} parameters: {layers} layers, width {dim}, {heads} query and {kv_heads} key/value heads,
context {context}; byte-level BPE of {vocab:,} entries of its own. bfloat16. Made from random weights by

    python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

**What it saw**: {tokens:,} tokens in {steps:,} updates of generic text that `tools/tiny_corpus.py` generates: random segments that
repeat (to learn copying), JSON documents, ChatML chats about records and notes (which value stands under a key; notes
turned into a record; which of several notes is meant; which of several blank forms in JSON a note means, filled in), and, at
first, {english} English, the help topics of Python's own reference. Names and values are random words. **What it did not
see**: any tool, task, call format or wording of the loop; no other model,
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
