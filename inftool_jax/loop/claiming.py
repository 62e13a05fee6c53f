"""Whose a run folder is: one config, and one base that it begins with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator

from inftool_jax import types
from inftool_jax.data import manifest
from inftool_jax.errors import ConfigError
from inftool_jax.settings import Settings

CONFIG, BASE = 'config.json', 'base.json'
ENDS = 1 << 20  # bytes read at either end of a file of weights: its header, and some of what training changes
BASE_FILES = ('config.json', 'tokenizer.json', 'tokenizer.model', 'chat_template.jinja', '*.safetensors')


def claim(workdir: pathlib.Path, settings: Settings, home: pathlib.Path) -> None:
  """Writes config and base into a new run folder, or checks that the folder belongs to them.

  `stages` may differ from call to call; everything else defines the run. `home` is the base's folder; its files are told apart by size
  and by the megabyte at either end, which takes no time however large they are. Raises ConfigError naming what differs.
  """
  wanted = json.loads(json.dumps(types.to_json(dataclasses.replace(settings, stages=()))))
  found = _kept(workdir / CONFIG, wanted)
  if found != wanted:
    names = ', '.join(f'{k} (there {a!r}, here {b!r})' for k, a, b in _differences(found, wanted, ''))
    raise ConfigError(f'{workdir} belongs to a run with another config: {names}. Use a new --workdir, or the config of that run.')
  base = {file.name: _ends(file) for pattern in BASE_FILES for file in sorted(home.glob(pattern))}
  known = _kept(workdir / BASE, base)
  if known != base:
    names = ', '.join(name for name, _, _ in _differences(known, base, ''))
    raise ConfigError(f'{home} is not the base that the run in {workdir} began with: {names} changed. Use a new --workdir, or that base.')


def _kept(path: pathlib.Path, wanted: types.JSON) -> types.JSON:
  """What the file says; where there is none, it is written and says what is wanted."""
  if not path.exists():
    manifest.write_bytes(path, manifest.readable(wanted))
    return wanted
  try:
    return json.loads(path.read_text())
  except ValueError as e:
    raise ConfigError(f'{path} is damaged ({e}); use a new --workdir') from e


def _ends(file: pathlib.Path) -> str:
  """Hash of a file's size, beginning and end."""
  size = file.stat().st_size
  with file.open('rb') as f:
    begin = f.read(ENDS)
    f.seek(max(0, size - ENDS))
    return hashlib.sha256(b'%d' % size + begin + f.read()).hexdigest()


def _differences(a: types.JSON, b: types.JSON, prefix: str) -> Iterator[tuple[str, types.JSON, types.JSON]]:
  if not (isinstance(a, dict) and isinstance(b, dict)):
    if a != b:
      yield prefix, a, b
    return
  for key in sorted({*a, *b}):
    yield from _differences(a.get(key), b.get(key), f'{prefix}.{key}' if prefix else key)
