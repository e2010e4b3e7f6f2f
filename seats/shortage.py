"""Memory that runs out, told as an error that says what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seats.errors import OutOfMemoryError

_WORDS = (
    "can't allocate memory",
    "not enough memory: you tried to allocate",
    "CUDA error: out of memory",  # of the driver, for kernels and their stacks
    "Triton Error [CUDA]: out of memory",  # likewise, where Triton loads or starts them
    "STATUS_ALLOC_FAILED",  # of cuBLAS and cuDNN
    "MPS backend out of memory",
    "Invalid buffer size: ",  # on MPS, of one tensor that is larger than Metal allows any to be
)


@contextmanager
def shortage_told(what: str, device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError where `device` or the machine has no memory left. what: "the clip does"."""
    with shortage(
        f"{what} not fit into {device}: lower --max-frames, --max-pixels or --keep, or take a shorter part with "
        "--start/--end"
    ):
        yield


@contextmanager
def shortage(message: str) -> Iterator[None]:
    """Raise OutOfMemoryError with the message where the device or the machine has no memory left."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise OutOfMemoryError(message) from error


def without_frames(error: Exception) -> Exception:
    """An error to be kept, without its traceback and what it came of: their frames would hold tensors as long."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def lacks_memory(error: BaseException) -> bool:
    """Whether a device or the machine has no memory left; but for torch's own allocations on a GPU it says so in words
    only, which on a CPU differ by system."""
    said = str(error)
    known = (OutOfMemoryError, torch.OutOfMemoryError, MemoryError)
    return isinstance(error, known) or any(words in said for words in _WORDS)
