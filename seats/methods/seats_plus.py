"""SEATS with some choices made otherwise, by measurement on shapes-and-sounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from seats.methods.base import AfterLayer, ModelShape, Retention, Selection
from seats.methods.seats import Seats
from seats.selection.counts import diverse_macs, windowed_count
from seats.selection.diversity import select_diverse, select_even
from seats.selection.stages import WINDOW, early_removal, stage_borders
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class SeatsPlus(Seats):
    """`seats` that weighs saliency more, hears evenly, prunes a little by the whole question, and lets go early.

    Stage I multiplies distances of video tokens with the square of the saliency, and keeps audio tokens at even
    distances in time. Stage II chooses as Stage I does, tokens unlike one another in what the last layer made of them,
    weighed by the attention that all text behind the clip is about to pay them in the next layer. Stage III comes after
    the layer from which on removal is measured to be free, where the model's `seats.json` tells it and the layers
    before it can hold the target; what late layers no longer hold, early ones do, so that the retention is the same.
    Fields are those of `seats`.
    """

    name: ClassVar[str] = "seats+"
    source: ClassVar[str] = "this project, from arXiv 2605.20035"

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Seats:
        usual = super().for_model(shape, retention, seed)
        borders = stage_borders(shape.family, shape.num_layers, shape.settings)
        early = early_removal(shape.num_layers, borders, shape.settings, max(retention.video, retention.audio))
        if early is None:
            return usual
        borders, scale = early
        return replace(usual, drop_layers=borders.drop_layers, late_layer=borders.late_layer, pre_llm_scale=scale)

    def choose(
        self, kind: Modality, embeds: torch.Tensor, saliency: torch.Tensor | None, window: int, share: float
    ) -> tuple[torch.Tensor, int]:
        if kind is Modality.AUDIO:
            count = windowed_count(len(embeds), window, share)
            return select_even(len(embeds), count, embeds.device), 0
        return super().choose(kind, embeds, None if saliency is None else saliency.square(), window, share)

    def prune(self, state: AfterLayer, ratio: float) -> Selection:
        layout, relevance = state.layout, state.question_relevance()
        counts = layout.counts()
        keep = layout.is_modality(Modality.TEXT)
        kept, macs = [], 0
        for kind, n in ((Modality.VIDEO, counts.video), (Modality.AUDIO, counts.audio)):
            where = layout.positions(kind)
            keep[where] = select_diverse(state.hidden[where], relevance[where], WINDOW, ratio)
            kept.append(windowed_count(n, WINDOW, ratio))
            macs += diverse_macs(n, state.hidden.shape[1], WINDOW, ratio)
        return Selection(keep, macs=macs, counts=Counts(counts.text, *kept))
