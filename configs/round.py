"""The main job: specifications -> tasks -> SFT -> rounds of probe, aimed synthesis and GRPO -> evaluation.

  python -m inftool_jax.main --config=configs/round.py            # preset tiny: a laptop CPU
  python -m inftool_jax.main --config=configs/round.py:smoke      # every stage, too short to learn
  python -m inftool_jax.main --config=configs/round.py:qwen2_5_0_5b --config.model.path=DIR    # Qwen2.5-0.5B-Instruct, one GPU

  python -m tools.aot --config=configs/round.py:qwen2_5_32b --topology=v5p:4x4x4    # what its updates take on 64 chips; no checkpoint

qwen2_5_0_5b is sized for one accelerator of 80 GB by calculation; no run of it has been measured. DIR is the folder of the checkpoint.
qwen2_5_32b_lora is Qwen2.5-32B-Instruct on one accelerator of 141 GB, also by calculation: a base in int8 (34 GB with its embeddings),
adapters (0.5 GB, and as much for each moment), and a cache of 74 GB.
qwen2_5_7b, qwen3_8b, llama3_8b (8 chips), qwen2_5_32b and qwen3_32b (64 chips) are meshes for learner and sampler; those of Qwen2.5 were
compiled, none was run. qwen2_5_32b@v5e-256 is the same for 256 chips of v5e; HARDWARE has the others.

Every value can be changed on the command line, as in --config.rounds.steps=40 --config.specs.paths="('my/specs',)".
"""

import ml_collections

# Preset -> (rows of an SFT micro-batch, devices of the tensor axis); what is left of the devices is the fsdp axis.
MESHES = {'qwen2_5_7b': (8, 1), 'qwen2_5_32b': (16, 4), 'qwen3_8b': (8, 1), 'qwen3_32b': (16, 4), 'llama3_8b': (8, 1)}
PRESETS = ('tiny', 'smoke', 'qwen2_5_0_5b', 'qwen2_5_32b_lora', *MESHES)
# Hardware -> how a decoder of 32B lies on it, as in qwen2_5_32b@v5e-256. Nothing was run. Of qwen2_5_32b the updates on TPUs were compiled,
# in rows of 8,192 tokens, and the replicas but that of v6e-256 (launch/README.md); the rest is by calculation. On h100-8 there is room to
# train adapters (lora.rank), not all parameters.
LARGE = ('qwen2_5_32b', 'qwen3_32b')
HARDWARE = {
  'v5p-64': dict(tensor=4, rows=16, remat='projections', replica=4, conversations=128, pages=8193),
  'v5e-256': dict(tensor=4, rows=64, remat='attention', replica=8, conversations=64, pages=1345),
  'v6e-64': dict(tensor=4, rows=16, remat='attention', replica=8, conversations=64, pages=2049),
  'v6e-256': dict(tensor=4, rows=64, remat='projections', replica=8, conversations=64, pages=4097),
  'h100-8': dict(tensor=1, rows=8, remat='full', replica=4, conversations=64, pages=2049),
  'h200-8': dict(tensor=1, rows=8, remat='full', replica=4, conversations=64, pages=2049),
}


def get_config(preset: str = 'tiny') -> ml_collections.ConfigDict:
  name, at, hardware = preset.partition('@')
  if name not in (LARGE if at else PRESETS) or (at and hardware not in HARDWARE):
    places = f'; {" and ".join(LARGE)} also with @ and one of {", ".join(HARDWARE)} behind'
    raise ValueError(f'preset {preset!r} is unknown; choose from {", ".join(PRESETS)}{places}')
  config = _preset(name)
  if hardware:
    _on_hardware(config, **HARDWARE[hardware])
  return config


def _preset(preset: str) -> ml_collections.ConfigDict:
  config = _tiny()
  config.preset = preset
  if preset == 'smoke':
    _smoke(config)
  if preset not in ('tiny', 'smoke'):
    _pretrained(config)
  if preset in MESHES:
    _on_mesh(config, *MESHES[preset])
  if preset == 'qwen2_5_32b_lora':
    _adapters(config)
  return config


def arm(name: str, preset: str = 'tiny') -> ml_collections.ConfigDict:
  """A preset on one arm of the ablation. Arms that do not probe get the probe's conversations as prompts."""
  config = get_config(preset)
  config.rounds.arm = name
  config.stages = ('sft', 'rounds', 'evaluate')
  if preset != 'smoke':
    config.evaluation.n = 0
  config.evaluation.every = config.rounds.count
  if name != 'loop':
    per_unit = 8 / 6  # two of six kinds are pairs
    probed = config.probe.units * per_unit * config.probe.attempts
    config.rounds.tasks += round(probed / (config.rounds.steps * config.rounds.group))
  return config


def rewarded(reward: str, preset: str = 'tiny') -> ml_collections.ConfigDict:
  """A preset with one of the rewards, on tasks that do not depend on it."""
  config = arm('fresh', preset)
  config.rounds.reward = reward
  return config


def _tiny() -> ml_collections.ConfigDict:
  c = ml_collections.ConfigDict()
  c.preset = 'tiny'
  c.seed = 0
  c.stages = ('synthesise', 'sft', 'rounds', 'evaluate')

  c.specs = ml_collections.ConfigDict()
  c.specs.paths = ()  # files and folders of specifications, or python:package.module; empty: the bundled ones
  c.specs.mcp = ()  # live MCP servers beside them: commands or URLs, with ${NAME} where the environment has a secret
  c.specs.servers = 0  # at most so many servers of them; 0: all

  c.model = ml_collections.ConfigDict()
  c.model.path = 'tiny'  # Hugging Face folder; 'tiny': the shipped base; '': random weights
  c.model.tokenizer = 'tiny'  # tokenizer and shape for random weights
  c.model.shape = ''  # a published decoder for tools.aot where no folder is given
  c.model.compute = 'float32'  # or bfloat16; what is trained is float32
  c.model.remat = 'none'  # or projections, attention, full: what an update computes again to save memory

  # Adapters beside a frozen base: rank 0 trains all parameters; targets are q, k, v, o, gate, up, down or regular expressions of them.
  c.lora = ml_collections.ConfigDict(dict(rank=0, alpha=32.0, targets=('.*',), int8=False))

  # Of the learner; all 1 is one device, -1 for one of them what the others leave.
  c.mesh = ml_collections.ConfigDict(dict(data=1, fsdp=1, tensor=1, sequence=1))

  c.sampling = ml_collections.ConfigDict()
  c.sampling.slots = 64
  c.sampling.context = 2048
  c.sampling.page = 128  # tokens of a page of the cache
  c.sampling.pages = 0  # of the cache; 0: what free memory takes, or all slots' contexts where the device does not tell
  c.sampling.prefill = 512  # tokens of a prefill
  c.sampling.decode_steps = 8  # steps of a dispatch
  c.sampling.tensor = 1  # devices that divide one replica of the sampler; the devices make as many replicas as they can
  c.sampling.int8 = False  # the layers' matrices are sampled from in 8 bits: half of bfloat16's bytes, and not quite the learner's policy
  c.sampling.max_new_tokens = 160  # of one assistant turn
  c.sampling.max_turns = 5

  _tiny_stages(c)
  return c


def _tiny_stages(c: ml_collections.ConfigDict) -> None:
  c.synthesis = ml_collections.ConfigDict()
  c.synthesis.per_kind = ml_collections.ConfigDict(
    dict(single=70, multiple=70, parallel=60, multi_step=120, missing_parameter=120, irrelevance=50)
  )
  c.synthesis.companions = 5  # more tasks over the tools of each
  c.synthesis.offered = (2, 4)

  c.sft = ml_collections.ConfigDict()
  c.sft.checkpoint = ''  # workdir of another run: take its SFT policy
  c.sft.steps = 300
  c.sft.rows = 3
  c.sft.micro_batches = 1
  c.sft.row_length = 1280  # longer trajectories are left out and counted
  c.sft.masked = 0.8  # share of conversations told with other names, anew in every epoch
  c.sft.checkpoint_every = 50
  c.sft.checkpoint_keep = 2  # newest ones
  c.sft.checkpoint_best = ''  # as in 'lowest loss': the best is kept as well
  c.sft.optimizer = _optimizer('muon', 4e-3, 2e-3, 0.08, warmup=10, schedule='linear')

  c.rounds = ml_collections.ConfigDict()
  c.rounds.count = 2
  c.rounds.steps = 10  # batches of rollouts
  c.rounds.updates_per_batch = 1
  c.rounds.arm = 'loop'  # loop, fresh, static, sft_more, rft
  c.rounds.reward = 'gated'  # gated, binary, additive
  c.rounds.terms = ()  # of your own: package.module:function
  c.rounds.tasks = 16
  c.rounds.group = 8
  c.rounds.temperature = 1.0
  c.rounds.voiced = False  # True: in rollouts the policy itself words what is free text in tool answers
  c.rounds.objective = _objective()
  c.rounds.credit = 'trajectory'  # turn: an advantage for each turn, of gated rewards of turns
  c.rounds.refills = 0  # times that groups of equal rewards are followed by others (DAPO's dynamic sampling)
  c.rounds.replay = 0.0  # share of the loss and of the sequences that is SFT's data
  c.rounds.overlong_limit = 0  # tokens of the policy in a conversation, from which on the reward is lower by 1; 0: none
  c.rounds.overlong_buffer = 0  # tokens before that, over which it gets lower
  c.rounds.rows = 1  # of a micro-batch, for each part of the mesh that has rows of its own
  c.rounds.row_length = 1536
  c.rounds.checkpoint_every = 5
  c.rounds.checkpoint_keep = 2
  c.rounds.checkpoint_best = ''  # as in 'highest success'
  c.rounds.optimizer = _optimizer('muon', 1e-3, 5e-4, 0.03)

  # An update is skipped if its gradient is not finite or its norm above so many times clip_norm; so many in a row end the run.
  c.guard = ml_collections.ConfigDict(dict(multiple=1000.0, in_a_row=5))

  c.probe = ml_collections.ConfigDict()
  c.probe.units = 48  # tasks or pairs of twins
  c.probe.attempts = 4

  c.evaluation = ml_collections.ConfigDict()
  c.evaluation.n = 40  # units of each kind; 0: the whole file
  c.evaluation.every = 1  # rounds between two evaluations; the last one is evaluated in any case
  c.evaluation.path = ''  # frozen file; empty: the bundled one
  c.evaluation.report = 24  # trajectories of each stage in report.html
  c.evaluation.grammar = False  # whether calls are held to their form and schemas while they are sampled (extra `grammar`)


def _objective() -> ml_collections.ConfigDict:
  """DAPO's: the mean over tokens, clipped later above than below."""
  c = ml_collections.ConfigDict()
  c.name = 'dapo'  # grpo, dr_grpo, dapo, gspo, cispo
  c.clip_low = 0.2
  c.clip_high = 0.28
  c.scale_advantage = True
  c.kl = 'none'  # reward, loss
  c.kl_coefficient = 0.0
  c.reference = 'round'  # the policy that a round begins with; base: what adapters stand beside
  c.correction = 'none'  # token, sequence: weights learner / sampler
  c.correction_cap = 2.0
  c.sequence_band = 0.0  # leaves out sequences whose mean log(learner / sampler) is farther from 0; 0: none
  return c


def _optimizer(
  name: str, learning_rate: float, vectors: float, tokens: float, warmup: int = 0, schedule: str = 'constant'
) -> ml_collections.ConfigDict:
  c = ml_collections.ConfigDict()
  c.name = name  # adamw, muon, adafactor
  c.learning_rate = learning_rate
  c.vector_learning_rate = vectors  # norms and biases under Muon
  c.token_learning_rate = tokens  # embedding and head under Muon, by NovoGrad: the norm of the first update
  c.token_rule = 'novograd'
  c.warmup = warmup
  c.schedule = schedule
  c.weight_decay = 0.0
  c.clip_norm = 1.0
  c.b1 = 0.9
  c.b2 = 0.95
  c.moment = 'float32'  # or bfloat16, of the first moment under adamw and muon
  return c


def _smoke(c: ml_collections.ConfigDict) -> None:
  """Every stage, each as short as it can be."""
  c.synthesis.per_kind = ml_collections.ConfigDict(
    dict(single=12, multiple=12, parallel=12, multi_step=12, missing_parameter=8, irrelevance=8)
  )
  c.synthesis.companions = 1
  c.sampling.max_new_tokens = 120
  c.sft.steps = 8
  c.sft.checkpoint_every = 4
  c.rounds.steps = 2
  c.rounds.tasks = 4
  c.rounds.group = 4
  c.rounds.checkpoint_every = 1
  c.probe.units = 12
  c.probe.attempts = 2
  c.evaluation.n = 3
  c.evaluation.report = 6


def _pretrained(c: ml_collections.ConfigDict) -> None:
  """A checkpoint that can talk already: long rows, large groups, small steps (the defaults of LoopTool and DAPO)."""
  c.model.path = ''  # to be given
  c.model.tokenizer = ''
  c.model.compute = 'bfloat16'
  c.model.remat = 'projections'
  c.sampling.slots = 128
  c.sampling.context = 8192
  c.sampling.prefill = 1024
  c.sampling.max_new_tokens = 1024
  c.sampling.max_turns = 8
  c.synthesis.offered = (4, 8)
  c.sft.steps = 100
  c.sft.rows = 1
  c.sft.micro_batches = 16
  c.sft.row_length = 8192
  c.sft.masked = 0.0  # names mean something to it
  c.sft.optimizer = _optimizer('adamw', 1e-5, 1e-5, 1e-4, warmup=10, schedule='cosine')
  c.rounds.count = 4
  c.rounds.steps = 20
  c.rounds.tasks = 128
  c.rounds.group = 16
  c.rounds.row_length = 8192
  c.rounds.optimizer = _optimizer('adamw', 1e-6, 1e-6, 1e-4)
  c.probe.units = 240
  c.evaluation.n = 0


def _on_mesh(c: ml_collections.ConfigDict, rows: int, tensor: int) -> None:
  """A learner on as many devices as there are, replicas of the sampler on `tensor` each; rows of an SFT micro-batch for data x fsdp of
  that number."""
  c.model.shape = c.preset
  c.mesh.fsdp = -1
  c.mesh.tensor = tensor
  c.sampling.tensor = tensor
  c.sft.rows = rows
  c.sft.micro_batches = max(1, 16 // rows)


def _on_hardware(
  c: ml_collections.ConfigDict, tensor: int, rows: int, remat: str, replica: int, conversations: int, pages: int
) -> None:
  """Rows of a micro-batch and axes for a number of chips; what an update computes again and how large the cache is, for their memory."""
  c.mesh.tensor = tensor
  c.sft.rows = rows
  c.sft.micro_batches = max(1, 64 // rows)
  c.model.remat = remat
  c.sampling.tensor = replica
  c.sampling.slots = conversations
  c.sampling.pages = pages


def _adapters(c: ml_collections.ConfigDict) -> None:
  """One device: what grows with the number of parameters is in 8 bits, what grows with the layers is computed again."""
  c.model.shape = 'qwen2_5_32b'
  c.model.remat = 'full'
  c.lora.rank = 16
  c.lora.alpha = 32.0
  c.lora.int8 = True
  c.sampling.slots = 64
  c.sampling.context = 4096
  c.sft.row_length = 4096
  c.rounds.row_length = 4096
  c.sft.optimizer = _optimizer('adamw', 1e-4, 1e-4, 1e-4, warmup=10, schedule='cosine')
  c.rounds.optimizer = _optimizer('adamw', 2e-5, 2e-5, 2e-5)
