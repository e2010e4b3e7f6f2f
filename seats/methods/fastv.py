"""FastV: after the second decoder layer, keep the tokens that the question attends to (arXiv 2403.06764).

As in the baselines of SEATS (arXiv 2605.20035): the attention is the last text token's, computed with layer 2's
weights on layer 2's output, where the original reads layer 2's own attention map. To keep a share R of the tokens on
average over L layers, the two that see all of them are paid for afterwards: sigma = (R L - 2) / (L - 2) of the tokens
stay. R of 2 / L or less (7.1 % on Qwen2.5-Omni-7B, 4.2 % on Qwen3-Omni-30B) is out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.methods.base import AfterLayer, Method, ModelShape, Retention, Selection
from seats.selection.baselines import FASTV_LAYER, check_fastv, fastv_share
from seats.selection.counts import audio_intact, keep_count
from seats.selection.masks import random_mask, top_mask
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class FastVOm(Method):
    """FastV on each modality by itself: max(1, round(sigma * N)) tokens of the highest relevance.

    video, audio: target retention R, above 2 / num_layers and at most 1.
    """

    video: float
    audio: float
    num_layers: int

    name: ClassVar[str] = "fastv-om"
    source: ClassVar[str] = "arXiv 2403.06764, as in arXiv 2605.20035"

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]
        check_fastv(self.name, self.num_layers, self.video, self.audio)

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> FastVOm:
        return cls(retention.video, retention.audio, shape.num_layers)

    @property
    def layers(self) -> tuple[int, ...]:
        return (FASTV_LAYER,)

    def after_layer(self, state: AfterLayer) -> Selection:
        keep = torch.ones(len(state.layout), dtype=torch.bool, device=state.hidden.device)
        for kind, ratio in zip((Modality.VIDEO, Modality.AUDIO), self._shares(state.layout.counts()), strict=True):
            where = state.layout.positions(kind)
            if len(where) and ratio < 1:
                keep[where] = self._choose(kind, state, where, ratio)
        return Selection(keep)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        """Share of the video and of the audio tokens that stay after layer 2."""
        return self._sigma(self.video), self._sigma(self.audio)

    def _choose(self, kind: Modality, state: AfterLayer, where: torch.Tensor, ratio: float) -> torch.Tensor:
        return top_mask(state.relevance()[where], keep_count(len(where), ratio))

    def _sigma(self, ratio: float) -> float:
        return fastv_share(ratio, self.num_layers)


@dataclass(frozen=True)
class FastV(FastVOm):
    """FastV on the video tokens, audio kept whole as far as the budget of both allows (`audio_intact`).

    Where it does not, audio is dropped at random. seed: of that draw.
    """

    seed: int = 0

    name: ClassVar[str] = "fastv"

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> FastV:
        return cls(retention.video, retention.audio, shape.num_layers, seed)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        return audio_intact(counts.video, counts.audio, self._sigma(self.video), self._sigma(self.audio))

    def _choose(self, kind: Modality, state: AfterLayer, where: torch.Tensor, ratio: float) -> torch.Tensor:
        if kind is Modality.AUDIO:
            return random_mask(len(where), ratio, self.seed, where.device)
        return super()._choose(kind, state, where, ratio)
