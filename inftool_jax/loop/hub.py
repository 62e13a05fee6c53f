"""Where the files of a checkpoint are: in a folder of that name, or on the Hugging Face hub."""

from __future__ import annotations

import functools
import pathlib

from inftool_jax.errors import CheckpointError
from inftool_jax.settings import ON_HUB

FILES = ('*.json', '*.safetensors', '*.jinja', '*.txt', 'tokenizer.model')  # weights in other formats are not read


@functools.cache
def folder(name: str) -> pathlib.Path:
  """The folder `name`; else, of a name like `Qwen/Qwen2.5-7B-Instruct`, the one that the hub's files were put in.

  Cache, mirror, access token and offline mode are those of transformers (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE).

  Raises:
    CheckpointError: there is no such folder, and the hub does not give it.
  """
  path = pathlib.Path(name)
  if path.exists() or not ON_HUB.fullmatch(name):
    return path
  from huggingface_hub import snapshot_download  # only where it is asked

  try:
    return pathlib.Path(snapshot_download(name, allow_patterns=list(FILES)))
  except (OSError, ValueError) as e:  # its errors of connection, access and names are of these
    reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
    raise CheckpointError(f'{name} is no folder here, and the Hugging Face hub does not give it: {reason}') from e
