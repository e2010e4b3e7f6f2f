"""What a device can do: the rate that shares of it are taken of."""

from __future__ import annotations

import statistics
import time

import torch


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second (2 a multiply-add) of a large square matrix product of random numbers, median of five.

    8192 x 8192 on a GPU, 1024 x 1024 elsewhere. Random numbers, because zeros draw less power and run faster.
    """
    n, at_once = (8192, 4) if device.type == "cuda" else (1024, 1)
    a, b = (torch.randn(n, n, device=device, dtype=torch.float32).to(dtype) for _ in range(2))
    for _ in range(2):
        a @ b
    times = []
    for _ in range(5):
        synchronise(device)
        began = time.perf_counter()
        for _ in range(at_once):
            a @ b
        synchronise(device)
        times.append((time.perf_counter() - began) / at_once)
    return 2 * n**3 / statistics.median(times)


def synchronise(device: torch.device) -> None:
    """Wait for all work handed to the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
