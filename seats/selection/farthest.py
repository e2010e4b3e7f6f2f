"""Tokens that cover a whole modality: greedy max-min diversity without windows or weights."""

from __future__ import annotations

import torch
from torch import Tensor

from seats.selection.counts import farthest_rows


def select_farthest(features: Tensor, count: int) -> Tensor:
    """Keep `count` of T tokens: first the one farthest from its nearest neighbour, then always the one farthest
    from those kept.

    Distance is 1 - cosine, in float32. Ties go to the lowest index, no token is chosen twice. The distances to the
    kept tokens are computed as these are chosen, so that no T x T matrix is held.

    Args:
        features: [T, D], any float type and device.
        count: 1..T.

    Returns:
        [T] bool, True where the token is kept.

    Source: DivPrune (arXiv 2503.02175). Raises ValueError for a count outside its range. Memory: T * D floats, and the
    distances of some tokens at a time.
    """
    T = features.shape[0]
    if not 1 <= count <= T:
        raise ValueError(f"{count} of {T} tokens: the count must be 1..{T}")
    keep = torch.zeros(T, dtype=torch.bool, device=features.device)
    if count == T:
        return ~keep
    unit = features.to(torch.float32, copy=True)
    unit /= unit.norm(dim=-1, keepdim=True) + 1e-8
    # Picks stay tensors of one element, so that nothing here waits for the device.
    pick = _loneliest(unit)
    keep.index_fill_(0, pick, True)
    nearest = torch.full((T,), torch.inf, dtype=torch.float32, device=features.device)
    for _ in range(count - 1):
        torch.minimum(nearest, 1.0 - (unit @ unit.index_select(0, pick).T)[:, 0], out=nearest)
        nearest.index_fill_(0, pick, -torch.inf)  # below any rounding error, so that it isn't chosen again
        pick = nearest.argmax(0, keepdim=True)
        keep.index_fill_(0, pick, True)
    return keep


def _loneliest(unit: Tensor) -> Tensor:
    """Index `[1]` of the token with the largest distance to its nearest neighbour."""
    # A token's smallest distance is normally its own, so the second smallest is its nearest neighbour's.
    parts = unit.split(farthest_rows(len(unit)))
    second = [(part @ unit.T).neg_().add_(1.0).topk(2, largest=False).values[:, 1] for part in parts]
    return torch.cat(second).argmax(0, keepdim=True)
