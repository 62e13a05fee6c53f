"""What a run tells: lines while it goes, `results.json`, the table and `report.html` at its end."""

from __future__ import annotations

import asyncio
import dataclasses
import json

from inftool_jax import types
from inftool_jax.data import manifest, store
from inftool_jax.errors import StoreError
from inftool_jax.evaluation import baselines as floors
from inftool_jax.evaluation import gaps, statistics
from inftool_jax.evaluation.suite import Suite
from inftool_jax.loop import evaluating, sampled
from inftool_jax.loop.context import Context
from inftool_jax.loop.log import console, say
from inftool_jax.report import html, results, tables
from inftool_jax.report.model import Baseline, Chart, Line, Report, Results, Shown, Stage, Table
from inftool_jax.servers.simulator import Simulator
from inftool_jax.types import Trajectory

BASELINES = 'baselines.json'


def stages(context: Context) -> list[str]:
  """Names of all stages of this run, in order."""
  borrowed = bool(context.settings.sft.checkpoint)
  names = ['sft'] if borrowed else ['synthesise', 'evaluation_base', 'sft', 'evaluation_sft']
  for n in range(1, context.settings.rounds.count + 1):
    probe = [f'round_{n}_probe'] if context.settings.rounds.arm == 'loop' else []
    names += [*probe, f'round_{n}', *([f'evaluation_round_{n}'] if evaluated(context, n) else [])]
  return names


def evaluated(context: Context, number: int) -> bool:
  """Whether the policy is evaluated after this round."""
  settings = context.settings
  return number == settings.rounds.count or number % settings.evaluation.every == 0


def finished(context: Context) -> bool:
  wanted = set(context.settings.stages)
  needed = [s for s in stages(context) if _group(s) in wanted]
  return all(manifest.find(context.folder(s)) for s in needed) and (context.workdir / html.NAME).exists()


def _group(stage: str) -> str:
  if stage.startswith('evaluation'):
    return 'evaluate'
  return 'rounds' if stage.startswith('round') else stage


def told(context: Context, stage: str, done: manifest.StageManifest) -> None:
  """The stage's summary line."""
  say(tables.summary_line(_stage(context, stage, done)))


def _stage(context: Context, name: str, done: manifest.StageManifest) -> Stage:
  if name.startswith('evaluation_'):
    return evaluating.evaluated(context, name, done)
  return Stage(name, {}, done.counts, done.wall_seconds)


def _results(context: Context, file: Suite | None) -> Results:
  """What is finished; a stage and the evaluation of its policy are one entry."""
  found: dict[str, Stage] = {}
  for name in stages(context):
    done = manifest.find(context.folder(name))
    if done is None:
      continue
    of = name.removeprefix('evaluation_')
    stage = _stage(context, name, done)
    counts = {'evaluated conversations': done.counts['conversations']} if stage.kinds else done.counts
    before = found.get(of, Stage(of, {}, {}, 0.0))
    seconds = before.wall_seconds + done.wall_seconds
    found[of] = dataclasses.replace(stage, name=of, counts={**before.counts, **counts}, wall_seconds=seconds)
  return Results(file.hash if file else '', tuple(found.values()))


def baselines(context: Context, file: Suite | None) -> None:
  """The parser floor and the canaries: as kept with the bundled file, else on the tasks that are evaluated; once."""
  path = context.workdir / BASELINES
  if file is None or path.exists():
    return
  made = floors.kept(file.hash) or asyncio.run(
    floors.run_all(evaluating.selected(context, file), Simulator(file.tools, 'test'), context.tokenizer)
  )
  manifest.write_bytes(path, manifest.readable(types.to_json(made)))
  floor = made[0]
  say(f'parser floor: {tables.percent(floor.kinds[tables.MEAN])} % (mean over kinds, twins counted)')


def write(context: Context, file: Suite | None) -> None:
  """Rewrites `results.json` and `report.html` from what is finished."""
  all_results = _results(context, file)
  results.write(context.workdir, all_results)
  html.write(context.workdir, _report(context, all_results))


def show_table(context: Context) -> None:
  """The stage x kind table."""
  found = results.read(context.workdir)
  if any(stage.kinds for stage in found.stages):
    console.print()
    console.print(tables.stage_table(found))
  if compared := _comparison(context):
    say(compared)


def _comparison(context: Context) -> str:
  """The last evaluated round against SFT, task by task; '' if one of them is not there."""
  names = [name for name in stages(context) if name.startswith('evaluation_') and manifest.find(context.folder(name))]
  first = 'evaluation_sft'
  if first not in names or names[-1] == first:
    return ''
  seed = context.settings.seed
  before, after = ({seed: evaluating.scored(context, name)} for name in (first, names[-1]))
  difference = statistics.paired_difference(before, after, seed=0)
  last = tables.words(names[-1].removeprefix('evaluation_'))
  gain = tables.points(difference.mean, difference.low, difference.high)
  return f'{last} over sft: {gain}; 95 % interval, paired by task, servers resampled, one seed'


def _report(context: Context, all_results: Results) -> Report:
  s = context.settings
  return Report(
    title=f'inftool_jax: {context.workdir.name}',
    results=all_results,
    facts={
      'preset': s.preset,
      'seed': s.seed,
      'arm': s.rounds.arm,
      'reward': s.rounds.reward,
      'parameters': context.decoder.parameters,
      'tools': len(context.ingest.tools),
      'evaluation tasks of each kind': s.evaluation.n or 'all',
    },
    charts=(*_success_chart(all_results), *_training_charts(context)),
    gaps=_gaps(context),
    budget=_budget(context),
    sampler=sampled.table({name: context.folder(name) for name in stages(context)}),
    baselines=_baselines(context),
    diversity=_diversity(context),
    comparison=_comparison(context),
    trajectories=_shown(context),
  )


def _success_chart(all_results: Results) -> tuple[Chart, ...]:
  evaluated = [s for s in all_results.stages if s.kinds]
  if len(evaluated) < 2:
    return ()
  x = list(range(len(evaluated)))
  lines = tuple(Line(tables.words(k), x, [s.kinds[k].success for s in evaluated]) for k in tables.kinds_of(all_results))
  return (Chart('Success on held-out tools', 'stage', lines, share=True, x_names=tuple(s.name for s in evaluated)),)


def _training_charts(context: Context) -> tuple[Chart, ...]:
  """Reward and success of every update, over all rounds, from the stored rollouts."""
  reward: list[float] = []
  success: list[float] = []
  settings = context.settings.rounds
  size = settings.tasks * settings.group
  for n in range(1, settings.count + 1):
    folder = context.folder(f'round_{n}') / 'rollouts'
    names = sorted(p.name.removesuffix('.index.json') for p in folder.glob('*.index.json'))
    played = [t for name in names for t in store.read(folder, Trajectory, name)]
    for i in range(0, len(played), size):
      part = played[i : i + size]
      reward.append(sum(t.reward for t in part) / len(part))
      success.append(sum(t.gates.get('success', 0.0) for t in part) / len(part))
  if not reward:
    return ()
  x = list(range(1, len(reward) + 1))
  return (Chart('Rollouts on train tools', 'update', (Line('reward', x, reward), Line('success', x, success)), share=True),)


def _gaps(context: Context):
  for n in range(context.settings.rounds.count, 0, -1):
    path = context.folder(f'round_{n}_probe') / evaluating.GAPS
    if path.exists():
      return gaps.rows(gaps.from_json(json.loads(path.read_text())))
  return ()


def _budget(context: Context) -> Table:
  """What each stage spent."""
  columns = ('stage', 'updates', 'conversations', 'sampled tokens', 'zero-variance groups', 'seconds')
  rows = []
  for name in stages(context):
    done = manifest.find(context.folder(name))
    if done is not None:
      c = done.counts
      rows.append((name, c.get('steps'), c.get('conversations'), c.get('sampled tokens'), c.get('zero-variance groups'), done.wall_seconds))
  return Table(columns, tuple(rows))


def _baselines(context: Context) -> tuple[Baseline, ...]:
  path = context.workdir / BASELINES
  return tuple(types.from_json(Baseline, b) for b in json.loads(path.read_text())) if path.exists() else ()


def _diversity(context: Context) -> Table:
  path = context.folder('synthesise') / 'diversity.json'
  if not path.exists():
    return Table((), ())
  body = json.loads(path.read_text())
  return Table(('of the cold-start tasks', 'entropy in bits, or share'), tuple((k, float(v)) for k, v in body.items()))


def _shown(context: Context) -> tuple[Shown, ...]:
  """The first few trajectories of every evaluated stage, spread over kinds."""
  if not context.settings.evaluation.report:
    return ()
  shown = []
  for name in stages(context):
    if not name.startswith('evaluation_') or manifest.find(context.folder(name)) is None:
      continue
    try:
      trajectories = list(store.read(context.folder(name), Trajectory, 'trajectories'))
    except StoreError as e:
      say(f'  {e}')
      continue
    found = {r.task_id: r for r in evaluating.scored(context, name)}
    step = max(1, len(trajectories) // context.settings.evaluation.report)
    for t in trajectories[::step]:
      r = found[t.task_id]
      shown.append(Shown(t, name.removeprefix('evaluation_'), r.kind, r.success, r.failed))
  return tuple(shown)
