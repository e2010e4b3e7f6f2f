"""Uniformly random tokens per modality, before the LLM: the baseline every other method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.devices import moved
from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.selection.baselines import random_count
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class Random(Method):
    """Keep max(1, floor(R * N)) tokens of each modality, drawn over the whole clip.

    video, audio: retention R in (0, 1]. seed: of the draw, which is the same on every device.
    """

    video: float
    audio: float
    seed: int = 0

    name: ClassVar[str] = "random"
    source: ClassVar[str] = "baseline of arXiv 2605.20035"
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Random:
        return cls(retention.video, retention.audio, seed)

    def before_llm(self, state: BeforeLLM) -> Selection:
        generator = torch.Generator().manual_seed(int(self.seed))
        keep = torch.ones(len(state.layout), dtype=torch.bool, device=state.embeds.device)
        for kind, ratio in ((Modality.VIDEO, self.video), (Modality.AUDIO, self.audio)):
            where = state.layout.positions(kind)
            drawn = torch.randperm(len(where), generator=generator)
            keep[where[moved(drawn[random_count(len(where), ratio) :], where.device)]] = False
        return Selection(keep)
