"""FastVID: before the LLM, segments of like grids, salient tokens, and the rest merged into dense ones.

Source: FastVID (arXiv 2503.11187, github.com/LunarShen/FastVID), its code for Qwen2.5-VL, whose encoder and merging
Qwen-Omni share. The video is cut between grids whose mean features are unlike. Of every grid's share, 60 % are tokens
salient to the grid's mean query, taken from the last grid of each run of near-duplicates; 40 % are density peaks of
every fourth of these grids, into which all other tokens of the segment are averaged. As published, a grid's share is
truncated and what a grid has no room for is lost, so that less than the target is kept: a little less of most clips,
much less of long still ones. Other than published, nothing is drawn at random: of equally dense tokens the first one
counts as the densest. Clips with few grids, or few tokens in one, work.

Audio is kept whole and paid for by the video (`audio_intact`); the share of video that this leaves is the method's
retention ratio. Shares that leave less than one token of a grid are out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch.nn.functional import normalize, one_hot

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.models.signals import EncoderWants
from seats.selection.baselines import fastvid_grid
from seats.selection.counts import audio_intact
from seats.selection.density import peak_scores
from seats.selection.masks import random_mask, top_mask
from seats.tokens.layout import Modality

NEIGHBOURS = 4
"""Tokens whose distances make a token's density, as published: itself and the three nearest."""


@dataclass(frozen=True)
class FastVID(Method):
    """FastVID on the video tokens.

    video, audio: target retention in (0, 1]. seed: of the draw where audio cannot stay whole. segments: least number
    of them. cut: cosine of adjacent grids below which a segment ends; duplicate: above which a grid is one of a run.
    context: share of the merged tokens. every: one grid in so many gets them. inertia: least weight of a merged
    token's own features.
    """

    video: float
    audio: float
    seed: int = 0
    segments: int = 8
    cut: float = 0.84
    duplicate: float = 0.95
    context: float = 0.4
    every: int = 4
    inertia: float = 0.6

    name: ClassVar[str] = "fastvid"
    source: ClassVar[str] = "arXiv 2503.11187, github.com/LunarShen/FastVID"
    wants: ClassVar[EncoderWants] = EncoderWants(video_grids=1, mean_query=True)
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> FastVID:
        return cls(retention.video, retention.audio, seed)

    def before_llm(self, state: BeforeLLM) -> Selection:
        layout = state.layout
        keep = torch.ones(len(layout), dtype=torch.bool, device=state.embeds.device)
        embeds, macs = None, 0
        counts = layout.counts()
        video, audio = audio_intact(counts.video, counts.audio, self.video, self.audio)
        if counts.video and video < 1:
            if state.saliency is None:
                raise ValueError("FastVID needs the encoder's saliency: encode the clip with the method's wants")
            grids = layout.video_grids()
            embeds = state.embeds.clone()
            keep[grids], embeds[grids], macs = self._compress(state.embeds[grids], state.saliency[grids], video)
        if counts.audio:
            keep[layout.positions(Modality.AUDIO)] = random_mask(counts.audio, audio, self.seed, keep.device)
        return Selection(keep, embeds, macs)

    def _compress(
        self, embeds: torch.Tensor, saliency: torch.Tensor, share: float
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """embeds [T, G, D], saliency [T, G] → kept tokens [T, G], new embeddings [T, G, D] and the multiply-adds."""
        number, size, dim = embeds.shape
        budget = fastvid_grid(share, size)
        whole = normalize(embeds.float().mean(1), dim=-1)
        likeness = (whole[:-1] * whole[1:]).sum(-1)
        macs = likeness.numel() * dim
        borders = (likeness < self.cut) | top_mask(-likeness, self.segments - 1)
        stops = [*(borders.nonzero()[:, 0] + 1).tolist(), number]
        likely = (likeness >= self.duplicate).tolist()
        keep = torch.zeros(number, size, dtype=torch.bool, device=embeds.device)
        merged = embeds.clone()
        for start, stop in pairwise([0, *stops]):
            salient, context = self._quotas(likely[start : stop - 1], budget, size)
            part = slice(start, stop)
            keep[part], merged[part], cost = self._segment(embeds[part], saliency[part], salient, context)
            macs += cost
        return keep, merged, macs

    def _quotas(self, likely: list[bool], budget: int, size: int) -> tuple[list[int], list[int]]:
        """Salient and context tokens of each grid of a segment. likely: whether a grid is a near-duplicate of the
        next one, for all but the last. budget: tokens a grid, of `size`."""
        length = len(likely) + 1
        context = max(1, int(budget * length * self.context))
        salient = budget * length - context
        if length == 1:
            return [salient], [context]
        runs = [grid for grid, more in enumerate([*likely, False]) if not more]  # the last grid of each
        targets = runs[:: -self.every]
        salients, contexts = [0] * length, [0] * length
        for grid, quota in zip(targets, _spread(context, len(targets)), strict=True):
            contexts[grid] = min(quota, size // 2)
        for grid, quota in zip(runs, _spread(salient, len(runs)), strict=True):
            salients[grid] = min(quota, size - contexts[grid])
        return salients, contexts

    def _segment(
        self, embeds: torch.Tensor, saliency: torch.Tensor, salient: list[int], context: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """One segment: embeds [t, G, D] and saliency [t, G] → kept tokens, new embeddings and the multiply-adds."""
        size, dim = embeds.shape[1:]
        is_salient = top_mask(saliency, torch.tensor(salient, device=saliency.device))
        keep, flat, merged, macs = is_salient.clone(), embeds.flatten(0, 1), embeds.clone(), 0
        unit = normalize(flat.float(), dim=-1)
        for grid, count in enumerate(context):
            if not count:
                continue
            left = (~is_salient[grid]).nonzero()[:, 0]
            anchors = left[_dense(embeds[grid, left].float(), count)]
            keep[grid, anchors] = True
            free = ~is_salient.flatten()
            free[grid * size + anchors] = False
            others = free.nonzero()[:, 0]
            member = one_hot((unit[others] @ unit[grid * size + anchors].T).argmax(-1), count).float()
            taken = member.sum(0)[:, None]
            mean = member.T @ flat[others].float() / taken.clamp(min=1)
            weight = (1 / (taken + 1)).clamp(min=self.inertia)
            merged[grid, anchors] = (weight * embeds[grid, anchors].float() + (1 - weight) * mean).to(embeds.dtype)
            macs += len(left) ** 2 * dim + 2 * len(others) * count * dim
        return keep, merged, macs


def _dense(features: torch.Tensor, count: int) -> torch.Tensor:
    """Positions, in order, of the `count` density peaks of `features` [n, D]."""
    distance = torch.cdist(features, features) / features.shape[1] ** 0.5
    nearest = distance.topk(min(NEIGHBOURS, len(features)), largest=False).values
    density = (-nearest.square().mean(-1)).exp()
    # The original tells equally dense tokens apart by noise; without either, every copy of a token would be a peak.
    scores = peak_scores(distance, density, distance.max().expand_as(density), one_peak=True)
    return top_mask(scores, count).nonzero()[:, 0]


def _spread(total: int, parts: int) -> list[int]:
    """`total` in `parts` whole numbers that differ by at most one, the larger ones first."""
    each, more = divmod(total, parts)
    return [each + (part < more) for part in range(parts)]
