"""Makes the tiny base policy from nothing: tokenizer, structured random weights, generic text, a Hugging Face folder.

  python -m tools.pretrain_tiny --out=inftool_jax/models/data/tiny

Works in the folder OUT.partial, and replaces OUT's files when all is done. Restartable: the state is saved there every few minutes,
and the same command goes on from it.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
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
from inftool_jax.models import attention, decoder, huggingface, rope
from inftool_jax.models.config import DecoderConfig
from inftool_jax.training import logprobs, optimizer
from tools import tiny_corpus, tiny_desk, tiny_forms, tiny_rows, tiny_start, tiny_text, tiny_values, tiny_words
from tools.tiny_rows import Rows

OUT = flags.DEFINE_string('out', None, 'folder to write the Hugging Face checkpoint to', required=True)

CONFIG = DecoderConfig(
  vocab=3072, layers=6, dim=192, heads=6, kv_heads=3, head_dim=32, ffn=384, rope_theta=1e6, norm_eps=1e-6, tied=True, context=2048
)
OPTIMIZER = optimizer.OptimizerConfig('muon', 6e-3, 3e-3, token_learning_rate=5e-3, token_rule='adam', warmup=30)

SOURCES = (tiny_corpus, tiny_desk, tiny_forms, tiny_rows, tiny_start, tiny_text, tiny_values, tiny_words)  # what rows depend on
READ = (2, 3)  # layers before which a line's tokens know its name, and a note's words the name that they mean
READER = 3.0  # size of the matrices that read it, at the start
POINTERS = 0.3  # weight of the loss on it
SAVE_SECONDS = 60
LOGGED = 50  # updates between two lines of progress
AHEAD = 3  # updates whose rows each producer draws in advance


class Course(NamedTuple):
  """A part of the training, with an optimizer of its own."""

  mix: Mapping[str, float]  # kind of document -> share
  rows: int
  length: int
  steps: int
  short: bool = False  # words of one token only
  pointed: bool = True  # names are read between the layers
  optimizer: optimizer.OptimizerConfig = OPTIMIZER


# Copying and finding the line that a word stands in, on short rows; then the same in JSON; then desks, with a
# falling rate; and once more so, with nothing read between the layers, and more of values than of names.
COURSES = (
  Course({'cards': 0.5, 'repeats': 0.2, 'hints': 0.3}, 32, 128, 400, short=True),
  Course({'cards': 0.2, 'hints': 0.15, 'selection': 0.25, 'desk': 0.3, 'extraction': 0.05, 'repeats': 0.05}, 8, 512, 1500),
  Course(
    {
      'desk': 0.68, 'selection': 0.08, 'extraction': 0.08, 'lookup': 0.06, 'cards': 0.02, 'hints': 0.02, 'documents': 0.02, 'repeats': 0.02,
      'english': 0.02,
    },
    8, 512, 6_000, optimizer=dataclasses.replace(OPTIMIZER, schedule='linear'),
  ),
  Course(
    {
      'desk': 0.62, 'extraction': 0.12, 'lookup': 0.12, 'selection': 0.05, 'repeats': 0.03, 'documents': 0.03, 'cards': 0.02,
      'english': 0.01,
    },
    8, 512, 5_000, pointed=False, optimizer=dataclasses.replace(OPTIMIZER, schedule='linear'),
  ),
)  # fmt: skip
# Of the text that the tokenizer is trained on.
TOKENIZER_MIX = {
  'repeats': 0.1, 'english': 0.05, 'documents': 0.1, 'lookup': 0.15, 'extraction': 0.2, 'selection': 0.1, 'desk': 0.3,
}  # fmt: skip


def tokenizer_texts(seed: int = 0, samples: int = 12_000) -> list[str]:
  """What the byte-level BPE is trained on: the corpus' own text."""
  corpus = tiny_corpus.Corpus(seed)
  texts = [corpus.draw(TOKENIZER_MIX)[1].text for _ in range(samples)]
  return texts + [tiny_words.english_text(), *(' '.join(tiny_words.EVERYDAY.split()) for _ in range(60))]


class Losses(NamedTuple):
  """Means in nats a token: of what the text determines, of the names that a line's tokens and a note's words point to."""

  told: jax.Array
  own: jax.Array
  meant: jax.Array


def loss_fn(params, rows: Rows) -> tuple[jax.Array, Losses]:
  """The weighted mean loss of the next tokens and of the pointers, which are read between the layers (deep supervision, 1409.5185).

  Left to the last layer's loss alone, a model of this size copies the first word of a line that is said in full, and never learns
  which line any other word stands in; read where they are to be computed, the two steps to it are learned in a few hundred updates.
  """
  hidden, (own_x, meant_x) = _forward(params, rows)
  weight = rows.weights_BxT[:, 1:].reshape(-1)
  logp, _ = logprobs.token_logprobs(params, _flat(hidden[:, :-1]), rows.tokens_BxT[:, 1:].reshape(-1), weight > 0, chunk=2048)
  told = (weight >= 1).astype(jnp.float32)
  own = meant = jnp.zeros(())
  if 'readers' in params:
    own = _pointed(params, own_x, params['readers'][0], rows.own_BxTx2)
    meant = _pointed(params, meant_x, params['readers'][1], rows.meant_BxTx2)
  loss = -(logp * weight).sum() / weight.sum() + POINTERS * (own + meant)
  return loss, Losses(-(logp * told).sum() / jnp.maximum(told.sum(), 1), own, meant)


def _forward(params, rows: Rows) -> tuple[jax.Array, list[jax.Array]]:
  """Final-norm hidden states [B, T, D], and what the layers before `READ` leave."""
  segment_attend = attention.segment_attention(rows.segments_BxT, jnp.full_like(rows.segments_BxT, -1))
  angles = rope.angles(rows.positions_BxT, CONFIG.head_dim, CONFIG.rope_theta, CONFIG.rope_scaling)
  x, read = params['embed'][rows.tokens_BxT], []
  for layer in range(CONFIG.layers):
    if layer in READ:
      read.append(x)
    block = jax.tree.map(lambda a: a[layer], params['blocks'])
    x, _ = decoder.apply_block(block, CONFIG, x, angles, lambda q, k, v, c: segment_attend(layer, q, k, v, c), ())
  return decoder.rms_norm(x, params['norm'], CONFIG.norm_eps), read


def _pointed(params, x_BxTxD, reader_2xDxD, targets_BxTx2) -> jax.Array:
  """The mean loss of the first and the last word's token that the positions point to."""
  normed = decoder.rms_norm(x_BxTxD, jnp.ones(CONFIG.dim), CONFIG.norm_eps)
  embed, total = {'embed': jax.lax.stop_gradient(params['embed'])}, 0.0
  for reader, targets_BxT in zip(reader_2xDxD, jnp.moveaxis(targets_BxTx2, -1, 0)):
    targets = targets_BxT.reshape(-1)
    logp, _ = logprobs.token_logprobs(embed, _flat(normed @ reader), jnp.maximum(targets, 0), targets >= 0, chunk=512)
    total -= logp.sum() / jnp.maximum((targets >= 0).sum(), 1) / 2
  return total


def _flat(x_BxTxD: jax.Array) -> jax.Array:
  return x_BxTxD.reshape(-1, CONFIG.dim)


def with_readers(params: decoder.Params) -> decoder.Params:
  """The parameters and the matrices that read the pointers; the training's own, no part of the model."""
  return params | {'readers': jnp.broadcast_to(READER * jnp.eye(CONFIG.dim), (len(READ), 2, CONFIG.dim, CONFIG.dim))}


def without_readers(params: decoder.Params) -> decoder.Params:
  return {name: value for name, value in params.items() if name != 'readers'}


class Progress(NamedTuple):
  """Where the training is; kept in the state file."""

  course: int
  step: int  # of the course
  updates: int  # of all courses
  seen: int  # tokens
  spent: float  # seconds
  told: tuple[tuple[float, float, float], ...] = ()  # the last updates' `Losses`


def train(tokenizer_file: pathlib.Path, state_file: pathlib.Path) -> tuple[decoder.Params, dict]:
  """All courses, from `state_file` on if there is one: (parameters, facts for the model card).

  Raises ValueError if the state was saved by a training of other courses, corpus or tokenizer.
  """
  params, opt_state, at = with_readers(tiny_start.init(CONFIG, 0)), None, Progress(0, 0, 0, 0, 0.0)
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
    'steps': at.updates, 'tokens': at.seen, 'seconds': round(at.spent), 'told': float(np.mean([told for told, *_ in at.told])),
    'hardware': hardware(), 'date': time.strftime('%Y-%m-%d'),
  }  # fmt: skip
  return without_readers(params), facts


def hardware() -> str:
  device = jax.devices()[0]
  cores = f'{os.cpu_count()} CPU cores'
  return cores if device.platform == 'cpu' else f'one {device.device_kind} and {cores}'


def fingerprint(tokenizer_file: pathlib.Path) -> str:
  """Of all that the result depends on."""
  sources = (pathlib.Path(module.__file__).read_bytes() for module in SOURCES)
  return hashlib.sha256(b''.join((tokenizer_file.read_bytes(), repr((COURSES, CONFIG)).encode(), *sources))).hexdigest()


def take(
  params, opt_state, at: Progress, tokenizer_file: pathlib.Path, state_file: pathlib.Path, recipe: str
) -> tuple[decoder.Params, Progress]:
  """The rest of one course."""
  course = COURSES[at.course]
  params = params if course.pointed else without_readers(params)
  transform = optimizer.make(course.optimizer, course.steps)
  opt_state = transform.init(params) if opt_state is None else opt_state

  def update(params, opt_state, rows: Rows):
    grads, losses = jax.grad(loss_fn, has_aux=True)(params, rows)
    updates, opt_state = transform.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, losses

  step_fn = jax.jit(update, donate_argnums=(0, 1))
  mark = saved = time.time()
  recent = collections.deque(at.told, 20)
  for rows in batches(course, at.course, at.step, tokenizer_file):
    params, opt_state, losses = step_fn(params, opt_state, rows)
    recent.append(losses)  # still on the device: waiting for it would keep the next update from being sent
    at = at._replace(step=at.step + 1, updates=at.updates + 1, seen=at.seen + rows.tokens_BxT.size)
    if at.step % LOGGED and at.step < course.steps:
      continue
    known, now = tuple(tuple(map(float, losses)) for losses in recent), time.time()
    at, mark = at._replace(told=known, spent=at.spent + now - mark), now
    means = '  '.join(f'{name} {value:.3f}' for name, value in zip(Losses._fields, np.mean(known, axis=0)))
    print(f'course {at.course}  step {at.step}/{course.steps}  {means}  {at.seen / at.spent:,.0f} tokens/s', flush=True)
    if now - saved > SAVE_SECONDS:
      saved = now
      save(state_file, recipe, params, opt_state, at)
  return params, at


def batches(course: Course, seed: int, first: int, tokenizer_file: pathlib.Path) -> Iterator[Rows]:
  """The rows of the updates from `first` on, drawn ahead by processes of their own."""
  setup = (str(tokenizer_file), seed, course.mix, course.rows, course.length, course.short)
  context = multiprocessing.get_context('spawn')  # a fork of a process with JAX's threads can hang
  workers = max(1, (os.cpu_count() or 1) - 1)
  with futures.ProcessPoolExecutor(workers, mp_context=context, initializer=tiny_rows.setup, initargs=setup) as producers:
    numbers = iter(range(first, course.steps))
    waiting = collections.deque(producers.submit(tiny_rows.draw, step) for step in itertools.islice(numbers, AHEAD * workers))
    while waiting:
      rows = waiting.popleft().result()
      waiting.extend(producers.submit(tiny_rows.draw, step) for step in itertools.islice(numbers, 1))
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
little English, the help topics of Python's own reference. Names and values are random words. In all courses but the last it was also
read between the layers: of a line's words, which line they stand in, and of a note's, which line they mean (deep supervision; the
matrices that read it are no part of the model). **What it did not see**: any tool, task, call format or wording of the loop; no other
model, no downloaded data.

**How long**: {minutes:.0f} minutes on {hardware}, {date}. Last loss on what the text determines: {told:.2f} nats a token.

It cannot call tools: that is what the loop teaches. Use it to run the loop where a large model does not fit.
'''


def card(facts: dict) -> str:
  return CARD.format(**facts, **vars(CONFIG), parameters=CONFIG.parameters, minutes=facts['seconds'] / 60)


def make(out: pathlib.Path) -> dict:
  """Trains, or goes on, and replaces the files in `out`; returns the facts of its card."""
  work = out.with_name(f'{out.name}.partial')
  tokenizer_file, state_file = work / 'tokenizer.json', work / 'state'
  if not tokenizer_file.exists():
    vocabulary.save_tokenizer(tokenizer_texts(), CONFIG.vocab, work)
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
