"""Where the Triton kernels can run. SEATS_TRITON=0 in the environment turns them off, SEATS_TRITON=no-tma only those
that need a tensor memory accelerator: the tensor versions take over.

Their integer arguments are not specialised on: a clip of another length must not compile them again.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from torch import Tensor

OPTIONS = {"enable_fp_fusion": True}
"""Of all kernels: products and sums may be one instruction, Triton's default up to 3.9, which warns where nothing is
said."""


def usable(x: Tensor) -> bool:
    """Whether kernels run on the device of `x`: CUDA with Triton, or anywhere under Triton's interpreter. NVIDIA's
    below compute capability 8 have no matrix units for them."""
    if interpreted():
        return _installed()
    return x.is_cuda and starts() and (torch.version.cuda is None or _capability(x.device) >= (8, 0))


@cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def takes_type(x: Tensor) -> bool:
    """Whether kernels of matrix products take the type of `x`: 16 bits, and 32 in the interpreter alone, as on a GPU
    such tiles fill more registers than there are."""
    return x.dtype in (torch.bfloat16, torch.float16) or (x.dtype == torch.float32 and interpreted())


def is_large(x: Tensor) -> bool:
    """Whether the device of `x` is an NVIDIA of compute capability 9 or 10: data centres' from Hopper on, whose matrix
    units take tiles from a large shared memory, so that they leave the registers free. So does Triton's interpreter."""
    if interpreted():
        return True
    return torch.version.cuda is not None and x.is_cuda and _capability(x.device)[0] in (9, 10)


def has_accelerator(x: Tensor) -> bool:
    """Whether kernels may use the tensor memory accelerator of the device of `x`."""
    return is_large(x) and (interpreted() or os.environ.get("SEATS_TRITON") != "no-tma")


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
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


@cache
def _installed() -> bool:
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True
