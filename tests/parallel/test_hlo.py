"""The bytes of collectives, from texts in the compiler's manner."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from inftool_jax.parallel import hlo

MESH = Mesh(np.array(jax.devices()[:1] * 8).reshape(1, 4, 2, 1), ('data', 'fsdp', 'tensor', 'sequence'))
TENSOR, FSDP = '{{0,1},{2,3},{4,5},{6,7}}', '{{0,2,4,6},{1,3,5,7}}'


def _program(line: str, more: str = '') -> str:
  return f'{more}\nENTRY %main.1 (p: f32[8]) -> f32[8] {{\n  %p = f32[8]{{0}} parameter(0)\n  ROOT %x = {line}\n}}\n'


@pytest.mark.parametrize(
  ('groups', 'axes', 'n'),
  [
    (TENSOR, 'tensor', 2),
    (FSDP, 'fsdp', 4),
    ('[4,2]<=[8]', 'tensor', 2),
    ('[2,4]<=[4,2]T(1,0)', 'fsdp', 4),
    ("mesh['axis_0'=4,'axis_1'=2] {'axis_0'}", 'fsdp', 4),
    ("mesh['axis_0'=4,'axis_1'=2] {'axis_0','axis_1'}", 'fsdp tensor', 8),
    ('{}', 'fsdp tensor', 8),
  ],
)
def test_groups_in_every_notation_are_told_by_the_axes_they_go_over(groups: str, axes: str, n: int) -> None:
  text = _program(f'bf16[16,32]{{1,0:T(8,128)(2,1)}} all-gather(%p), channel_id=1, replica_groups={groups}, dimensions={{0}}')
  assert hlo.collective_bytes(text, MESH, ()) == {axes: 16 * 32 * 2 * (n - 1) / n}


@pytest.mark.parametrize(
  ('line', 'sent'),
  [
    (f'f32[64]{{0}} all-reduce(%p), replica_groups={FSDP}, to_apply=%add', 2 * 256 * 3 / 4),
    (f'(f32[64]{{0}}, bf16[2]{{0}}) all-reduce(%p, %p), replica_groups={FSDP}', 2 * 260 * 3 / 4),
    (f'f32[16]{{0}} reduce-scatter(%p), replica_groups={FSDP}', 256 * 3 / 4),
    (f'f32[64]{{0}} all-to-all(%p), replica_groups={FSDP}', 256 * 3 / 4),
    (f'(f32[16]{{0}}, f32[64]{{0:S(1)}}) all-gather-start(%p), replica_groups={FSDP}', 256 * 3 / 4),
    ('(f32[64], f32[64], u32[], u32[]) collective-permute-start(%p), source_target_pairs={{0,2},{2,4},{4,6},{6,0}}', 256),
  ],
)
def test_what_a_ring_sends(line: str, sent: float) -> None:
  text = _program(line, '%add (a: f32[], b: f32[]) -> f32[] {\n  ROOT %c = f32[] add(%a, %b)\n}\n')
  assert hlo.collective_bytes(text, MESH, ()) == {'fsdp': sent}


def test_an_all_reduce_of_which_each_keeps_its_part_is_a_reduce_scatter() -> None:
  inner = f'%all-reduce-scatter.3 (i: f32[64]) -> f32[16] {{\n  %r = f32[64]{{0}} all-reduce(%i), replica_groups={FSDP}\n}}\n'
  text = _program('f32[16]{0} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.3', inner)
  assert hlo.collective_bytes(text, MESH, ()) == {'fsdp': 192}


def test_a_collective_whose_steps_are_in_several_fusions_counts_once() -> None:
  def text(channel: int, frames: tuple[int, ...]) -> str:
    rest = f'all-gather(%i), channel_id={channel}, replica_groups={FSDP}'
    steps = ''.join(
      f'%step.{n} (i: f32[16]) -> f32[64] {{\n  %g.{n} = f32[64]{{0{":S(1)" * n}}} {rest}, metadata={{stack_frame_id={frame}}}\n}}\n\n'
      for n, frame in enumerate(frames)
    )
    calls = '\n  '.join(f'%c.{n} = f32[64]{{0}} fusion(%p), calls=%step.{n}' for n in range(len(frames)))
    return _program(calls.removeprefix('%c.0 = '), steps)

  assert hlo.collective_bytes(text(7, (4, 4, 5)), MESH, ()) == {'fsdp': 256 * 3 / 4}
  assert hlo.collective_bytes(text(1, (4, 4, 5)), MESH, ()) == {'fsdp': 2 * 256 * 3 / 4}  # of a `shard_map`, from two places


def test_collectives_without_a_channel_count_each_in_fusions_too() -> None:
  body = f'%r = f32[64]{{0}} all-gather(%i), replica_groups={FSDP}'
  inner = ''.join(f'%f.{n} (i: f32[64]) -> f32[64] {{\n  {body}\n}}\n\n' for n in (0, 1))
  calls = 'f32[64]{0} fusion(%p), calls=%f.0\n  %b = f32[64]{0} fusion(%p), calls=%f.1'
  assert hlo.collective_bytes(_program(calls, inner), MESH, ()) == {'fsdp': 2 * 256 * 3 / 4}


def test_collectives_of_one_channel_that_are_in_no_fusion_count_each() -> None:
  line = f'f32[64]{{0}} all-gather(%p), channel_id=1, replica_groups={FSDP}'
  assert hlo.collective_bytes(_program(f'{line}\n  %b = {line}'), MESH, ()) == {'fsdp': 2 * 256 * 3 / 4}


LOOPS = f"""
%until_ten (a: (s32[], f32[64])) -> pred[] {{
  %i = s32[]{{:T(128)}} get-tuple-element(%a), index=0
  %ten = s32[]{{:T(128)}} constant(10)
  ROOT %lt.1 = pred[]{{:T(512)}} compare(%i, %ten), direction=LT, metadata={{op_name="while/cond"}}
}}

%until_data (a: (s32[], f32[64])) -> pred[] {{
  %j = s32[] get-tuple-element(%a), index=0
  %end = s32[] get-tuple-element(%a), index=2
  ROOT %lt.2 = pred[]{{:T(512)}} compare(%j, %end), direction=LT
}}

%by_one (a: (s32[], f32[64])) -> (s32[], f32[64]) {{
  %one = s32[]{{:T(128)}} constant(1)
  %k = s32[]{{:T(128)}} get-tuple-element(%a), index=0
  %next = s32[]{{:T(128)}} add(%k, %one)
  %g = f32[64]{{0}} all-gather(%a), replica_groups={FSDP}, dimensions={{0}}
  ROOT %t = (s32[], f32[64]{{0}}) tuple(%next, %g)
}}

%by_three (a: (s32[], f32[64])) -> (s32[], f32[64]) {{
  %three = s32[]{{:T(128)}} constant(3)
  %k = s32[]{{:T(128)}} get-tuple-element(%a), index=0
  %next = s32[]{{:T(128)}} add(%three, %k)
  %g = f32[64]{{0}} all-gather(%a), replica_groups={FSDP}, dimensions={{0}}
  ROOT %t = (s32[], f32[64]{{0}}) tuple(%next, %g)
}}

%all (a: (s32[], f32[64])) -> (s32[], f32[64]) {{
  %first = (s32[], f32[64]{{0}}) while(%a), condition=%until_ten, body=%by_one
  %second = (s32[], f32[64]{{0}}) while(%first), condition=%until_ten, body=%by_three
  ROOT %third = (s32[], f32[64]{{0}}) while(%second), condition=%until_data, body=%by_one
}}
"""


def test_a_loop_counts_as_often_as_it_runs_by_its_constants_or_by_what_is_said() -> None:
  text = _program('(s32[], f32[64]) while(%p), condition=%until_data, body=%all', LOOPS)
  assert hlo.collective_bytes(text, MESH, (7, 5)) == {'fsdp': 7 * (10 + 4 + 5) * 192}
  with pytest.raises(ValueError, match='how often was not given'):
    hlo.collective_bytes(text, MESH, (7,))


def test_kernels_by_name_and_shapes() -> None:
  line = '(f32[2,512]{1,0}, bf16[4]{0}) custom-call(%p), custom_call_target="tpu_custom_call"'
  text = _program(line).replace('%x =', '%attention_fwd.12 =')
  assert hlo.kernels(text) == {'attention_fwd': 1} and (2, 512) in hlo.shapes(text) and (512, 2) not in hlo.shapes(text)
