"""Qwen2 in float64 NumPy, one sequence at a time, written from its description and not from our code.

Parameters are named and laid out as ours ([in, out] matrices, layers stacked); everything else is spelled out again.
"""

from __future__ import annotations

import numpy as np

from inftool_jax.models.config import DecoderConfig


def logits(params: dict, config: DecoderConfig, tokens: list[int]) -> np.ndarray:
  """[T, V] for one sequence that starts at position 0."""
  x = _f64(params['embed'])[tokens]
  for layer in range(config.layers):
    x = _layer({name: _f64(value[layer]) for name, value in params['blocks'].items()}, config, x)
  x = _norm(x, _f64(params['norm']), config.norm_eps)
  return x @ _f64(params['embed'] if config.tied else params['head']).T


def logprobs(params: dict, config: DecoderConfig, tokens: list[int]) -> np.ndarray:
  """[T] log-probability in nats of each token given those before it; 0 for the first."""
  scores = logits(params, config, tokens)
  scores = scores - scores.max(axis=-1, keepdims=True)
  logp = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
  return np.array([0.0, *(logp[t - 1, tokens[t]] for t in range(1, len(tokens)))])


def _layer(w: dict[str, np.ndarray], config: DecoderConfig, x: np.ndarray) -> np.ndarray:
  E, group = config.head_dim, config.heads // config.kv_heads
  h = _norm(x, w['attention_norm'], config.norm_eps)
  q, k, v = (h @ w[name] + w[name + '_bias'] for name in 'qkv')
  heads = []
  for head in range(config.heads):
    shared = head // group  # grouped-query attention: neighboring query heads share a key/value head
    query = _rotate(q[:, head * E : (head + 1) * E], config.rope_theta)
    key = _rotate(k[:, shared * E : (shared + 1) * E], config.rope_theta)
    heads.append(_softmax_causal(query @ key.T / np.sqrt(E)) @ v[:, shared * E : (shared + 1) * E])
  x = x + np.concatenate(heads, axis=-1) @ w['o']
  h = _norm(x, w['ffn_norm'], config.norm_eps)
  gate = h @ w['gate']
  return x + (gate / (1 + np.exp(-gate)) * (h @ w['up'])) @ w['down']


def _rotate(x: np.ndarray, theta: float) -> np.ndarray:
  """Pairs (i, i + E/2) as complex numbers, turned by position * theta^(-2i/E)."""
  T, E = x.shape
  z = x[:, : E // 2] + 1j * x[:, E // 2 :]
  z = z * np.exp(1j * np.outer(np.arange(T), theta ** (-np.arange(0, E, 2) / E)))
  return np.concatenate([z.real, z.imag], axis=-1)


def _softmax_causal(scores: np.ndarray) -> np.ndarray:
  out = np.zeros_like(scores)
  for t, row in enumerate(scores):
    e = np.exp(row[: t + 1] - row[: t + 1].max())
    out[t, : t + 1] = e / e.sum()
  return out


def _norm(x: np.ndarray, scale: np.ndarray, eps: float) -> np.ndarray:
  return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * scale


def _f64(x) -> np.ndarray:
  return np.asarray(x, np.float64)
