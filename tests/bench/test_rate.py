"""The rate of the device, with a clock of one's own."""

import itertools

import torch

from seats.bench import rate


def test_a_rate_counts_two_flops_a_multiply_add(monkeypatch):
    moments = itertools.count(0.0, 0.5)  # every product takes half a second
    monkeypatch.setattr(rate.time, "perf_counter", lambda: next(moments))
    assert rate.matmul_rate(torch.device("cpu"), torch.float32) == 2 * 1024**3 / 0.5
