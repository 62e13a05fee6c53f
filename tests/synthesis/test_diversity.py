import pytest

from inftool_jax.synthesis import diversity
from inftool_jax.synthesis.plan import plan
from tests.synthesis.small_tools import ALL


def test_entropy_of_known_distributions():
  assert diversity.entropy([]) == diversity.entropy([7]) == diversity.entropy([7, 0]) == 0.0
  assert diversity.entropy([1, 1, 1, 1]) == 2.0
  assert diversity.entropy([2, 1, 1]) == pytest.approx(1.5)


def test_report_tells_a_varied_plan_from_a_repeated_task():
  tasks = plan(ALL, {'single': 12, 'parallel': 4}, seed=2, split='train')
  varied, same = diversity.report(tasks), diversity.report([tasks[0]] * 16)
  assert all(varied[name] > same[name] == 0.0 for name in ('tools', 'servers', 'kinds', 'families'))
  assert 0.0 < varied['unnamed'] < 1.0 and varied['words'] > 5


def test_report_of_nothing():
  assert set(diversity.report([]).values()) == {0.0}
