"""How much memory a piece of code takes at its peak, from the allocator itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seats.devices import kind_of

if TYPE_CHECKING:
    import torch


@dataclass
class Allocations:
    """peak: most bytes in use at a time above what was in use when the block began; left: at its end."""

    peak: int = 0
    left: int = 0


@contextmanager
def allocations(device: torch.device | str = "cpu") -> Iterator[Allocations]:
    """Watch the memory of PyTorch's tensors on a device while the block runs.

    On CUDA: the caching allocator's own count (`max_memory_allocated`), whose peak is reset. Elsewhere: every
    allocation and release that torch's CPU allocator reports to `torch.profiler`, temporaries inside kernels included;
    not seen are memory that numpy or a library takes for itself, and the release of what was there before.
    """
    import torch

    found = Allocations()
    if kind_of(device) == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        torch.cuda.synchronize(device)
        found.peak = torch.cuda.max_memory_allocated(device) - before
        found.left = torch.cuda.memory_allocated(device) - before
        return
    activity = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activity, profile_memory=True) as profile:
        yield found
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        found.left += event.nbytes()
        found.peak = max(found.peak, found.left)
