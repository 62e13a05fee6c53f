"""The gated reward: a product of form, effects and the share of right calls.

One of three rewards (`binary`, `additive` are the others) on the tasks of the arm `fresh`: from one SFT policy per seed, the same
tasks, updates, prompts x G and conversations. All three and their table:

  python -m tools.ablate --arms=gated,binary,additive --baseline=gated --out=runs/rewards

This one alone, from the SFT policy of an earlier run:

  python -m inftool_jax.main --config=configs/ablations/gated.py --config.sft.checkpoint=runs/default --workdir=runs/gated
"""

import ml_collections

from configs import round as main_job


def get_config(preset: str = 'tiny') -> ml_collections.ConfigDict:
  return main_job.rewarded('gated', preset)
