"""The exceptions a user can act on. Each message says what was wrong, where, and what to do."""


class InftoolError(Exception):
  """Base of all errors that are shown to the user as one message, without a traceback."""


class ConfigError(InftoolError):
  """Unknown or mistyped config keys, impossible combinations, a workdir that belongs to another config."""


class TrainingError(InftoolError):
  """Updates that fail one after the other; names the folder of their batches. The state is saved."""


class SpecError(InftoolError):
  """A specification that cannot be read; names the file and the place in it."""


class CheckpointError(InftoolError):
  """A model folder or checkpoint with missing, misshapen or corrupt tensors; names tensor and file."""


class StoreError(InftoolError):
  """A shard or manifest that is missing or does not match its content hash; names the file."""
