"""Osteon keeps an X-ray classifier trained, honestly. Nothing in this package imports Airflow."""

import os

# TensorFlow reads this when it is imported, and leaves oneDNN out on processors without AVX-512. On AVX2 it is faster,
# too: a training step took a fifth to a third less processor time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
