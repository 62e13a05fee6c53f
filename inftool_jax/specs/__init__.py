"""Raw API specifications in, `Tool`s out: OpenAPI, Swagger, RapidAPI, MCP `tools/list` dumps, function lists, Python functions."""

from __future__ import annotations

from inftool_jax.specs.compacting import compact
from inftool_jax.specs.ingest import Counts, Ingest, bundled_path, load, one_server
from inftool_jax.specs.live import fetch
from inftool_jax.specs.operations import Problem
from inftool_jax.specs.splitting import Splits, split

__all__ = ['Counts', 'Ingest', 'Problem', 'Splits', 'bundled_path', 'compact', 'fetch', 'load', 'one_server', 'split']
