"""TensorBoard scalars."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboardX import proto
from tensorboardX.record_writer import masked_crc32c

from inftool_jax.report import scalars


def _events(folder: Path) -> list[proto.event_pb2.Event]:
  """The events of the only file in `folder`, each record's checksum compared."""
  (path,) = folder.iterdir()
  data, at, events = path.read_bytes(), 0, []
  while at < len(data):
    size = int.from_bytes(data[at : at + 8], 'little')
    body = data[at + 12 : at + 12 + size]
    assert masked_crc32c(body) == int.from_bytes(data[at + 12 + size : at + 16 + size], 'little')
    events.append(proto.event_pb2.Event.FromString(body))
    at += 16 + size
  return events


def test_numbers_are_in_the_file_under_their_step(tmp_path: Path) -> None:
  with scalars.Scalars(tmp_path) as writer:
    writer.write(3, {'sft/loss': 1.5, 'sft/rate': 0.25})
    writer.write(4, {'sft/loss': 1.25})
  found = [(e.step, v.tag, v.simple_value) for e in _events(tmp_path) for v in e.summary.value]
  assert found == [(3, 'sft/loss', pytest.approx(1.5)), (3, 'sft/rate', pytest.approx(0.25)), (4, 'sft/loss', pytest.approx(1.25))]


def test_a_resumed_run_hides_what_it_will_write_again(tmp_path: Path) -> None:
  with scalars.Scalars(tmp_path, resume_step=7) as writer:
    writer.write(7, {'x': 1.0})
  starts = [e.step for e in _events(tmp_path) if e.session_log.status == proto.event_pb2.SessionLog.START]
  assert starts == [7]
