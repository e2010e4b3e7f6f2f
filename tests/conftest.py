"""Tests share the cores among processes, which is faster than threads of torch's that wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
