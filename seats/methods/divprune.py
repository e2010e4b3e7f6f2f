"""DivPrune: before the LLM, the tokens least like each other (arXiv 2503.02175, github.com/vbdi/divprune).

Max-min diversity over all tokens of a modality by 1 - cosine of the embeddings that enter the LLM. Of a target R,
max(1, round(R * N)) tokens stay; any R in (0, 1] is reached. The original works on the patches of one image in the
model's type; here on the whole clip, in float32, with positions kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.selection.counts import audio_intact, farthest_macs, keep_count
from seats.selection.farthest import select_farthest
from seats.selection.masks import random_mask
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class DivPruneOm(Method):
    """DivPrune on each modality by itself. video, audio: target retention in (0, 1]."""

    video: float
    audio: float

    name: ClassVar[str] = "divprune-om"
    source: ClassVar[str] = "arXiv 2503.02175, github.com/vbdi/divprune"
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> DivPruneOm:
        return cls(retention.video, retention.audio)

    def before_llm(self, state: BeforeLLM) -> Selection:
        keep = torch.ones(len(state.layout), dtype=torch.bool, device=state.embeds.device)
        macs = 0
        counts = state.layout.counts()
        video, audio = self._shares(counts)
        if counts.video:
            macs += _diverse(keep, state, Modality.VIDEO, video)
        if counts.audio:
            macs += self._choose_audio(keep, state, audio)
        return Selection(keep, macs=macs)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        return self.video, self.audio

    def _choose_audio(self, keep: torch.Tensor, state: BeforeLLM, ratio: float) -> int:
        return _diverse(keep, state, Modality.AUDIO, ratio)


@dataclass(frozen=True)
class DivPrune(DivPruneOm):
    """DivPrune on the video tokens, audio kept whole as far as the budget of both allows (`audio_intact`).

    Where it does not, audio is dropped at random. seed: of that draw.
    """

    seed: int = 0

    name: ClassVar[str] = "divprune"

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> DivPrune:
        return cls(retention.video, retention.audio, seed)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        return audio_intact(counts.video, counts.audio, self.video, self.audio)

    def _choose_audio(self, keep: torch.Tensor, state: BeforeLLM, ratio: float) -> int:
        where = state.layout.positions(Modality.AUDIO)
        keep[where] = random_mask(len(where), ratio, self.seed, keep.device)
        return 0


def _diverse(keep: torch.Tensor, state: BeforeLLM, kind: Modality, ratio: float) -> int:
    """Mark the kept tokens of one modality in `keep`; returns the multiply-adds."""
    where = state.layout.positions(kind)
    count = keep_count(len(where), ratio)
    keep[where] = select_farthest(state.embeds[where], count)
    return farthest_macs(len(where), state.embeds.shape[1], count)
