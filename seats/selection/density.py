"""Density peaks: tokens that are typical of their neighbourhood and far from denser ones."""

from __future__ import annotations

import torch
from torch import Tensor


def peak_scores(distance: Tensor, density: Tensor, farthest: Tensor) -> Tensor:
    """[..., n] density times the distance to the nearest denser token.

    distance: [..., n, n]. density: [..., n]. farthest: [..., n], the distance that a token gets which has no denser
    one. Source: density peak clustering (Rodriguez & Laio 2014), as FastVID and OmniZip use it.
    """
    denser = density[..., None, :] > density[..., :, None]
    nearest = torch.where(denser, distance, torch.inf).amin(-1)
    return torch.where(nearest.isinf(), farthest, nearest) * density
