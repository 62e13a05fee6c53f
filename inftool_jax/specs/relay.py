"""Runs a command and passes on at most so many bytes of its output: python relay.py LIMIT COMMAND...

The SDK's client keeps whatever a server writes until a line ends; between the two, this bounds what a server can make it keep. It is
run as a script and imports nothing but the standard library. Standard input is the command's own; of standard error the beginning is
passed on.
"""

import os
import subprocess
import sys
import threading

COMPLAINTS = 1 << 16  # bytes of standard error


def _pass_on(source: int, target: int, limit: int) -> bool:
  """Copies until `source` ends; what goes beyond the limit is read and dropped where `limit` is that of complaints. Whether it all went."""
  while data := os.read(source, 1 << 16):
    kept = data[: max(limit, 0)]
    limit -= len(data)
    while kept:
      kept = kept[os.write(target, kept) :]
    if limit < 0 and target == 1:
      return False
  return True


def main(limit: int, command: list[str]) -> int:
  try:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  except OSError as e:
    print(f'{command[0]}: {e.strerror}', file=sys.stderr)
    return 127
  assert process.stdout is not None and process.stderr is not None
  complaints = threading.Thread(target=_pass_on, args=(process.stderr.fileno(), 2, COMPLAINTS), daemon=True)
  complaints.start()
  try:
    if not _pass_on(process.stdout.fileno(), 1, limit):
      os.write(2, f'more than {limit / 2**20:g} MiB were sent'.encode())
      process.kill()
  except BrokenPipeError:  # nobody listens any more
    process.kill()
  code = process.wait()
  complaints.join(1)  # a child of the command may hold the pipe open
  return code


if __name__ == '__main__':
  sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
