"""Decoders as their makers publish them: shapes for what needs no weights, such as compiling ahead of time."""

from __future__ import annotations

from types import MappingProxyType

# The parts of Hugging Face's `config.json` that make the decoder.
_QWEN_2_5 = {
  'model_type': 'qwen2', 'hidden_act': 'silu', 'max_position_embeddings': 32768, 'rms_norm_eps': 1e-6, 'rope_theta': 1e6,
  'tie_word_embeddings': False, 'vocab_size': 152064,
}  # fmt: skip
_QWEN_3 = {
  'model_type': 'qwen3', 'hidden_act': 'silu', 'max_position_embeddings': 40960, 'rms_norm_eps': 1e-6, 'rope_theta': 1e6, 'head_dim': 128,
  'tie_word_embeddings': False, 'vocab_size': 151936,
}  # fmt: skip
PUBLISHED = MappingProxyType({
  'qwen2_5_7b': _QWEN_2_5 | {  # Qwen/Qwen2.5-7B-Instruct
    'hidden_size': 3584, 'intermediate_size': 18944, 'num_attention_heads': 28, 'num_hidden_layers': 28, 'num_key_value_heads': 4,
  },
  'qwen2_5_32b': _QWEN_2_5 | {  # Qwen/Qwen2.5-32B-Instruct
    'hidden_size': 5120, 'intermediate_size': 27648, 'num_attention_heads': 40, 'num_hidden_layers': 64, 'num_key_value_heads': 8,
  },
  'qwen3_8b': _QWEN_3 | {  # Qwen/Qwen3-8B
    'hidden_size': 4096, 'intermediate_size': 12288, 'num_attention_heads': 32, 'num_hidden_layers': 36, 'num_key_value_heads': 8,
  },
  'qwen3_32b': _QWEN_3 | {  # Qwen/Qwen3-32B
    'hidden_size': 5120, 'intermediate_size': 25600, 'num_attention_heads': 64, 'num_hidden_layers': 64, 'num_key_value_heads': 8,
  },
  'llama3_8b': {  # meta-llama/Llama-3.1-8B-Instruct
    'model_type': 'llama', 'hidden_act': 'silu', 'max_position_embeddings': 131072, 'rms_norm_eps': 1e-5, 'rope_theta': 5e5,
    'rope_scaling': {
      'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, 'original_max_position_embeddings': 8192,
    },
    'tie_word_embeddings': False, 'vocab_size': 128256,
    'hidden_size': 4096, 'intermediate_size': 14336, 'num_attention_heads': 32, 'num_hidden_layers': 32, 'num_key_value_heads': 8,
  },
  # No checkpoint, but what MaxText's figures for TPUs are of (its configs/tpu/v5p/32b.sh): global_parameter_scale=32.
  'maxtext_32b': {
    'model_type': 'llama', 'hidden_act': 'silu', 'max_position_embeddings': 2048, 'rms_norm_eps': 1e-6, 'rope_theta': 1e4,
    'tie_word_embeddings': False, 'vocab_size': 32000,
    'hidden_size': 8192, 'intermediate_size': 28672, 'num_attention_heads': 64, 'num_hidden_layers': 32, 'num_key_value_heads': 64,
  },
})  # fmt: skip
