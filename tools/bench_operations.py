"""How well a server's operations are understood, against labels given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from inftool_jax.servers import quality


def run(files: Sequence[Path]) -> None:
  """Precision and recall of class, entity and key for each file of labels, and what is wrong.

  Raises SpecError for a file that is none.
  """
  console = Console()
  for file in files:
    tools, labelled = quality.read(file)
    scores = quality.measure(tools, labelled)
    table = Table(title=f'{file}: {len(labelled)} operations of {len({x.tool.server for x in labelled})} servers')
    for column in ('', 'precision', 'recall'):
      table.add_column(column)
    for aspect, score in scores.items():
      table.add_row(
        aspect, f'{score.precision:.3f} ({score.right} of {score.said})', f'{score.recall:.3f} ({score.found} of {score.there})')
    console.print(table)
    for aspect, score in scores.items():
      for tool, said, right in score.wrong:
        console.print(f'{aspect} of {tool}: {said}, labelled {right}', highlight=False, soft_wrap=True)
