"""An object store on this machine, with as much of the JSON interface of Google Cloud Storage as TensorStore and gcsfs use.

It has what such a store has: an object appears whole when its upload ends, there are no folders, and nothing can be renamed.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import os
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ObjectStore(ThreadingHTTPServer):
  """`objects`: (bucket, name) -> (bytes, generation)."""

  def __init__(self) -> None:
    super().__init__(('127.0.0.1', 0), _Handler)
    self.objects: dict[tuple[str, str], tuple[bytes, int]] = {}
    self.lock = threading.Lock()
    self.generation = 0
    self.uploads: dict[str, tuple[str, str, bytes]] = {}
    self.log: list[str] = []
    self.before_put: Callable[[str], bool] = lambda name: True  # whether an upload comes to its end

  def environment(self) -> dict[str, str]:
    """What a process needs to take this for the store behind gs://."""
    url = f'http://127.0.0.1:{self.server_port}'
    theirs = {'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'nobody', 'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false'}
    return {'STORAGE_EMULATOR_HOST': url, 'TENSORSTORE_GCS_HTTP_URL': url, **theirs}

  def put(self, bucket: str, name: str, data: bytes) -> dict:
    with self.lock:
      self.generation += 1
      self.objects[bucket, name] = (data, self.generation)
    return self.facts(bucket, name)

  def facts(self, bucket: str, name: str) -> dict:
    data, generation = self.objects[bucket, name]
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    return {
      'kind': 'storage#object', 'bucket': bucket, 'name': name, 'size': str(len(data)), 'generation': str(generation), 'md5Hash': md5,
      'updated': '2026-01-01T00:00:00Z', 'timeCreated': '2026-01-01T00:00:00Z', 'storageClass': 'STANDARD', 'contentType': 'text/plain',
    }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  server: ObjectStore

  def handle(self) -> None:
    with contextlib.suppress(ConnectionError):  # whoever asked was killed
      super().handle()

  def log_message(self, *_: object) -> None:
    self.server.log.append(f'{self.command} {self.path}')

  def _answer(self, status: int, body: object = b'', headers: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    self.send_response(status)
    for name, value in (headers or {}).items():
      self.send_header(name, value)
    self.send_header('Content-Length', str(len(data)))
    self.end_headers()
    self.wfile.write(data)

  def _asked(self) -> tuple[list[str], dict[str, str]]:
    path, _, query = self.path.partition('?')
    return [urllib.parse.unquote(part) for part in path.strip('/').split('/')], dict(urllib.parse.parse_qsl(query))

  def _body(self) -> bytes:
    if self.headers.get('Transfer-Encoding') == 'chunked':
      data = b''
      while size := int(self.rfile.readline(), 16):
        data += self.rfile.read(size)
        self.rfile.readline()
      self.rfile.readline()
      return data
    return self.rfile.read(int(self.headers.get('Content-Length', 0)))

  def _allowed(self, bucket: str, name: str, query: dict[str, str]) -> bool:
    """Whether the object is of the generation that the request wants it to be of, 0 for none."""
    wanted = query.get('ifGenerationMatch')
    return wanted is None or int(wanted) == self.server.objects.get((bucket, name), (b'', 0))[1]

  def do_GET(self) -> None:
    parts, query = self._asked()
    if parts[-1] == 'o':
      return self._list(parts[-2], query)
    if 'o' not in parts:
      return self._answer(200, {'kind': 'storage#bucket', 'name': parts[-1], 'location': 'US', 'storageClass': 'STANDARD'})
    at = parts.index('o')
    bucket, name = parts[at - 1], '/'.join(parts[at + 1 :])
    if (bucket, name) not in self.server.objects:
      return self._answer(404, {'error': {'code': 404, 'message': 'Not Found'}})
    if query.get('alt') != 'media':
      return self._answer(200, self.server.facts(bucket, name))
    data, generation = self.server.objects[bucket, name]
    headers = {'x-goog-generation': str(generation), 'Content-Type': 'application/octet-stream'}
    if query.get('ifGenerationNotMatch') == str(generation):
      return self._answer(304)
    if not (span := self.headers.get('Range')):
      return self._answer(200, data, headers)
    first, last = span.removeprefix('bytes=').split('-')
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= len(data):
      return self._answer(416, b'', {'Content-Range': f'bytes */{len(data)}'})
    self._answer(206, data[start:end], headers | {'Content-Range': f'bytes {start}-{end - 1}/{len(data)}'})

  def _list(self, bucket: str, query: dict[str, str]) -> None:
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter', '')
    first, last = query.get('startOffset', ''), query.get('endOffset', '')
    every = sorted(n for b, n in list(self.server.objects) if b == bucket and n.startswith(prefix))
    names = [n for n in every if n >= first and (not last or n < last)]
    below = {n[: n.index(delimiter, len(prefix)) + 1] for n in names if delimiter and delimiter in n[len(prefix) :]}
    items = [self.server.facts(bucket, n) for n in names if not any(n.startswith(b) for b in below)]
    self._answer(200, {'kind': 'storage#objects', 'items': items, 'prefixes': sorted(below)})

  def do_POST(self) -> None:
    parts, query = self._asked()
    body = self._body()
    bucket = parts[parts.index('b') + 1] if 'b' in parts else ''
    kind = query.get('uploadType')
    if kind == 'media':
      return self._stored(bucket, query['name'], body, query)
    if kind == 'resumable':
      self.server.uploads[key := str(len(self.server.uploads))] = (bucket, query.get('name') or json.loads(body)['name'], b'')
      place = f'http://127.0.0.1:{self.server.server_port}/upload/resumed?upload_id={key}'
      return self._answer(200, {}, {'Location': place})
    if 'upload_id' in query:
      return self._resumed(query['upload_id'], body)
    self._answer(501, {'error': {'code': 501, 'message': self.path}})

  def _resumed(self, key: str, part: bytes) -> None:
    """One part of an upload: the object is there when the last one is."""
    bucket, name, data = self.server.uploads[key]
    data += part
    self.server.uploads[key] = (bucket, name, data)
    if self.headers.get('Content-Range', '/').endswith('/*'):
      return self._answer(308, b'', {'Range': f'bytes=0-{len(data) - 1}'})
    self._stored(bucket, name, data, {})

  def do_DELETE(self) -> None:
    parts, query = self._asked()
    at = parts.index('o')
    bucket, name = parts[at - 1], '/'.join(parts[at + 1 :])
    if (bucket, name) not in self.server.objects:
      return self._answer(404, {'error': {'code': 404, 'message': 'Not Found'}})
    if not self._allowed(bucket, name, query):
      return self._answer(412)
    del self.server.objects[bucket, name]
    self._answer(204)

  def _stored(self, bucket: str, name: str, data: bytes, query: dict[str, str]) -> None:
    if not self.server.before_put(name):
      return self._answer(403, {'error': {'code': 403, 'message': 'cut off'}})
    if not self._allowed(bucket, name, query):
      return self._answer(412, {'error': {'code': 412, 'message': 'conditionNotMet'}})
    self._answer(200, self.server.put(bucket, name, data))


@functools.cache
def shared() -> ObjectStore:
  """The one that this process and all that it starts take for gs://; a client keeps the address that it saw first."""
  store = ObjectStore()
  threading.Thread(target=store.serve_forever, daemon=True).start()
  os.environ.update(store.environment())
  return store
