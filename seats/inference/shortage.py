"""Memory that runs out, told as an error that says what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seats.errors import OutOfMemoryError


@contextmanager
def shortage_told(what: str, device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError where `device` or the machine has no memory left. what: "the clip does"."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise OutOfMemoryError(
            f"{what} not fit into {device}: lower --max-frames, --max-pixels or --keep, or take a shorter part with "
            "--start/--end"
        ) from error


def lacks_memory(error: BaseException) -> bool:
    """Whether a device or the machine has no memory left; on a CPU, torch says so in words only, which differ by
    system."""
    said = str(error)
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "can't allocate memory" in said
        or "not enough memory: you tried to allocate" in said
    )
