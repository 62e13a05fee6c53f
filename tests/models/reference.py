"""Qwen2, Qwen3 and Llama 3 in float64 NumPy, one sequence at a time, written from their descriptions and not from our code.

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
  q, k, v = (h @ w[name] + w.get(name + '_bias', 0) for name in 'qkv')
  frequencies, factor = _frequencies(config)
  heads = []
  for head in range(config.heads):
    shared = head // group  # grouped-query attention: neighboring query heads share a key/value head
    query, key = q[:, head * E : (head + 1) * E], k[:, shared * E : (shared + 1) * E]
    if config.qk_norm:
      query, key = _norm(query, w['q_norm'], config.norm_eps), _norm(key, w['k_norm'], config.norm_eps)
    query, key = factor * _rotate(query, frequencies), factor * _rotate(key, frequencies)
    heads.append(_softmax_causal(query @ key.T / np.sqrt(E)) @ v[:, shared * E : (shared + 1) * E])
  x = x + np.concatenate(heads, axis=-1) @ w['o']
  h = _norm(x, w['ffn_norm'], config.norm_eps)
  gate = h @ w['gate']
  return x + (gate / (1 + np.exp(-gate)) * (h @ w['up'])) @ w['down']


def _frequencies(config: DecoderConfig) -> tuple[np.ndarray, float]:
  """Frequency of each pair of dimensions, and the factor of rotated queries and keys."""
  E, theta = config.head_dim, config.rope_theta
  plain = np.array([theta ** (-2 * i / E) for i in range(E // 2)])
  if config.rope_scaling is None:
    return plain, 1.0
  r = config.rope_scaling.to_huggingface()
  length = r['original_max_position_embeddings']
  if r['rope_type'] == 'llama3':
    return np.array([_llama3(w, r, length) for w in plain]), 1.0

  def dimension(rotations: float) -> float:  # that turns so often within the original length
    return E * np.log(length / (2 * np.pi * rotations)) / (2 * np.log(theta))

  low, high = dimension(r['beta_fast']), dimension(r['beta_slow'])
  if r['truncate']:
    low, high = np.floor(low), np.ceil(high)
  low, high = max(low, 0), min(high, E - 1)
  ramp = [min(1.0, max(0.0, (i - low) / (high - low))) for i in range(E // 2)]
  return np.array([w * (1 - s) + w / r['factor'] * s for w, s in zip(plain, ramp)]), r['attention_factor']


def _llama3(frequency: float, r: dict, length: int) -> float:
  """One frequency, in the three cases of the model card's reference code."""
  wavelength = 2 * np.pi / frequency
  if wavelength < length / r['high_freq_factor']:
    return frequency
  if wavelength > length / r['low_freq_factor']:
    return frequency / r['factor']
  smooth = (length / wavelength - r['low_freq_factor']) / (r['high_freq_factor'] - r['low_freq_factor'])
  return (1 - smooth) * frequency / r['factor'] + smooth * frequency


def _rotate(x: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
  """Pairs (i, i + E/2) as complex numbers, turned by position * frequency."""
  T, E = x.shape
  z = x[:, : E // 2] + 1j * x[:, E // 2 :]
  z = z * np.exp(1j * np.outer(np.arange(T), frequencies))
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
