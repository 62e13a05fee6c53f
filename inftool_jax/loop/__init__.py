"""Rounds and stages: what runs when, resumption, and the controls. The one room where language and arrays meet."""

from inftool_jax.loop.run import run

__all__ = ['run']
