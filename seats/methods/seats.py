"""SEATS: stage-adaptive token selection (arXiv 2605.20035)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.errors import SettingsError
from seats.keep import check_reach
from seats.methods.base import AfterLayer, BeforeLLM, Method, ModelShape, Retention, Selection
from seats.models.signals import EncoderWants
from seats.selection.budget import choose_relevant, paired_runs
from seats.selection.counts import AUDIO_WINDOW, diverse_macs, windowed_count
from seats.selection.diversity import select_diverse
from seats.selection.schedule import keep_ratios
from seats.selection.stages import PRE_LLM_SCALE, pre_llm_scale, stage_borders
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class Seats(Method):
    """Three stages: diverse and salient tokens before the LLM, relevant ones between its layers, none at the end.

    video, audio: target retention, the share of a modality's tokens alive averaged over the decoder layers, in
    (0, 1 / pre_llm_scale]. drop_layers: 1-based, tokens go after these layers. late_layer: 1-based, first layer
    without any video or audio token. pre_llm_scale: Stage I keeps this times the target. temperature: of the softmax
    that gives windows their budget.
    """

    video: float
    audio: float
    num_layers: int
    drop_layers: tuple[int, ...]
    late_layer: int
    pre_llm_scale: float = PRE_LLM_SCALE
    temperature: float = 0.1

    name: ClassVar[str] = "seats"
    source: ClassVar[str] = "arXiv 2605.20035"
    wants: ClassVar[EncoderWants] = EncoderWants(video_grids=2, audio="blocks")
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for what, ratio in (("video", self.video), ("audio", self.audio)):
            if not 0 < ratio * self.pre_llm_scale <= 1 + 1e-9:
                raise SettingsError(
                    f"{self.name} cannot keep {100 * ratio:.4g} % of the {what} tokens: choose more than 0 and at most "
                    f"{100 / self.pre_llm_scale:.1f} % of them"
                )

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Seats:
        """Published settings for the 7B and 30B; the model's own `seats.json` if it has one; else by depth."""
        own, most = shape.settings, max(retention.video, retention.audio)
        borders = stage_borders(shape.family, shape.num_layers, own)
        scale = pre_llm_scale(shape.num_layers, borders, own, most)
        check_reach(cls.name, shape.family, retention.video, retention.audio, 1 / scale)
        return cls(
            video=retention.video,
            audio=retention.audio,
            num_layers=shape.num_layers,
            drop_layers=borders.drop_layers,
            late_layer=borders.late_layer,
            pre_llm_scale=scale,
            temperature=borders.temperature,
        )

    @property
    def layers(self) -> tuple[int, ...]:
        before_removal = (layer for layer in self.drop_layers if layer < self.late_layer - 1)
        return (*before_removal, self.late_layer - 1)

    def before_llm(self, state: BeforeLLM) -> Selection:
        """Stage I: per window of 2 temporal grids, or of 50 audio tokens, the most diverse salient tokens."""
        layout, counts = state.layout, state.layout.counts()
        keep = torch.ones(len(layout), dtype=torch.bool, device=state.embeds.device)
        macs, kept = 0, {Modality.VIDEO: 0, Modality.AUDIO: 0}
        for kind, n, ratio in (
            (Modality.VIDEO, counts.video, self.video),
            (Modality.AUDIO, counts.audio, self.audio),
        ):
            if not n:
                continue
            window = 2 * layout.tokens_per_grid() if kind is Modality.VIDEO else AUDIO_WINDOW
            where = layout.positions(kind)
            saliency = None if state.saliency is None else state.saliency[where]
            share = min(1.0, ratio * self.pre_llm_scale)
            chosen, work = self.choose(kind, state.embeds[where], saliency, window, share)
            keep[where] = chosen
            kept[kind] = windowed_count(n, window, share)
            macs += work
        return Selection(keep, macs=macs, counts=Counts(counts.text, kept[Modality.VIDEO], kept[Modality.AUDIO]))

    def after_layer(self, state: AfterLayer) -> Selection:
        """Stage II at a drop layer, Stage III before the late layer."""
        if state.layer == self.late_layer - 1:
            layout = state.layout
            return Selection(layout.is_modality(Modality.TEXT), counts=Counts(layout.counts().text, 0, 0))
        return self.prune(state, self._keep_ratios()[self.drop_layers.index(state.layer)])

    def choose(
        self, kind: Modality, embeds: torch.Tensor, saliency: torch.Tensor | None, window: int, share: float
    ) -> tuple[torch.Tensor, int]:
        """Stage I for one modality: bool `[N]` with `windowed_count` tokens to keep, and its multiply-adds.

        embeds `[N, D]`, saliency `[N]` or None. window: tokens. share: of a window to keep, in (0, 1].
        """
        keep = select_diverse(embeds, saliency, window, share)
        return keep, diverse_macs(len(embeds), embeds.shape[1], window, share)

    def prune(self, state: AfterLayer, ratio: float) -> Selection:
        """Stage II at one drop layer. ratio: share of the video and audio tokens there to keep, in (0, 1]."""
        layout = state.layout
        # As published, of what is left: where Stage I took a window's pictures, its sound belongs to the one before.
        windows = paired_runs(layout.modality, layout.parted())
        chosen = choose_relevant(state.relevance(), layout.modality, windows, ratio, ratio, self.temperature)
        return Selection(chosen.keep, counts=Counts(layout.counts().text, chosen.video, chosen.audio))

    def _keep_ratios(self) -> tuple[float, ...]:
        """Keep ratio per drop step; the target cancels out, so both modalities share it."""
        return keep_ratios(self.num_layers, self.drop_layers, self.late_layer, self.pre_llm_scale)
