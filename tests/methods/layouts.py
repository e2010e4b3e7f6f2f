"""Layouts and what goes with them, for tests of methods without a model."""

from __future__ import annotations

import torch

from seats.inference.prepared import Prepared
from seats.methods.base import BeforeLLM
from seats.models.families import FAMILIES
from seats.models.signals import Signals
from seats.tokens.layout import Modality, TokenLayout
from seats.tokens.sequence import build_sequence
from tests.tiny import IDS, tiny_config

DIM, KEY_DIM = 16, 6


def layout_of(family: str, grid: tuple[int, int, int] | None, audio_tokens: int, fps: float = 2.0) -> TokenLayout:
    """The layout of a prompt. grid: merged (T, H, W), None without video."""
    middle = [IDS["audio_start"], IDS["audio"], IDS["audio_end"]]
    if grid is not None:
        middle = [IDS["vision_start"], IDS["video"], IDS["vision_end"]]
    adapter = next(f for f in FAMILIES if f.name == family)
    rule = adapter.sequence_rule(tiny_config(family))
    return build_sequence([1, 2, *middle, 10, 11], rule, grid, 2 / fps, audio_tokens).layout


def random_state(layout: TokenLayout, seed: int = 0, smooth: bool = False) -> BeforeLLM:
    """Random embeddings, saliency and keys. smooth: grids that resemble the ones before, with jumps."""
    made = torch.Generator().manual_seed(seed)
    counts = layout.counts()
    embeds = torch.randn(len(layout), DIM, generator=made)
    if smooth and counts.video:
        where = layout.video_grids()
        grids = torch.randn(where.shape[1], DIM, generator=made) + torch.randn(DIM, generator=made)
        for t, at in enumerate(where):
            change = (0.05, 0.05, 0.3, 2.0)[int(torch.randint(4, (1,), generator=made))] if t else 0.0
            grids = grids + change * torch.randn(grids.shape, generator=made)
            grids = grids + change * torch.randn(DIM, generator=made)
            embeds[at] = grids
    signals = {
        kind: Signals(torch.rand(n, generator=made), torch.randn(n, KEY_DIM, generator=made))
        for kind, n in ((Modality.VIDEO, counts.video), (Modality.AUDIO, counts.audio))
        if n
    }
    prepared = Prepared.of(layout, signals)
    return BeforeLLM(embeds, layout, prepared.saliency, prepared.keys)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a.double() @ b.double() / (a.double().norm() * b.double().norm()))


def cosines(a: torch.Tensor, b: torch.Tensor) -> list[list[float]]:
    """Cosine of each row of `a` with each row of `b`, in double."""
    a, b = (x.double() / x.double().norm(dim=-1, keepdim=True) for x in (a, b))
    return (a @ b.T).tolist()
