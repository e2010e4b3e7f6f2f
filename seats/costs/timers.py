"""Time per step, synchronised with the device without stopping it at every step."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seats.devices import kind_of

if TYPE_CHECKING:
    import torch


class StepTimer:
    """Adds up milliseconds per named step.

    On CUDA it records events on the device's current stream and waits for them once, in `ms`. On MPS it waits for the
    device around every step.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = str(device)
        self._kind = kind_of(device)
        self._host: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, Any, Any]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the time of the enclosed code, on the device's own clock where it has one."""
        if self._kind == "cuda":
            start = self._event()
            try:
                yield
            finally:
                self._events.append((name, start, self._event()))
            return
        began = self._now()
        try:
            yield
        finally:
            self._host[name] += 1e3 * (self._now() - began)

    def add(self, name: str, ms: float) -> None:
        """Add a time measured elsewhere, in milliseconds."""
        self._host[name] += ms

    def ms(self) -> dict[str, float]:
        """Milliseconds per step so far; waits for the device."""
        for name, start, end in self._events:
            end.synchronize()
            self._host[name] += start.elapsed_time(end)
        self._events.clear()
        return dict(self._host)

    def _event(self) -> Any:
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _now(self) -> float:
        """Seconds, when all work handed to the device is done."""
        if self._kind == "mps":
            import torch

            torch.mps.synchronize()
        return time.perf_counter()
