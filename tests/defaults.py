"""What a program may have told torch to make tensors of, which no result here may depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DEFAULTS = ("float64", "bfloat16", "device", "context")


@contextmanager
def defaults(kind: str) -> Iterator[None]:
    """Within, torch's default type is another, or its default device one on which nothing can be computed."""
    if kind == "context":
        with torch.device("meta"):
            yield
        return
    if kind == "device":
        torch.set_default_device("meta")
        try:
            yield
        finally:
            torch.set_default_device(None)
            vars(torch._GLOBAL_DEVICE_CONTEXT).clear()  # torch 2.9 fails to tell the default device after None
        return
    torch.set_default_dtype(getattr(torch, kind))
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
