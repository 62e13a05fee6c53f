"""Opaque ids: a prefix that says what they name, and six characters that say nothing."""

from __future__ import annotations

import base64
import hashlib

from inftool_jax.specs import naming


def opaque(entity: str, *parts: str) -> str:
  """'ord_k3v7qa' for an order: up to three letters of the entity, then base32 of the hash of `parts`; never sequential."""
  digest = hashlib.sha256('\n'.join((entity, *parts)).encode('utf-8', 'replace')).digest()
  letters = ''.join(c for c in entity.rsplit('/', 1)[-1].lower() if c.isascii() and c.isalpha())
  return f'{letters[:3] or "id"}_{base64.b32encode(digest[:5]).decode().lower()[:6]}'


def is_identifier(name: str) -> bool:
  """Whether a field's name says that it holds an id: 'id', 'orderId', 'order_uuid'."""
  words = naming.words(name)
  return bool(words) and words[-1] in ('id', 'uuid', 'guid', 'sid', 'pid', 'pk')


def stem(name: str) -> str:
  """What an identifier's name is about: 'order' for 'order_id', '' for 'id'."""
  return '_'.join(naming.words(name)[:-1])
