"""Tools as unit vectors whose cosine says how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from inftool_jax.errors import InftoolError
from inftool_jax.specs import naming
from inftool_jax.toolbox.terms import own_name, terms
from inftool_jax.types import Tool

if TYPE_CHECKING:
  from scipy.sparse import csr_matrix

_NAME_WEIGHT = 2  # the name says most
_PROFILE_TERMS = 10
_PROFILE_NORM = 14.0  # that of two or three telling words


class Embedder(Protocol):
  """`embed` gives one row for each tool, in order, of norm 1 (0 where nothing is said): csr or dense, [tools, dimensions], float."""

  name: str

  def embed(self, tools: Sequence[Tool]) -> csr_matrix | np.ndarray: ...


class TfidfEmbedder:
  """TF-IDF of the words of name, description and parameters, and a little of what the tool's server is about.

  A tool of few words ("search") is known by its server, one of many words by itself: the server's part has a fixed length, that of
  the tool grows with what it says.
  """

  name = 'tfidf'

  def embed(self, tools: Sequence[Tool]) -> csr_matrix:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    documents = [_terms_of(tool) for tool in tools]
    if not any(documents):
      return csr_matrix((len(tools), 1))
    own = TfidfVectorizer(analyzer=list, sublinear_tf=True, norm=None).fit_transform(documents).tocsr()
    servers = {server: i for i, server in enumerate(dict.fromkeys(tool.server for tool in tools))}
    rows = np.array([servers[tool.server] for tool in tools])
    membership = csr_matrix((np.ones(len(tools)), (rows, np.arange(len(tools)))), shape=(len(servers), len(tools)))
    return normalize(own + _PROFILE_NORM * _strongest(membership @ own)[rows]).tocsr()


class SentenceEmbedder:
  """A sentence-transformers model, such as EmbeddingGemma in a local folder. Raises InftoolError where the extra is missing."""

  def __init__(self, model: str) -> None:
    try:
      import sentence_transformers
    except ImportError as e:
      raise InftoolError("embedding by a model needs sentence-transformers: pip install 'inftool_jax[embed]'") from e
    self.name = model
    try:
      self._model: Any = sentence_transformers.SentenceTransformer(model)
    except (OSError, ValueError) as e:
      raise InftoolError(f'{model}: cannot be loaded by sentence-transformers ({e}); give a folder or name of such a model') from e

  def embed(self, tools: Sequence[Tool]) -> np.ndarray:
    texts = [f'{" ".join(naming.words(own_name(t)))}. {naming.cut(t.description, 1000)} ({", ".join(t.parameters)})' for t in tools]
    return np.asarray(self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)


def _terms_of(tool: Tool) -> list[str]:
  return terms(own_name(tool)) * _NAME_WEIGHT + terms(tool.description) + [t for p in tool.parameters for t in terms(p)]


def _strongest(rows: csr_matrix) -> csr_matrix:
  """The largest entries of each row, at most `_PROFILE_TERMS`, scaled to norm 1; of equal ones the first."""
  from sklearn.preprocessing import normalize

  rows = rows.copy()
  for begin, end in zip(rows.indptr[:-1], rows.indptr[1:]):
    weak = np.argsort(-rows.data[begin:end], kind='stable')[_PROFILE_TERMS:]
    rows.data[begin + weak] = 0.0
  rows.eliminate_zeros()
  return normalize(rows)
