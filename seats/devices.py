"""Kinds of devices, where tensors are made, moving them to where they are used, and how exactly they are multiplied
there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LASTING = (
    "illegal memory access", "illegal instruction", "misaligned address", "unspecified launch failure",
    "device-side assert", "launch timed out", "hardware stack error", "invalid program counter",
    "global/shared address space", "ECC error",
)  # fmt: skip
"""What CUDA's driver says of errors after which it answers nothing else."""


def kind_of(device: torch.device | str) -> str:
    """The kind of a device, or of one of that name, without its number: "cpu", "cuda" or "mps"."""
    return str(device).partition(":")[0]


def host_sees(x: torch.Tensor) -> bool:
    """Whether looking at values of `x` costs no waiting for another device."""
    return x.device.type == "cpu"


def moved(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on `device`, without waiting for what a GPU does before if its driver has room for the values.

    From ordinary memory they are staged at once, so `x` may change right after.
    """
    return x.to(device, non_blocking=device.type == "cuda")


def in_full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Products of float32 tensors stay float32, also where the caller runs the model under `torch.autocast`."""
    import torch

    return torch.autocast(device.type, enabled=False)


def is_lost(error: BaseException) -> bool:
    """Whether a device says with this error that it can do nothing any more. A lack of memory is not that, though torch
    may tell of it by the same type; and Triton, which launches kernels itself, has no type of its own."""
    import torch

    from seats.shortage import lacks_memory

    if lacks_memory(error):
        return False
    said = str(error)
    of_triton = said.startswith("Triton Error [CUDA]") and any(words in said for words in _LASTING)
    return of_triton or isinstance(error, getattr(torch, "AcceleratorError", ()))  # since torch 2.10


@contextmanager
def usual_device() -> Iterator[None]:
    """Within, what is made without naming a device is on the CPU, as code here and in transformers takes for granted,
    whatever the caller has given to `torch.set_default_device` or made a context of. Concerns this thread alone."""
    import torch

    if torch.empty(0).device.type == "cpu":  # torch.get_default_device() fails in 2.9 where the default was reset
        yield
        return
    with torch.device("cpu"):
        yield
