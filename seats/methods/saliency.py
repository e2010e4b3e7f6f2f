"""The most salient tokens of each window, before the LLM: SEATS' Stage I without its diversity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.models.signals import EncoderWants
from seats.selection.counts import AUDIO_WINDOW, keep_count
from seats.selection.masks import top_mask
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class Saliency(Method):
    """Keep the tokens that received most attention in their encoder, and look at nothing else.

    A control, not a published method: what it loses against `seats` is what diversity and the question are worth.
    video, audio: retention in (0, 1], of each window of 2 temporal grids or 50 audio tokens, rounded half to even, at
    least one token.
    """

    video: float
    audio: float

    name: ClassVar[str] = "saliency"
    source: ClassVar[str] = "control; saliency and windows of arXiv 2605.20035"
    wants: ClassVar[EncoderWants] = EncoderWants(video_grids=2, audio="blocks")
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Saliency:
        return cls(retention.video, retention.audio)

    def before_llm(self, state: BeforeLLM) -> Selection:
        layout = state.layout
        keep = torch.ones(len(layout), dtype=torch.bool, device=state.embeds.device)
        for kind, ratio in ((Modality.VIDEO, self.video), (Modality.AUDIO, self.audio)):
            where = layout.positions(kind)
            if not len(where):
                continue
            if state.saliency is None:
                raise ValueError("`saliency` needs the encoders' saliency: encode the clip with the method's wants")
            window = 2 * layout.tokens_per_grid() if kind is Modality.VIDEO else AUDIO_WINDOW
            kept = [top_mask(part, keep_count(len(part), ratio)) for part in state.saliency[where].split(window)]
            keep[where] = torch.cat(kept)
        return Selection(keep)
