"""Density peaks: tokens that are typical of their neighbourhood and far from denser ones."""

from __future__ import annotations

import torch
from torch import Tensor


def peak_scores(distance: Tensor, density: Tensor, farthest: Tensor, *, one_peak: bool = False) -> Tensor:
    """[..., n] density times the distance to the nearest denser token.

    distance: [..., n, n]. density: [..., n]. farthest: [..., n], the distance that a token gets which has no denser
    one. one_peak: of equally dense tokens the one of the lower index counts as denser; else all of them can be peaks,
    equal tokens too. Source: density peak clustering (Rodriguez & Laio 2014), as FastVID and OmniZip use it.
    """
    own, others = density[..., :, None], density[..., None, :]
    denser = others > own
    if one_peak:
        denser |= (others == own).tril(-1)
    nearest = torch.where(denser, distance, torch.inf).amin(-1)
    return torch.where(nearest.isinf(), farthest, nearest) * density
