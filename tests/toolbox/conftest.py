"""Tools of the bundled specifications, and small ones written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from inftool_jax import specs
from inftool_jax.types import JSON, Effect, Origin, Tool


@pytest.fixture(scope='session')
def bundled() -> tuple[Tool, ...]:
  return specs.load(specs.bundled_path()).tools


@pytest.fixture(scope='session')
def tool() -> Callable[..., Tool]:
  def make(
    name: str, description: str = '', parameters: Mapping[str, JSON] | None = None, required: tuple[str, ...] = (), server: str = 'shop',
    effect: Effect = 'read', outputs: Mapping[str, JSON] | None = None, domain: str = 'trade',
  ) -> Tool:  # fmt: skip
    schema = {'type': 'object', 'properties': dict(parameters or {}), 'required': list(required)}
    output = None if outputs is None else {'type': 'object', 'properties': dict(outputs)}
    return Tool(name, description, schema, output, server, effect, (Origin('f', f'/{server}/{name}', server, domain),))

  return make
