"""What the C library does with memory that is freed: settings for a process of our own, which concern all of it."""

from __future__ import annotations

import ctypes
import os
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_LARGEST = 32 * 2**20
"""The most that glibc takes on 64 bits for what it calls the mmap threshold."""
_MOST = 256 * 2**20


def keep_freed_memory(without_limit: bool = False) -> None:
    """Let glibc keep what is freed for what comes next: blocks of up to 32 MiB, up to 256 MiB of them at the end.

    Otherwise it gives most of the memory of one tensor back, and the system has to find and clear it anew for the
    next: on a CPU a tenth of the time to an answer about a minute of video. Nothing changes with another C library, or
    where the environment says what glibc is to do (mallopt(3)). without_limit: keep everything, for a training.
    """
    mallopt = _function("mallopt")
    if mallopt is None or any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return
    if without_limit:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    elif mallopt(_M_MMAP_THRESHOLD, _LARGEST):  # alone, the other setting would have every tensor mapped anew
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def give_back_freed_memory() -> None:
    """Give what is freed back to the system now, of all threads; with another C library than glibc nothing."""
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


def _function(name: str) -> Any:
    """A function of glibc's, None with another C library."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
