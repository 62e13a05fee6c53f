"""The same number of updates spent on more supervised fine-tuning; nothing is sampled.

One arm of the ablation (method: arms from one SFT policy per seed, equal updates, prompts x G and conversations, the
probe's counted). All arms and their table: `python -m tools.ablate --out=runs/ablations`. This one alone, from the SFT policy
of an earlier run:

  python -m inftool_jax.main --config=configs/ablations/sft_more.py --config.sft.checkpoint=runs/default --workdir=runs/sft_more
"""

import ml_collections

from configs import round as main_job


def get_config(preset: str = 'tiny') -> ml_collections.ConfigDict:
  return main_job.arm('sft_more', preset)
