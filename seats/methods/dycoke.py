"""DyCoke: before the LLM, drop what a temporal grid repeats of an earlier one (arXiv 2411.15024).

The token-merging stage of DyCoke, which despite its name only drops; its pruning of the cache while decoding is left
out. Grids go by fours: the first is kept whole, the others keep the tokens least like the token of the same place in
the grid before (second, fourth) or two before (third). A drop share k leaves 1 - 0.75 k of the video, so the target R
gives k = 4/3 (1 - R); R below 25 % is out of reach. Audio is kept whole and paid for by the video (`audio_intact`).

As published, the third grid of the last four is kept whole, so that short clips keep more than R. Other than
published, a last grid without a partner is kept instead of lost, clips of four grids or fewer work, and kept tokens
stay in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.selection.baselines import dycoke_compared, dycoke_grid
from seats.selection.counts import audio_intact
from seats.selection.masks import random_mask, top_mask
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class DyCoke(Method):
    """Temporal merging of DyCoke on the video tokens.

    video, audio: target retention in (0, 1], of which the clip's lengths make the share of video that is kept; that
    must be at least 25 %. seed: of the draw where audio cannot stay whole.
    """

    video: float
    audio: float
    seed: int = 0

    name: ClassVar[str] = "dycoke"
    source: ClassVar[str] = "arXiv 2411.15024, github.com/KD-TAO/DyCoke"
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> DyCoke:
        return cls(retention.video, retention.audio, seed)

    def before_llm(self, state: BeforeLLM) -> Selection:
        layout = state.layout
        keep = torch.ones(len(layout), dtype=torch.bool, device=state.embeds.device)
        counts = layout.counts()
        video, audio = audio_intact(counts.video, counts.audio, self.video, self.audio)
        macs = 0
        if counts.video:
            grids = layout.video_grids()
            features = state.embeds[grids].float()
            keep[grids], compared = _merge(features, dycoke_grid(video, grids.shape[1]))
            macs = compared * features[0].numel()
        if counts.audio:
            keep[layout.positions(Modality.AUDIO)] = random_mask(counts.audio, audio, self.seed, keep.device)
        return Selection(keep, macs=macs)


def _merge(features: torch.Tensor, kept: int) -> tuple[torch.Tensor, int]:
    """Tokens that stay of `features` [T, G, D], `kept` of each compared grid: [T, G] bool; and the grids compared."""
    unit = torch.nn.functional.normalize(features, dim=-1)
    keep = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
    if compared := dycoke_compared(len(features)):
        later, earlier = torch.tensor(compared, device=features.device).T
        keep[later] = top_mask(-(unit[later] * unit[earlier]).sum(-1), kept)
    return keep, len(compared)
