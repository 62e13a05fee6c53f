"""How alike tools read: cosine of TF-IDF weighted character n-grams of their names, descriptions and parameters.

For distractors: a task among near look-alikes asks more of the policy than one among strangers. One row of scores costs one sparse
product, so an index of thousands of tools needs no square matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from inftool_jax.specs import naming
from inftool_jax.types import Tool

Band = Literal['near', 'related', 'far']


def band_of(score: float) -> Band:
  """'near' above 0.85, 'far' below 0.4, 'related' between and at both bounds."""
  if score > 0.85:
    return 'near'
  return 'far' if score < 0.4 else 'related'


def text_of(tool: Tool) -> str:
  """What is compared: the words of the name (twice, it says most), the description's first sentence, the parameters' words."""
  name = ' '.join(naming.words(tool.name))
  parameters = ' '.join(' '.join(naming.words(p)) for p in tool.parameters)
  return f'{name} {name} {naming.first_sentence(tool.description).lower()} {parameters}'


class SimilarityIndex:
  """Similarities among `tools`, in [0, 1], rounded to 6 digits so that ties do not depend on the machine."""

  def __init__(self, tools: Sequence[Tool]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not tools:
      raise ValueError('a similarity index needs at least one tool')
    self.tools = tuple(tools)
    self._row = {tool.name: i for i, tool in enumerate(self.tools)}
    vectorizer = TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 4), sublinear_tf=True, max_features=50_000)
    self._vectors = vectorizer.fit_transform([text_of(t) for t in self.tools])

  def scores(self, name: str) -> tuple[float, ...]:
    """Similarity of the tool called `name` to each of `tools`, in their order; 1 to itself. Raises KeyError for a stranger."""
    product = self._vectors @ self._vectors[self._row[name]].T
    return tuple(np.round(np.clip(product.toarray()[:, 0], 0.0, 1.0), 6).tolist())

  def band(self, name: str, band: Band) -> tuple[Tool, ...]:
    """The other tools whose similarity to the tool called `name` lies in `band`, most similar first, then in index order."""
    own = self._row[name]
    scored = [(score, i) for i, score in enumerate(self.scores(name)) if i != own and band_of(score) == band]
    return tuple(self.tools[i] for _, i in sorted(scored, key=lambda pair: (-pair[0], pair[1])))
