"""Decoders as their makers publish them: shapes for what needs no weights, such as compiling ahead of time."""

from __future__ import annotations

from types import MappingProxyType

# The parts of Hugging Face's `config.json` that make the decoder.
_QWEN_2_5 = {
  'model_type': 'qwen2', 'hidden_act': 'silu', 'max_position_embeddings': 32768, 'rms_norm_eps': 1e-6, 'rope_theta': 1e6,
  'tie_word_embeddings': False, 'vocab_size': 152064,
}  # fmt: skip
PUBLISHED = MappingProxyType({
  'qwen2_5_7b': _QWEN_2_5 | {  # Qwen/Qwen2.5-7B-Instruct
    'hidden_size': 3584, 'intermediate_size': 18944, 'num_attention_heads': 28, 'num_hidden_layers': 28, 'num_key_value_heads': 4,
  },
  'qwen2_5_32b': _QWEN_2_5 | {  # Qwen/Qwen2.5-32B-Instruct
    'hidden_size': 5120, 'intermediate_size': 27648, 'num_attention_heads': 40, 'num_hidden_layers': 64, 'num_key_value_heads': 8,
  },
})  # fmt: skip
