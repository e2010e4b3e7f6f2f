"""Random draws, highest ranks and equal distances: masks that methods share."""

from __future__ import annotations

import torch
from torch import Tensor

from seats.devices import moved
from seats.selection.counts import keep_count


def random_mask(n: int, ratio: float, seed: int, device: torch.device) -> Tensor:
    """[n] bool: max(1, round(ratio * n)) of `n` tokens, all for a ratio of 1; the same on every device."""
    keep = torch.zeros(n, dtype=torch.bool)
    generator = torch.Generator().manual_seed(int(seed))
    keep[torch.randperm(n, generator=generator)[: keep_count(n, ratio)]] = True
    return moved(keep, device)


def top_mask(scores: Tensor, count: int | Tensor) -> Tensor:
    """[..., n] bool: the `count` highest of each row of `scores`, ties to the lower index.

    count: one for all rows, or int64 [...] one for each.
    """
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)
    rank = torch.arange(scores.shape[-1], device=scores.device).expand_as(order)
    wanted = count[..., None] if isinstance(count, Tensor) else count
    return torch.zeros_like(order, dtype=torch.bool).scatter_(-1, order, rank < wanted)


def strided_mask(n: int, count: int, device: torch.device) -> Tensor:
    """[n] bool: the first and every s-th after it of `n` tokens, `count` (1..n) in all; s is n // count."""
    at = torch.arange(n, device=device)
    stride = n // count
    return (at % stride == 0) & (at < stride * count)
