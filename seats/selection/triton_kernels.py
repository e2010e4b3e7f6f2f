"""Where the Triton kernels can run. SEATS_TRITON=0 in the environment turns them off, SEATS_TRITON=no-tma only those
that need a tensor memory accelerator: the tensor versions take over.

Their integer arguments are not specialised on: a clip of another length must not compile them again.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor


def usable(x: Tensor) -> bool:
    """Whether kernels run on the device of `x`: CUDA with Triton, or anywhere under Triton's interpreter."""
    return (x.is_cuda or interpreted()) and (_installed() if interpreted() else starts())


@cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def takes_type(x: Tensor) -> bool:
    """Whether kernels of matrix products take the type of `x`: 16 bits, and 32 in the interpreter alone, as on a GPU
    such tiles fill more registers than there are."""
    return x.dtype in (torch.bfloat16, torch.float16) or (x.dtype == torch.float32 and interpreted())


def has_accelerator(x: Tensor) -> bool:
    """Whether kernels may use the tensor memory accelerator of the device of `x`: NVIDIA's of compute capability 9 or
    10, with the large shared memory of data centres. Triton's interpreter has it, too."""
    if interpreted():
        return True
    if os.environ.get("SEATS_TRITON") == "no-tma" or torch.version.cuda is None or not x.is_cuda:
        return False
    return torch.cuda.get_device_capability(x.device)[0] in (9, 10)


@cache
def starts() -> bool:
    """Whether Triton finds what it needs on this machine: it compiles its own driver, with a C compiler and Python's
    headers, when it is first used."""
    if not _installed() or os.environ.get("SEATS_TRITON") == "0":
        return False
    import triton

    try:
        triton.runtime.driver.active.get_current_device()
    except Exception:  # whatever the compiler, the linker or the driver says: there are tensor versions of all kernels
        return False
    return True


@cache
def _installed() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True
