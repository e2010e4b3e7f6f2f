"""Where the Triton kernels of selection can run.

Their integer arguments are not specialised on: a clip of another length must not compile them again.
"""

from __future__ import annotations

import os
from functools import cache

from torch import Tensor


def usable(x: Tensor) -> bool:
    """Whether kernels run on the device of `x`: CUDA with Triton, or anywhere under Triton's interpreter."""
    return (x.is_cuda or interpreted()) and _installed()


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _installed() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True
