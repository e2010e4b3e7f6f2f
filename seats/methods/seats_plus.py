"""SEATS with some choices made otherwise, by measurement on shapes-and-sounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from seats.methods.base import AfterLayer, ModelShape, Retention, Selection
from seats.methods.seats import Seats
from seats.selection.diversity import diverse_count, diverse_macs, select_diverse, select_even
from seats.selection.schedule import feasible_scale
from seats.tokens.layout import Counts, Modality

FREE_AFTER = "removal_free_after"
"""Key of a model's `seats.json`: the decoder layer, 1-based, from after which removing all video and audio costs
nothing, as `seats analyze` measures it."""
REMOVED = 0.3
"""Share of the tokens behind Stage I that the drop layers remove, where all of them are removed early."""
WINDOW = 128
"""Tokens of one modality among which a drop layer chooses."""


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
        free = shape.settings.get(FREE_AFTER)
        needed = math.ceil(shape.num_layers * max(retention.video, retention.audio) - 1e-9)
        if free is None or max(free, needed) >= usual.late_layer - 1:
            return usual
        last = max(free, needed)
        drops = tuple(layer for layer in usual.drop_layers if layer < last)
        low, high = feasible_scale(shape.num_layers, drops, last + 1)
        scale = 1 / ((1 - REMOVED) / low + REMOVED / high)
        scale = max(low, min(scale, 1 / max(retention.video, retention.audio)))
        return replace(usual, drop_layers=drops, late_layer=last + 1, pre_llm_scale=scale)

    def choose(
        self, kind: Modality, embeds: torch.Tensor, saliency: torch.Tensor | None, window: int, share: float
    ) -> tuple[torch.Tensor, int]:
        if kind is Modality.AUDIO:
            count = diverse_count(len(embeds), window, share)
            return select_even(len(embeds), count, embeds.device), 0
        return super().choose(kind, embeds, None if saliency is None else saliency.square(), window, share)

    def prune(self, state: AfterLayer, ratio: float) -> Selection:
        layout, relevance = state.layout, state.question_relevance()
        counts = layout.counts()
        keep = layout.is_modality(Modality.TEXT)
        kept, macs = {Modality.VIDEO: 0, Modality.AUDIO: 0}, 0
        for kind, n in ((Modality.VIDEO, counts.video), (Modality.AUDIO, counts.audio)):
            where = layout.positions(kind)
            keep[where] = select_diverse(state.hidden[where], relevance[where], WINDOW, ratio)
            kept[kind] = diverse_count(n, WINDOW, ratio)
            macs += diverse_macs(n, state.hidden.shape[1], WINDOW, ratio)
        counts = Counts(counts.text, kept[Modality.VIDEO], kept[Modality.AUDIO])
        return Selection(keep, macs=macs, counts=counts)
