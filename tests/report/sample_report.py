"""A report with everything in it, for the tests of this room."""

from __future__ import annotations

import math

from inftool_jax import seeds, types
from inftool_jax.report import model

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
_SIZES = {k: 40 for k in types.KINDS}
_STAGES = (('base', 0.01), ('sft', 0.34), ('round-1', 0.41), ('round-2', 0.47))


def rate(success: float, n: int) -> model.Rate:
  half = 1.96 * math.sqrt(max(success * (1 - success), 0.01) / n)
  return model.Rate(success, n, max(0.0, success - half), min(1.0, success + half))


def results() -> model.Results:
  stages = [model.Stage('synthesise', {}, {'tasks': 6000, 'accepted': 5412, 'rejected': 588}, 41.3)]
  for name, level in _STAGES:
    draw = seeds.rng(0, name)
    kinds = {k: rate(min(1.0, level * draw.uniform(0.6, 1.4)), n) for k, n in _SIZES.items()}
    mean = sum(r.success for r in kinds.values()) / len(kinds)
    counts = {} if name == 'base' else {'steps': 320, 'sampled_tokens': 1_204_332}
    apart = {'hand_written': {'single': rate(level / 2, 9)}, 'unnamed': {'single': rate(level / 3, 14), 'mean': rate(level / 3, 14)}}
    failed = {'calls': 31, 'no_forbidden_effect': 4}
    stages.append(model.Stage(name, {**kinds, 'mean': rate(mean, 240)}, counts, draw.uniform(20, 190), apart, failed))
  return model.Results('9f2c' * 16, tuple(stages))


def _trajectory(task: str, messages: tuple[types.Message, ...], reward: float, outcome: types.Outcome) -> types.Trajectory:
  gates = {'parse': 1.0, 'schema': float(reward > 0), 'execute': 1.0, 'match': reward}
  turns = sum(m.role == 'assistant' for m in messages)
  return types.Trajectory(task, 0, messages, (1,) * 412, (False,) * 412, (math.nan,) * 412, (-1,) * 412, turns, gates, reward, outcome)


def _good() -> types.Trajectory:
  call = types.Call('create_booking', {'room': 'Garden', 'day': '2031-04-02', 'guests': 3})
  content = '{"id": "boo_k3x7qa", "room": "Garden", "day": "2031-04-02", "guests": 3, "confirmed": true, "total": {"amount": 240.5}}'
  messages = (
    types.Message('system', '# Tools\n\n<tools>\n{"type": "function", "function": {"name": "create_booking"}}\n</tools>'),
    types.Message('user', 'Please hold the Garden for the three of us on 2 April 2031, and tell me what number it gets.'),
    types.Message('assistant', calls=(call, types.Call('list_rooms', {}))),
    types.Message('tool', results=(types.Result(content), types.Result('{"rooms": ["Garden", "Attic"]}'))),
    types.Message('assistant', 'The booking id is boo_k3x7qa.'),
  )
  return _trajectory('single/booking/17', messages, 1.0, 'completed')


def _asked() -> types.Trajectory:
  messages = (
    types.Message('user', 'I need a parcel label for Oslo.'),
    types.Message('assistant', 'Which weight?'),
    types.Message('user', 'It is 2.4 kg.'),
    types.Message('assistant', calls=(types.Call('create_label', {'city': 'Oslo', 'weight_kg': 24}),)),
    types.Message('tool', results=(types.Result('{"error": "weight_kg must be at most 20"}', is_error=True),)),
    types.Message('assistant', 'The label could not be made.'),
  )
  return _trajectory('missing_parameter/label/3', messages, 0.0, 'completed')


def _hostile() -> types.Trajectory:
  messages = (
    types.Message('user', f'Look up {HOSTILE} for me'),
    types.Message('assistant', HOSTILE, calls=(types.Call(HOSTILE, {HOSTILE: [HOSTILE] * 3}),)),
    types.Message('tool', results=(types.Result(HOSTILE),)),
    types.Message('assistant', f'<tool_call>\n{{"name": "{HOSTILE}", "argu \ud800', error='unterminated_json'),
  )
  return _trajectory('x" onclick="alert(1)', messages, 0.0, 'truncated')


def report() -> model.Report:
  steps = range(0, 320, 8)
  draw = seeds.rng(0, 'curves')
  loss = tuple(4.2 * math.exp(-s / 70) + 0.35 + draw.uniform(-0.05, 0.05) for s in steps)
  names = [s.name for s in results().stages if s.kinds]
  by_kind = [[s.kinds[k] for s in results().stages if s.kinds] for k in ('single', 'multi_step', 'mean')]
  lines = tuple(
    model.Line(k, range(len(names)), [r.success for r in rates], [r.low for r in rates], [r.high for r in rates])
    for k, rates in zip(('single', 'multi step', 'mean'), by_kind, strict=True)
  )
  families = ('bookings', 'parcels & labels', 'weather', 'invoices')
  verdicts = ('mastered', 'boundary', 'failed', 'suspect label')
  gaps = tuple(
    model.Gap(kind, families[i % 4], rate(0.2 * i, 24), verdicts[i % 4], 0.05 + 0.06 * i) for i, kind in enumerate(types.KINDS[:5])
  )
  zero = dict.fromkeys(types.KINDS, 0.0)
  baselines = (
    model.Baseline('parser floor', {**zero, 'single': 0.225, 'multiple': 0.175, 'mean': 0.09}, {'mean': 0.25}),
    model.Baseline('silent', zero, dict.fromkeys(types.KINDS, 0.02)),
    model.Baseline('call everything', {**zero, 'single': 0.1}, dict.fromkeys(types.KINDS, 0.05)),
  )
  shown = (
    model.Shown(_good(), 'round-1', 'single', True, '', ('create_booking', 'list_rooms', 'cancel_booking')),
    model.Shown(_asked(), 'round-1', 'missing_parameter', False, 'calls', ('create_label',)),
    model.Shown(_hostile(), 'round-2', 'irrelevance', False, 'parse', (HOSTILE,)),
  )
  return model.Report(
    title='Tool use, preset tiny <b>& co</b>',
    results=results(),
    facts={'preset': 'tiny', 'seed': 0, 'parameters': 1_873_408, 'device': 'CPU, 2 cores', 'tools': 224, 'workdir': 'runs/tiny'},
    charts=(
      model.Chart('SFT loss', 'step', (model.Line('loss', tuple(steps), loss),)),
      model.Chart('Reward <b>', 'step', (model.Line('reward & co', tuple(steps), tuple(1 - x / 5 for x in loss)),), share=True),
      model.Chart('Success by stage', 'stage', lines, share=True, x_names=tuple(names)),
    ),
    gaps=gaps,
    budget=model.Table(
      ('stage', 'optimizer steps', 'prompts x G', 'sampled tokens', 'trained tokens'),
      (('sft', 320, None, 0, 2_412_220), ('round-1', 60, 15_360, 1_204_332, 802_114)),
      note='Probes and refills are counted.',
    ),
    sampler=model.Table(
      ('stage', 'sampled tokens/s', 'occupancy'), (('round-1', 612.4, 0.731),), shares=frozenset({'occupancy'})
    ),
    baselines=baselines,
    diversity=model.Table(
      ('round', 'tools used', 'entropy of tools', 'distinct openings'),
      ((1, 148, 4.82, 0.982), (2, 141, 4.7, 0.975)),
      shares=frozenset({'distinct openings'}),
    ),
    comparison='round-2 over sft: +13.0 points (+2.1 to +24.4)',
    trajectories=shown,
  )
