"""Installs inftool_jax; extras are named in the README."""

from setuptools import find_packages, setup

setup(
  name='inftool_jax',
  version='0.1.0',
  description='Train language models to use tools, from raw API specifications, on JAX.',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=find_packages(include=['inftool_jax', 'inftool_jax.*']),
  package_data={
    'inftool_jax': [
      'specs/data/specifications/**/*',
      'specs/data/specifications/*',
      'evaluation/data/*',
      'models/data/tiny/*',
      'report/templates/*',
    ]
  },
  install_requires=[
    'absl-py',
    'array_record',
    'etils[epath]',
    'fsspec',
    'flax>=0.12',
    'jax>=0.10',
    'jinja2',
    'jsonschema',
    'markupsafe',
    'matplotlib',
    'mcp>=2.3',
    'ml-collections',
    'numpy',
    'optax',
    'orbax-checkpoint',
    'pyyaml',
    'referencing',
    'rich',
    'safetensors',
    'scikit-learn',
    'scipy',
    'sentencepiece',
    'tensorboardX',
    'tokenizers',
    'transformers>=5',
  ],
  extras_require={
    'test': ['gcsfs', 'hypothesis', 'llguidance>=1.9', 'mypy', 'pytest', 'ruff', 'types-PyYAML'],
    'gs': ['gcsfs'],  # run folders in an object store, --workdir=gs://...
    'grammar': ['llguidance>=1.9'],  # --config.evaluation.grammar
    'embed': ['sentence-transformers'],  # tools.ingest --tree --embedder=MODEL
    'tpu': ['jax[tpu]'],  # also what tools.aot compiles with, on hosts without TPU
    'parity': ['peft>=0.21', 'torch==2.13.0'],  # tests against transformers' own models and PEFT's adapters
  },
)
