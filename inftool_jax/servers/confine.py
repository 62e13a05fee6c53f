"""Runs a command that can write nowhere but below one folder: python confine.py FOLDER COMMAND...

By Landlock (Linux 5.13 and newer; no privileges needed): the kernel refuses to create, change, rename or remove anything elsewhere, for the
command and all its children. Reading and running files stays as it is, and so does the network. It is run as a script and imports nothing
but the standard library. Ends with code 126 where the kernel has no Landlock: nothing is run unconfined.
"""

import ctypes
import os
import struct
import sys

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_NO_NEW_PRIVILEGES = 38  # of prctl
_BENEATH = 1  # kind of rule
# Rights by bit: write file; remove folder, file; make character device, folder, file, socket, pipe, block device, link.
_WRITES = 1 << 1 | sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE, _REFER_SINCE, _TRUNCATE_SINCE = 1 << 13, 1 << 14, 2, 3
_FILE_RIGHTS = 1 << 1 | 1 << 14
DEVICES = ('/dev/null', '/dev/zero', '/dev/tty')


def supported() -> int:
  """The version of Landlock that the kernel has; 0 where it has none."""
  if not sys.platform.startswith('linux'):
    return 0
  return max(0, ctypes.CDLL(None, use_errno=True).syscall(_CREATE, None, 0, 1))


def confine(folder: str) -> None:
  """From here on this process writes below `folder` only. Raises OSError where that cannot be had."""
  version = supported()
  if not version:
    raise OSError('the kernel has no Landlock')
  libc = ctypes.CDLL(None, use_errno=True)
  rights = _WRITES | (_REFER if version >= _REFER_SINCE else 0) | (_TRUNCATE if version >= _TRUNCATE_SINCE else 0)
  attributes = ctypes.create_string_buffer(struct.pack('=Q', rights), 8)
  rules = _checked(libc.syscall(_CREATE, attributes, 8, 0))
  for place in (folder, *filter(os.path.exists, DEVICES)):
    handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    allowed = rights if place == folder else rights & _FILE_RIGHTS
    _checked(libc.syscall(_ADD, rules, _BENEATH, ctypes.create_string_buffer(struct.pack('=Qi', allowed, handle), 12), 0))
    os.close(handle)
  _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
  _checked(libc.syscall(_RESTRICT, rules, 0))
  os.close(rules)


def _checked(answer: int) -> int:
  if answer < 0:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
  return answer


def main(folder: str, command: list[str]) -> int:
  try:
    confine(folder)
  except OSError as e:
    print(f'cannot be confined to a folder ({e})', file=sys.stderr)
    return 126
  try:
    os.execvp(command[0], command)
  except OSError as e:
    print(f'{command[0]}: {e.strerror}', file=sys.stderr)
    return 127


if __name__ == '__main__':
  sys.exit(main(sys.argv[1], sys.argv[2:]))
