"""Makes the tiny base policy from nothing: tokenizer, structured random weights, generic text, a Hugging Face folder.

  python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

Works in the folder OUT.partial, and replaces OUT's files when all is done. Restartable: the state is saved there every few minutes,
and the same command goes on from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import pathlib
import pickle
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from tokenizers import Tokenizer

from inftool_jax.chat import template, vocabulary
from inftool_jax.models import attention, decoder, huggingface
from inftool_jax.models.config import DecoderConfig
from inftool_jax.training import logprobs, optimizer
from tools import tiny_corpus, tiny_rows, tiny_start, tiny_values, tiny_words
from tools.tiny_rows import Rows

OUT = flags.DEFINE_string('out', None, 'folder to write the Hugging Face checkpoint to', required=True)

CONFIG = DecoderConfig(
  vocab=3072, layers=5, dim=192, heads=6, kv_heads=3, head_dim=32, ffn=384, rope_theta=1e6, norm_eps=1e-6, tied=True, context=2048
)
OPTIMIZER = optimizer.OptimizerConfig('muon', 6e-3, 3e-3, token_learning_rate=5e-3, token_rule='adam', warmup=30)

SAVE_SECONDS = 120
AHEAD = 3  # updates whose rows are drawn in advance


class Course(NamedTuple):
  """A part of the training, with an optimizer of its own."""

  mix: Mapping[str, float]  # kind of document -> share
  rows: int
  length: int
  steps: int
  short: bool = False  # words of one token only
  optimizer: optimizer.OptimizerConfig = OPTIMIZER


def _falling(rate: float) -> optimizer.OptimizerConfig:
  return dataclasses.replace(OPTIMIZER, learning_rate=rate, token_learning_rate=4e-3, schedule='linear')


# Copying and finding the line that a word stands in, on short rows; then used for forms in JSON. The last four end with small rates.
COURSES = (
  Course({'table': 0.25, 'hints': 0.3, 'repeats': 0.1, 'roll': 0.1, 'cards': 0.25}, 32, 128, 350, short=True),
  Course({'cards': 0.3, 'forms': 0.35, 'hints': 0.1, 'lookup': 0.1, 'repeats': 0.05, 'extraction': 0.1}, 10, 512, 600),
  Course(
    {
      'desk': 0.5, 'cards': 0.1, 'hints': 0.08, 'lookup': 0.1, 'extraction': 0.12, 'selection': 0.03, 'documents': 0.03, 'repeats': 0.02,
      'english': 0.02,
    },
    7, 768, 850, optimizer=_falling(5e-3),
  ),
  Course(
    {'desk': 0.55, 'cards': 0.15, 'hints': 0.04, 'lookup': 0.07, 'extraction': 0.13, 'documents': 0.03, 'repeats': 0.03},
    8, 640, 1000, optimizer=_falling(6e-3),
  ),
  Course(
    {
      'desk': 0.62, 'cards': 0.07, 'hints': 0.03, 'lookup': 0.08, 'extraction': 0.12, 'documents': 0.03, 'repeats': 0.02, 'selection': 0.03,
    },
    4, 896, 4000, optimizer=_falling(5e-3),
  ),
  Course(
    {'desk': 0.68, 'cards': 0.03, 'lookup': 0.07, 'extraction': 0.12, 'documents': 0.03, 'repeats': 0.05, 'selection': 0.02},
    4, 896, 1600, optimizer=_falling(4e-3),
  ),
)  # fmt: skip
# Of the text that the tokenizer is trained on.
TOKENIZER_MIX = {'repeats': 0.15, 'english': 0.05, 'documents': 0.15, 'lookup': 0.2, 'extraction': 0.27, 'selection': 0.18}


def tokenizer_texts(seed: int = 0, samples: int = 12_000) -> list[str]:
  """What the byte-level BPE is trained on: the corpus' own text."""
  corpus = tiny_corpus.Corpus(seed)
  texts = [''.join(t for t, _ in corpus.draw(TOKENIZER_MIX)[1]) for _ in range(samples)]
  return texts + [tiny_words.english_text(), *(' '.join(tiny_words.EVERYDAY.split()) for _ in range(60))]


def loss_fn(params, rows: Rows):
  """The weighted mean loss in nats a token; and the mean over the tokens that the text determines."""
  attend = attention.segment_attention(rows.segments_BxT, jnp.full_like(rows.segments_BxT, -1))
  hidden, _ = decoder.forward(params, CONFIG, rows.tokens_BxT, rows.positions_BxT, attend)
  flat = hidden[:, :-1].reshape(-1, CONFIG.dim)
  weight = rows.weights_BxT[:, 1:].reshape(-1)
  logp, _ = logprobs.token_logprobs(params, flat, rows.tokens_BxT[:, 1:].reshape(-1), weight > 0, chunk=2048)
  told = (weight >= 1).astype(jnp.float32)
  return -(logp * weight).sum() / weight.sum(), -(logp * told).sum() / jnp.maximum(told.sum(), 1)


class Progress(NamedTuple):
  """Where the training is; kept in the state file."""

  course: int
  step: int  # of the course
  updates: int  # of all courses
  seen: int  # tokens
  spent: float  # seconds
  told: tuple[float, ...] = ()  # the last losses on what the text determines


def train(tokenizer_file: pathlib.Path, state_file: pathlib.Path) -> tuple[decoder.Params, dict]:
  """All courses, from `state_file` on if there is one: (parameters, facts for the model card).

  Raises ValueError if the state was saved by a training of other courses, corpus or tokenizer.
  """
  params, opt_state, at = tiny_start.init(CONFIG, 0), None, Progress(0, 0, 0, 0, 0.0)
  recipe = fingerprint(tokenizer_file)
  if state_file.exists():
    saved, params, opt_state, kept = pickle.loads(state_file.read_bytes())
    if saved != recipe:
      raise ValueError(f'{state_file} is of a training with other courses, corpus or tokenizer; delete it to begin anew')
    at = Progress(*kept)
    print(f'going on with {at}', flush=True)
  while at.course < len(COURSES):
    params, at = take(params, opt_state, at, tokenizer_file, state_file, recipe)
    opt_state, at = None, at._replace(course=at.course + 1, step=0)
    save(state_file, recipe, params, opt_state, at)
  facts = {
    'steps': at.updates, 'tokens': at.seen, 'seconds': round(at.spent), 'told': float(np.mean(at.told)),
    'hardware': f'{os.cpu_count()} CPU cores', 'date': time.strftime('%Y-%m-%d'),
  }  # fmt: skip
  return params, facts


def fingerprint(tokenizer_file: pathlib.Path) -> str:
  """Of all that the result depends on."""
  sources = (pathlib.Path(module.__file__).read_bytes() for module in (tiny_corpus, tiny_rows, tiny_start, tiny_values, tiny_words))
  return hashlib.sha256(b''.join((tokenizer_file.read_bytes(), repr((COURSES, CONFIG)).encode(), *sources))).hexdigest()


def take(
  params, opt_state, at: Progress, tokenizer_file: pathlib.Path, state_file: pathlib.Path, recipe: str
) -> tuple[decoder.Params, Progress]:
  """The rest of one course."""
  course = COURSES[at.course]
  transform = optimizer.make(course.optimizer, course.steps)
  opt_state = transform.init(params) if opt_state is None else opt_state

  def update(params, opt_state, rows: Rows):
    (loss, told), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, rows)
    updates, opt_state = transform.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss, told

  step_fn = jax.jit(update, donate_argnums=(0, 1))
  mark = saved = time.time()
  for rows in batches(course, at.course, at.step, tokenizer_file):
    params, opt_state, loss, told = step_fn(params, opt_state, rows)
    known, now = (*at.told, float(told))[-20:], time.time()
    at = Progress(at.course, at.step + 1, at.updates + 1, at.seen + rows.tokens_BxT.size, at.spent + now - mark, known)
    mark = now
    if at.step % 20 == 0:
      rate = f'{at.seen / at.spent:.0f} tokens/s'
      print(f'course {at.course}  step {at.step}/{course.steps}  loss {loss:.3f}  told {np.mean(known):.3f}  {rate}', flush=True)
    if now - saved > SAVE_SECONDS:
      saved = now
      save(state_file, recipe, params, opt_state, at)
  return params, at


def batches(course: Course, seed: int, first: int, tokenizer_file: pathlib.Path) -> Iterator[Rows]:
  """The rows of the updates from `first` on, drawn ahead by a process of its own."""
  setup = (str(tokenizer_file), seed, course.mix, course.rows, course.length, course.short)
  context = multiprocessing.get_context('spawn')  # a fork of a process with JAX's threads can hang
  with futures.ProcessPoolExecutor(1, mp_context=context, initializer=tiny_rows.setup, initargs=setup) as producer:
    waiting = [producer.submit(tiny_rows.draw, step) for step in range(first, min(first + AHEAD, course.steps))]
    for step in range(first, course.steps):
      rows = waiting.pop(0).result()
      if step + AHEAD < course.steps:
        waiting.append(producer.submit(tiny_rows.draw, step + AHEAD))
      yield rows


def save(state_file: pathlib.Path, recipe: str, params, opt_state, at: Progress) -> None:
  partial = state_file.with_suffix('.new')
  partial.write_bytes(pickle.dumps((recipe, *jax.tree.map(np.asarray, (params, opt_state)), tuple(at))))
  partial.rename(state_file)


CARD = '''# The tiny base policy

Qwen2.5 architecture, {parameters:,} parameters: {layers} layers, width {dim}, {heads} query and {kv_heads} key/value heads,
context {context}; byte-level BPE of {vocab:,} entries of its own. bfloat16. Made from random weights by

    python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

**Where it started**: random weights whose attention is arranged to look a few tokens back, or for an earlier occurrence of the same
token (`tools/tiny_start.py`); nothing in them was learned from any text.

**What it saw**: {tokens:,} tokens in {steps:,} updates of generic text that `tools/tiny_corpus.py` generates, one course after the
other: random segments that repeat (to learn copying); lines and cards of words, one of which is meant by another of its words (to
learn which line a word stands in); ChatML chats about records and notes (which value stands under a key; notes turned into a record;
which of several blank forms in JSON a note means, filled in; a question back where a required key is missing), JSON documents and a
little English, the help topics of Python's own reference. Names and values are random words. **What it did not see**: any tool, task,
call format or wording of the loop; no other model, no downloaded data.

**How long**: {minutes:.0f} minutes on {hardware}, {date}. Last loss on what the text determines: {told:.2f} nats a token.

It cannot call tools: that is what the loop teaches. Use it to run the loop where a large model does not fit.
'''


def card(facts: dict) -> str:
  return CARD.format(**facts, **vars(CONFIG), parameters=CONFIG.parameters, minutes=facts['seconds'] / 60)


def make(out: pathlib.Path) -> dict:
  """Trains, or goes on, and replaces the files in `out`; returns the facts of its card."""
  work = out.with_name(f'{out.name}.partial')
  vocabulary.save_tokenizer(tokenizer_texts(), CONFIG.vocab, work)
  tokenizer_file, state_file = work / 'tokenizer.json', work / 'state'
  params, facts = train(tokenizer_file, state_file)
  tokenizer = Tokenizer.from_file(str(tokenizer_file))
  eos, pad = tokenizer.token_to_id(template.IM_END), tokenizer.token_to_id(template.END_OF_TEXT)
  params |= {'embed': tiny_start.unseen(params['embed'], [pad, *map(tokenizer.token_to_id, template.TAGS)], 0)}
  huggingface.save(work, params, CONFIG, eos=eos, pad=pad)
  ends = {'eos_token_id': [eos], 'pad_token_id': pad, 'do_sample': True}
  (work / 'generation_config.json').write_text(json.dumps(ends, indent=2) + '\n')
  (work / 'README.md').write_text(card(facts))
  out.mkdir(parents=True, exist_ok=True)
  for file in sorted(work.iterdir()):
    if file != state_file:  # the last to go: stopped here, the same command moves the rest
      file.replace(out / file.name)
  state_file.unlink()
  work.rmdir()
  return facts


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  print(json.dumps(make(pathlib.Path(OUT.value))))


if __name__ == '__main__':
  app.run(main)
