"""The control that the literature lacks: every round trains on the first round's tasks again.

One arm of the ablation (method: arms from one SFT policy per seed, equal updates, prompts x G and conversations, the
probe's counted). All arms and their table: `python -m tools.ablate --out=runs/ablations`. This one alone, from the SFT policy
of an earlier run:

  python -m inftool_jax.main --config=configs/ablations/static.py --config.sft.checkpoint=runs/default --workdir=runs/static
"""

import ml_collections

from configs import round as main_job


def get_config(preset: str = 'tiny') -> ml_collections.ConfigDict:
  return main_job.arm('static', preset)
