"""OmniZip: before the LLM, audio by saliency and merging, then video by how much of its audio was kept.

Source: OmniZip (arXiv 2511.14582, github.com/KD-TAO/OmniZip, its newer core). Sound is ranked over the whole clip; a
few of the rest become anchors that take in the tokens most like the video. A window of video whose audio was kept
keeps more of its own; inside it, even grids keep density peaks and odd ones what changed since the grid before (a
window of Qwen3-Omni is a single grid, so there only the first half applies).

Targets (video Rv, audio Ra) give the published drop ratios 1 - Rv and 1.05 - Ra: anchors are 5 % of the audio. A
window's video drop ratio cannot leave 35..75 %, so that Rv from 25 to 65 % is in reach, and the target is met only
approximately; not at all in clips of one or two windows, which go by their audio alone. As published, video tokens
after the last whole grid of a window are dropped, and windows shorter than a grid are kept; and as its counts are
rounded, a sound of a few tokens, or grids of one to three, can lose them all. Without sound, every window drops 1 - Rv,
and without pictures anchors take in the sounds most like themselves; the published models skip or fail on such clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import normalize

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.models.signals import EncoderWants
from seats.selection.baselines import LEAST_DROP, MOST_DROP, check_omnizip, omnizip_audio, omnizip_grid
from seats.selection.budget import run_windows
from seats.selection.density import peak_scores
from seats.selection.masks import strided_mask, top_mask
from seats.tokens.layout import Modality

TAKEN = 3
"""Sounds that an anchor takes in at most, as published."""
NEIGHBOURS = 5
"""Tokens whose distances make a token's density, as published."""
_CHUNK = 1024  # audio tokens compared with all of the video at once


@dataclass(frozen=True)
class OmniZip(Method):
    """video: target retention in [0.25, 0.65]. audio: in [0.05, 1]."""

    video: float
    audio: float

    name: ClassVar[str] = "omnizip"
    source: ClassVar[str] = "arXiv 2511.14582, github.com/KD-TAO/OmniZip"
    wants: ClassVar[EncoderWants] = EncoderWants(audio="clip")
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_omnizip(self.video, self.audio)

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> OmniZip:
        return cls(retention.video, retention.audio)

    def before_llm(self, state: BeforeLLM) -> Selection:
        layout = state.layout
        keep = torch.ones(len(layout), dtype=torch.bool, device=state.embeds.device)
        embeds, macs = None, 0
        seen, heard = layout.positions(Modality.VIDEO), layout.positions(Modality.AUDIO)
        video = state.embeds[seen].float()
        if len(heard):
            if state.saliency is None:
                raise ValueError("OmniZip needs the encoder's saliency: encode the clip with the method's wants")
            audio = state.embeds[heard].float()
            keep[heard], merged, macs = _choose_audio(audio, state.saliency[heard], video, self.audio)
            embeds = state.embeds.clone()
            embeds[heard] = merged.to(embeds.dtype)
        if len(video):
            runs = run_windows(layout.modality)
            sizes = torch.bincount(runs[seen]).tolist()
            retained: list[float] = []
            if len(heard):
                kept = torch.bincount(runs[heard], keep[heard].float())
                retained = (kept / torch.bincount(runs[heard])).tolist()[: len(sizes)]
            ratios = drop_ratios(retained, sizes, 1 - self.video)
            keep[seen], cost = _choose_video(video, sizes, ratios, layout.tokens_per_grid())
            macs += cost
        return Selection(keep, embeds, macs)


def drop_ratios(retained: list[float], sizes: list[int], ratio: float) -> list[float]:
    """Share of the video to drop in each window.

    retained: share of the audio kept in each window that has audio, the first `len(retained)`. sizes: video tokens of
    all windows. ratio: share to drop of all video tokens, and of those in windows without audio.
    """
    guided = [_within(MOST_DROP + (LEAST_DROP - MOST_DROP) * share) for share in retained]
    unguided = [ratio] * (len(sizes) - len(guided))
    if len(guided) <= 2:
        return guided + unguided
    # The windows at both ends stay; the others are scaled to the total, then moved by what clipping left.
    ends = {guided.index(min(guided)), guided.index(max(guided))}
    others = [window for window in range(len(guided)) if window not in ends]
    target = ratio * sum(sizes[: len(guided)])
    fixed = sum(guided[window] * sizes[window] for window in ends)
    scale = (target - fixed) / sum(guided[window] * sizes[window] for window in others)
    for window in others:
        guided[window] = _within(guided[window] * scale)
    missing = target - sum(drop * size for drop, size in zip(guided, sizes, strict=False))
    each = missing / sum(sizes[window] for window in others)
    for window in others:
        guided[window] = _within(guided[window] + each)
    return guided + unguided


def _within(drop: float) -> float:
    return max(LEAST_DROP, min(MOST_DROP, drop))


def _choose_audio(
    audio: torch.Tensor, saliency: torch.Tensor, video: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """audio [A, D], saliency [A], video [V, D] → kept tokens [A], new embeddings [A, D] and the multiply-adds."""
    n, dim = audio.shape
    salient, number = omnizip_audio(n, share)
    keep = top_mask(saliency, salient)
    if not number:
        return keep, audio, 0
    rest = (~keep).nonzero()[:, 0]
    is_anchor = strided_mask(len(rest), number, audio.device)
    anchors, others = rest[is_anchor], rest[~is_anchor]
    keep[anchors] = True
    unit = audio / (audio.norm(dim=-1, keepdim=True) + 1e-6)
    cosine = unit[others] @ unit[anchors].T
    macs = len(others) * number * dim
    nearest = cosine.argmax(1)
    relevance = cosine.amax(1)
    if len(video):
        seen = (video / (video.norm(dim=-1, keepdim=True) + 1e-6)).T
        relevance = torch.cat([(part @ seen).amax(1) for part in unit[others].split(_CHUNK)])
        macs += len(others) * len(video) * dim
    own = nearest == torch.arange(number, device=audio.device)[:, None]  # [anchors, others]
    taken = own & top_mask(torch.where(own, relevance, -torch.inf), TAKEN)
    weight = torch.where(taken, relevance, -torch.inf).softmax(-1)
    has_any = taken.any(-1)
    merged = audio.clone()
    weight, anchors = weight[has_any], anchors[has_any]
    merged[anchors] = (audio[anchors] + weight @ audio[others]) / 2
    return keep, merged, macs + weight.numel() * dim


def _choose_video(video: torch.Tensor, sizes: list[int], ratios: list[float], grid: int) -> tuple[torch.Tensor, int]:
    """Kept tokens [V] of `video` [V, D] in windows of `sizes`, a share `ratios` of each dropped; grid: its tokens."""
    keep = torch.zeros(len(video), dtype=torch.bool, device=video.device)
    starts: list[list[int]] = [[], []]  # of even and of odd grids
    counts: list[list[int]] = [[], []]
    first = 0
    for size, ratio in zip(sizes, ratios, strict=True):
        if size < grid:
            keep[first : first + size] = True
        for number in range(size // grid):
            starts[number % 2].append(first + number * grid)
            counts[number % 2].append(omnizip_grid(ratio, grid))
        first += size
    unit = normalize(video, dim=-1)
    inside = torch.arange(grid, device=video.device)
    macs = 0
    for odd in (False, True):
        if not starts[odd]:
            continue
        at = torch.tensor(starts[odd], device=video.device)[:, None] + inside
        scores = -(unit[at] * unit[at - grid]).sum(-1) if odd else _density(unit[at])
        macs += at.numel() * (1 if odd else grid) * video.shape[1]
        keep[at] = top_mask(scores, torch.tensor(counts[odd], device=video.device))
    return keep, macs


def _density(unit: torch.Tensor) -> torch.Tensor:
    """Density-peak scores [m, G] of grids of unit features [m, G, D]."""
    size = unit.shape[1]
    distance = 1 - unit @ unit.transpose(1, 2)
    if size == 1:
        return distance[..., 0]
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    density = (-distance.topk(min(NEIGHBOURS, size - 1), largest=False).values.mean(-1)).exp()
    distance.diagonal(dim1=1, dim2=2).fill_(0)
    return peak_scores(distance, density, distance.amax(-1))
