"""Time per step, synchronised with the device without stopping it at every step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class StepTimer:
    """Adds up milliseconds per named step. On CUDA it records events and waits for them once, in `ms`."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._cuda = torch.device(device).type == "cuda"
        self._host: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, Any, Any]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the time of the enclosed code, on the device's own clock where it has one."""
        if not self._cuda:
            start = time.perf_counter()
            try:
                yield
            finally:
                self._host[name] += 1e3 * (time.perf_counter() - start)
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        try:
            yield
        finally:
            end.record()
            self._events.append((name, start, end))

    def add(self, name: str, ms: float) -> None:
        """Add a time measured elsewhere, in milliseconds."""
        self._host[name] += ms

    def ms(self) -> dict[str, float]:
        """Milliseconds per step so far; waits for the device."""
        if self._events:
            torch.cuda.synchronize()
            for name, start, end in self._events:
                self._host[name] += start.elapsed_time(end)
            self._events.clear()
        return dict(self._host)
