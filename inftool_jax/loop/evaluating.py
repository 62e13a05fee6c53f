"""Scores a policy on the frozen test file, and probes it on fresh train tasks."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Mapping, Sequence

from inftool_jax import seeds, types
from inftool_jax.data import manifest, store
from inftool_jax.evaluation import evaluate, gaps, probe, statistics, suite
from inftool_jax.evaluation.statistics import Scored
from inftool_jax.loop import playing, policy, sampled
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import say
from inftool_jax.models import decoder
from inftool_jax.report.model import Rate, Stage
from inftool_jax.sampling.replicas import Replicas
from inftool_jax.servers.simulator import Simulator
from inftool_jax.synthesis.plan import plan
from inftool_jax.types import KINDS, Task

SUITE = 'evaluation.jsonl.gz'
GAPS = 'gaps.json'


def frozen(context: Context) -> suite.Suite:
  """The frozen test file: the one named, the bundled one, or, for specifications of one's own, one made once per run."""
  settings = context.settings.evaluation
  if settings.path or not context.settings.specs.paths:
    return suite.load(pathlib.Path(settings.path) if settings.path else None)
  path = context.workdir / SUITE
  if not path.exists():
    seed = seeds.derive(context.settings.seed, 'evaluation')
    counts = {kind: settings.n or 110 for kind in KINDS}
    tasks = plan(context.splits.test, counts, seed, split='test', offered=context.settings.synthesis.offered)
    return suite.save(path, fitting(context, tasks), context.splits.test)
  return suite.load(path)


def selected(context: Context, file: suite.Suite) -> tuple[Task, ...]:
  return fitting(context, suite.subset(file, context.settings.evaluation.n, 0))


def fitting(context: Context, tasks: Sequence[Task]) -> tuple[Task, ...]:
  """Whole units whose prompts fit the context; the others are told."""
  whole = suite.units(tasks)
  kept = [u for u in whole if all(playing.fits(context, t) for t in u.tasks)]
  if len(kept) < len(whole):
    say(f'  {len(whole) - len(kept)} of {len(whole)} units do not fit {context.limits.max_tokens} tokens and are left out')
  chosen = {t.id for u in kept for t in u.tasks}
  return tuple(t for t in tasks if t.id in chosen)


def evaluate_policy(
  context: Context, stage: str, params: decoder.Params, version: int, file: suite.Suite, sampler: Replicas, inputs: Mapping[str, str]
) -> manifest.StageManifest:
  """Writes `scored` and `trajectories` of the policy at temperature 0, and `rates.json`."""
  folder = context.folder(stage)
  inputs = {**inputs, 'evaluation': file.hash}
  done = manifest.done(folder, inputs)
  if done:
    return done
  started = time.monotonic()
  manifest.begin(folder)
  sampler.update(params, version)
  tasks = selected(context, file)
  server = Simulator(file.tools, 'test')
  s = context.settings
  one = playing.policy(context, sampler, server, s.seed, 0.0, s.rounds.reward, grammar=s.evaluation.grammar)
  with sampled.kept(folder, sampler):
    played = playing.play_all(stage, tasks, 1, one, sampler.slots)
  result = evaluate.evaluation(tasks, played)
  rates = folder / 'rates.json'
  manifest.write_bytes(rates, manifest.readable({
    'rates': types.to_json(evaluate.rates(result)),
    'apart': types.to_json(evaluate.apart(result)),
    'failed': statistics.failures(result.scored),
    'parse_failures': result.parse_failure_rate,
    'truncations': result.truncation_rate,
    'outcomes': dict(result.outcomes),
  }))  # fmt: skip
  files = [
    rates,
    *store.write(folder, result.scored, 'scored').files(folder),
    *store.write(folder, result.trajectories, 'trajectories').files(folder),
  ]
  return manifest.commit(folder, stage, files, {'conversations': len(tasks)}, inputs, time.monotonic() - started)


def evaluated(context: Context, stage: str, done: manifest.StageManifest) -> Stage:
  """A finished evaluation as the report shows it."""
  body = json.loads((context.folder(stage) / 'rates.json').read_text())
  apart = {part: _rates(kinds) for part, kinds in body['apart'].items()}
  return Stage(stage, _rates(body['rates']), done.counts, done.wall_seconds, apart, body['failed'])


def _rates(kinds: Mapping[str, types.JSON]) -> dict[str, Rate]:
  return {kind: types.from_json(Rate, rate) for kind, rate in kinds.items()}


def scored(context: Context, stage: str) -> list[Scored]:
  return list(store.read(context.folder(stage), Scored, 'scored'))


def probe_policy(
  context: Context, stage: str, number: int, params: decoder.Params, sampler: Replicas, inputs: dict[str, str]
) -> manifest.StageManifest:
  """Plays fresh tasks, stratified over kind x server of all train tools, several times each; writes `gaps.json`."""
  folder = context.folder(stage)
  done = manifest.done(folder, inputs)
  if done:
    return done
  started = time.monotonic()
  manifest.begin(folder)
  settings = context.settings
  sampler.update(params, policy.version(context, number - 1))
  seed = seeds.derive(settings.seed, 'probe', number)
  offered = settings.synthesis.offered
  tasks = fitting(context, probe.plan_probe(context.splits.train, settings.probe.units, settings.seed, number, offered=offered))
  one = playing.policy(context, sampler, context.simulators['train'], seed, settings.rounds.temperature, settings.rounds.reward)
  with sampled.kept(folder, sampler):
    played = playing.play_all(stage, tasks, settings.probe.attempts, one, sampler.slots)
  families = probe.families(context.splits.train)
  units = probe.probed(probe.attempted(tasks, played), families)
  report = folder / GAPS
  manifest.write_bytes(report, manifest.readable(gaps.to_json(gaps.report(units, families))))
  files = [
    report,
    *store.write(folder, tasks, 'tasks').files(folder),
    *store.write(folder, units, 'units').files(folder),
    *store.write(folder, played, 'trajectories').files(folder),
  ]
  tokens = sum(sum(t.loss_mask) for t in played)
  counts = {'tasks': len(tasks), 'conversations': len(played), 'sampled tokens': tokens}
  return manifest.commit(folder, stage, files, counts, inputs, time.monotonic() - started)
