"""Moving tensors to where they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def moved(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`x` on `device`, without waiting for what a GPU does before.

    From ordinary memory the values are staged at once, so `x` may change right after.
    """
    return x.to(device, non_blocking=device.type == "cuda")
