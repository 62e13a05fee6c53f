"""The bytes that programs move to and from main memory, from texts in the compiler's manner."""

from __future__ import annotations

import pytest

from inftool_jax.parallel import traffic

ROW, TABLE = 128 * 4, 64 * 128 * 4  # bytes of f32[1,128] and f32[64,128]

FUSIONS = """
%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %z = f32[] add(%x, %y)
}

%gathering (g0: f32[16,128]) -> (f32[1,128], f32[64,128]) {
  %g0 = f32[16,128]{1,0} parameter(0)
  %g1 = f32[64,128]{1,0} parameter(1)
  %g2 = f32[1,128]{1,0} parameter(2)
  %gathered = f32[64,128]{1,0} all-gather(%g0), channel_id=3, dimensions={0}
  %beside = f32[1,128]{1,0} negate(%g2)
  ROOT %both = (f32[1,128]{1,0}, f32[64,128]{1,0}) tuple(%beside, %g1)
}

%sliced (p0: f32[64,128], p1: s32[]) -> f32[1,128] {
  %p0 = f32[64,128]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %part = f32[1,128]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,128}
  ROOT %twice = f32[1,128]{1,0} add(%part, %part)
}

%tiled (t0: s8[64,128]) -> s8[64,128] {
  %t0 = s8[64,128]{1,0:T(32,128)(4,1)} parameter(0)
  ROOT %t1 = s8[64,128]{1,0:T(8,128)(4,1)} copy(%t0)
}

%beside (b0: s8[64,128]) -> (s8[64,128], s8[64,128]) {
  %b0 = s8[64,128]{1,0} parameter(0)
  %b1 = s8[64,128]{1,0:T(8,128)(4,1)} copy(%b0)
  %b2 = s8[64,128]{1,0} negate(%b0)
  ROOT %pair = (s8[64,128]{1,0}, s8[64,128]{1,0}) tuple(%b1, %b2)
}

%named_anew (n0: f32[64,128]) -> f32[64,128,1] {
  %n0 = f32[64,128]{1,0} parameter(0)
  ROOT %n1 = f32[64,128,1]{1,0,2} bitcast(%n0)
}

%through (h0: f32[64,128]) -> f32[64,128,1] {
  %h0 = f32[64,128]{1,0} parameter(0)
  %h1 = f32[64,128,1]{1,0,2} fusion(%h0), kind=kLoop, calls=%named_anew
  ROOT %h2 = f32[64,128,1]{1,0,2} negate(%h1)
}

%widened (w0: s8[64,128], w1: s32[]) -> f32[1,128] {
  %w0 = s8[64,128]{1,0:T(32,128)(4,1)} parameter(0)
  %w1 = s32[] parameter(1)
  %zero.2 = s32[] constant(0)
  %retiled = s8[64,128]{1,0:T(8,128)(4,1)} fusion(%w0), kind=kLoop, calls=%tiled
  %wide = f32[64,128]{1,0} convert(%retiled)
  ROOT %one = f32[1,128]{1,0} dynamic-slice(%wide, %w1, %zero.2), dynamic_slice_sizes={1,128}
}

%updated (q0: f32[64,128], q1: f32[1,128], q2: s32[]) -> f32[64,128] {
  %q0 = f32[64,128]{1,0} parameter(0)
  %q1 = f32[1,128]{1,0} parameter(1)
  %q2 = s32[] parameter(2)
  %zero.1 = s32[] constant(0)
  %new = f32[64,128]{1,0} dynamic-update-slice(%q0, %q1, %q2, %zero.1)
  ROOT %named = f32[64,128]{1,0} bitcast(%new)
}

%summed (r0: f32[64,128]) -> f32[64] {
  %r0 = f32[64,128]{1,0} parameter(0)
  ROOT %s = f32[64]{0} reduce(%r0), dimensions={1}, to_apply=%add
}
"""

ENTRY = """
ENTRY %main (a: f32[64,128], i: s32[], r: f32[1,128]) -> f32[64,128] {{
  %a = f32[64,128]{{1,0}} parameter(0)
  %i = s32[] parameter(1)
  %r = f32[1,128]{{1,0}} parameter(2)
  {line}
  ROOT %out = f32[64,128]{{1,0}} bitcast(%a)
}}
"""


@pytest.mark.parametrize(
  ('line', 'moved'),
  [
    ('%x = f32[64,128]{1,0:T(8,128)} copy(%a)', 2 * TABLE),
    ('%x = f32[64,128]{1,0:T(8,128)S(1)} copy(%a)', TABLE),  # into on-chip memory
    ('%x = (f32[64,128]{1,0:S(1)}, f32[64,128]{1,0}, u32[]{:S(2)}) copy-start(%a)', TABLE),
    ('%x = ((f32[64,128]{1,0}), f32[1,128]{1,0:S(1)}, u32[]{:S(2)}) slice-start(%a), slice={[0:1], [0:128]}', ROW),
    ('%x = f32[1,128]{1,0} dynamic-slice(%a, %i, %i), dynamic_slice_sizes={1,128}', 2 * ROW + 8),
    ('%x = f32[64,128]{1,0} dynamic-update-slice(%a, %r, %i, %i)', 2 * ROW + 8),
    ('%x = f32[1,128]{1,0} fusion(%a, %i), kind=kLoop, calls=%sliced', 2 * ROW + 4),
    ('%x = f32[64,128]{1,0} fusion(%a, %r, %i), kind=kLoop, calls=%updated', 2 * ROW + 4),
    ('%x = f32[64]{0} fusion(%a), kind=kInput, calls=%summed', TABLE + 64 * 4),
    ('%x = (f32[64,128]{1,0}, f32[64]{0}) custom-call(%a, %a), custom_call_target="tpu_custom_call"', 3 * TABLE + 256),
    ('%x = (f32[64,128]{1,0}, s32[]) tuple(%a, %i)', 0),
    ('%b = s8[64,128]{1,0} bitcast(%a)\n  %x = s8[64,128]{1,0:T(8,128)(4,1)} fusion(%b), kind=kLoop, calls=%tiled', 2 * TABLE // 4),
    ('%b = s8[64,128]{1,0} bitcast(%a)\n  %x = (s8[64,128]{1,0}, s8[64,128]{1,0}) fusion(%b), calls=%beside', 3 * TABLE // 4),
    ('%x = f32[64,128,1]{1,0,2} fusion(%a), kind=kLoop, calls=%through', 2 * TABLE),
    # In another layout and type, but no more of it than is asked for.
    ('%b = s8[64,128]{1,0} bitcast(%a)\n  %x = f32[1,128]{1,0} fusion(%b, %i), kind=kLoop, calls=%widened', 128 + ROW + 4),
    # A fusion that does a step of a gather beside work of its own: the gather's part and whole, once, and that work's row twice.
    (
      '%part = f32[16,128]{1,0} bitcast(%a)\n  %x = (f32[1,128]{1,0}, f32[64,128]{1,0}) fusion(%part, %a, %r), calls=%gathering\n'
      '  %y = (f32[1,128]{1,0}, f32[64,128]{1,0}) fusion(%part, %a, %r), calls=%gathering',
      TABLE // 4 + TABLE + 2 * 2 * ROW,
    ),
  ],
)
def test_what_an_instruction_moves(line: str, moved: int) -> None:
  assert traffic.memory_bytes(FUSIONS + ENTRY.format(line=line), ()) == moved


def test_a_kernel_that_is_known_to_touch_a_part_moves_that() -> None:
  text = FUSIONS + ENTRY.format(line='%reads_rows.7 = f32[1,128]{1,0} custom-call(%a, %i), custom_call_target="tpu_custom_call"')
  assert traffic.memory_bytes(text, ()) == TABLE + 4 + ROW
  assert traffic.memory_bytes(text, (), {'reads_rows': 3 * ROW, 'another': 5}) == 3 * ROW


def test_a_loop_moves_as_often_as_it_runs() -> None:
  loop = """
%until (c: (s32[], f32[64,128])) -> pred[] {
  %n = s32[] get-tuple-element(%c), index=0
  %end = s32[] get-tuple-element(%c), index=0
  ROOT %lt = pred[] compare(%n, %end), direction=LT
}

%body (b: (s32[], f32[64,128])) -> (s32[], f32[64,128]) {
  %b = (s32[], f32[64,128]{1,0}) parameter(0)
  %t = f32[64,128]{1,0} get-tuple-element(%b), index=1
  %row = f32[1,128]{1,0} fusion(%t, %k), kind=kLoop, calls=%sliced
  ROOT %again = (s32[], f32[64,128]{1,0}) tuple(%k, %t)
}
"""
  text = FUSIONS + loop + ENTRY.format(line='%x = (s32[], f32[64,128]) while(%a), condition=%until, body=%body')
  assert traffic.memory_bytes(text, (7,)) == 7 * 2 * ROW
