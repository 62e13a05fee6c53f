"""Trains every arm from one SFT policy per seed and prints how they compare, with intervals and budgets.

  python -m tools.ablate --out=runs/ablations --seeds=3
  python -m tools.ablate --out=runs/rewards --seeds=3 --arms=gated,binary,additive --baseline=gated

An arm is a config of configs/ablations; those of the first command differ in what a round trains on, those of the second in the reward.

Restartable: finished runs are only read. Writes OUT/ablations.md and OUT/ablations.json.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from absl import app, flags

from inftool_jax.data import manifest, store
from inftool_jax.evaluation import statistics
from inftool_jax.evaluation.statistics import Scored
from inftool_jax.report import tables
from inftool_jax.settings import ARMS

CONFIGS = pathlib.Path('configs/ablations')
OUT = flags.DEFINE_string('out', 'runs/ablations', 'folder of the runs and the table')
SEEDS = flags.DEFINE_integer('seeds', 3, 'training seeds 0, 1, ...; 3 are a sign of life, 8 a claim', lower_bound=1)
ARM = flags.DEFINE_list('arms', list(ARMS), 'arms to train and compare')
BASELINE = flags.DEFINE_string('baseline', 'static', 'the arm that the others are compared with')
PRESET = flags.DEFINE_string('preset', 'tiny', 'of configs/round.py; smoke only shows that everything runs')
OVERRIDES = flags.DEFINE_multi_string('set', [], 'override for every run, such as --set=rounds.steps=4')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unknown argument {argv[1]!r}')
  out = pathlib.Path(OUT.value)
  missing = [arm for arm in ARM.value if not (CONFIGS / f'{arm}.py').is_file()]
  if missing or BASELINE.value not in ARM.value:
    known = ', '.join(sorted(path.stem for path in CONFIGS.glob('*.py')))
    raise app.UsageError(f'unknown arms: {", ".join(missing)}; have {known}' if missing else '--baseline must be one of --arms')
  whole = () if PRESET.value == 'smoke' else ('--config.evaluation.n=0',)
  for seed in range(SEEDS.value):
    cold = out / f'seed_{seed}' / 'sft'
    _run(f'configs/round.py:{PRESET.value}', cold, seed, '--config.rounds.count=0', *whole)
    for arm in ARM.value:
      _run(f'{CONFIGS / arm}.py:{PRESET.value}', out / f'seed_{seed}' / arm, seed, f'--config.sft.checkpoint={cold}')
  table, figures = compare(out)
  manifest.write_bytes(out / 'ablations.json', manifest.readable(figures))
  manifest.write_bytes(out / 'ablations.md', table.encode())
  print(table)


def _run(config: str, workdir: pathlib.Path, seed: int, *extra: str) -> None:
  started = time.monotonic()
  overrides = [f'--config.{o}' for o in OVERRIDES.value]
  job = [sys.executable, '-m', 'inftool_jax.main', f'--config={config}']
  command = [*job, f'--config.seed={seed}', f'--workdir={workdir}', *overrides, *extra]
  workdir.parent.mkdir(parents=True, exist_ok=True)
  with open(workdir.with_suffix('.log'), 'a') as log:
    code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
  print(f'{workdir}  {time.monotonic() - started:.0f} s', flush=True)
  if code:
    sys.exit(f'{" ".join(command)} failed; see {workdir.with_suffix(".log")}')


def compare(out: pathlib.Path) -> tuple[str, dict]:
  """(Markdown table, its figures) of the last evaluation of every arm over all seeds."""
  seeds = range(SEEDS.value)
  runs = {arm: {s: out / f'seed_{s}' / arm for s in seeds} for arm in ARM.value}
  last = {arm: {s: _scored(path, _last_stage(path)) for s, path in of.items()} for arm, of in runs.items()}
  first = {s: _scored(out / f'seed_{s}' / 'sft', 'evaluation_sft') for s in seeds}
  figures: dict = {'sft': {'success': _mean(first)}}
  rows = [f'| sft | {100 * _mean(first):.1f} | | | | | |']
  for arm in ARM.value:
    against = statistics.paired_difference(last[BASELINE.value], last[arm], seed=0) if arm != BASELINE.value else None
    gain = statistics.paired_difference(first, last[arm], seed=0)
    budget = _budget(list(runs[arm].values()))
    figures[arm] = {
      'success': _mean(last[arm]), 'over sft': vars(gain), f'over {BASELINE.value}': vars(against) if against else None, 'budget': budget
    }  # fmt: skip
    rows.append(
      f'| {arm} | {100 * _mean(last[arm]):.1f} | {_interval(gain)} | {_interval(against)} | {budget["steps"]:,} | '
      f'{budget["conversations"]:,} | {budget["sampled tokens"]:,} |'
    )
  head = f'| arm | success, % | over sft | over {BASELINE.value} | updates | conversations | sampled tokens |\n{"|---" * 7}|\n'
  parts = {name: _parts(scored) for name, scored in {'sft': first, **last}.items()}
  for name, shares in parts.items():
    figures[name]['parts'] = shares
  return head + '\n'.join(rows) + '\n\n' + _parts_table(parts), figures


def _parts(by_seed: Mapping[int, Sequence[Scored]]) -> dict[str, float]:
  """Success by kind; and, as a mean over kinds, by who wrote the request and by how its arguments are voiced. Means over seeds."""
  total: dict[str, list[float]] = {}
  for scored in by_seed.values():
    kinds = {kind: rate.share for kind, rate in statistics.success_by_kind(scored).items()}
    groups = {**statistics.by_wording(scored), **statistics.by_naming(scored)}
    for name, share in {**kinds, **{part: statistics.mean_over_kinds(rates) for part, rates in groups.items()}}.items():
      total.setdefault(name, []).append(share)
  return {name: sum(shares) / len(shares) for name, shares in total.items()}


def _parts_table(parts: Mapping[str, Mapping[str, float]]) -> str:
  columns = list(dict.fromkeys(column for shares in parts.values() for column in shares))
  rows = [['arm', *map(tables.words, columns)], ['---'] * (1 + len(columns))]
  rows += [[arm, *(tables.percent(shares[c]) if c in shares else '' for c in columns)] for arm, shares in parts.items()]
  return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def _last_stage(path: pathlib.Path) -> str:
  rounds = [p.name for p in path.glob('evaluation_round_*') if manifest.find(p)]
  return max(rounds, key=lambda name: int(name.rsplit('_', 1)[1]))


def _scored(path: pathlib.Path, stage: str) -> list[Scored]:
  return list(store.read(path / stage, Scored, 'scored'))


def _mean(by_seed: dict[int, list[Scored]]) -> float:
  means = [statistics.mean_over_kinds(statistics.success_by_kind(r)) for r in by_seed.values()]
  return sum(means) / len(means)


def _interval(d: statistics.Difference | None) -> str:
  return '' if d is None else tables.points(d.mean, d.low, d.high)


def _budget(paths: list[pathlib.Path]) -> dict[str, int]:
  """Spent after SFT, probes included, mean over the seeds."""
  total = dict.fromkeys(('steps', 'conversations', 'sampled tokens'), 0)
  for path in paths:
    for stage in path.glob('round_*'):
      counts = json.loads((stage / manifest.NAME).read_text())['counts']
      for name in total:
        total[name] += counts.get(name, 0)
  return {name: value // len(paths) for name, value in total.items()}


if __name__ == '__main__':
  app.run(main)
