"""What happened to the tokens of one prompt. Written by the engine, only read by costs, reports and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from seats.errors import SettingsError
from seats.tokens.counts import Counts, Scored
from seats.tokens.layout import TokenLayout


@dataclass(frozen=True, eq=False)
class Drop:
    """One moment at which tokens went. after_layer: 1-based, 0 for before the LLM. kept: int64 `[K]` origins, on the
    CPU. counts: what is left. relevance: float32 `[S]` of the tokens there before, None if it wasn't asked for."""

    after_layer: int
    kept: torch.Tensor
    counts: Counts
    relevance: torch.Tensor | None = None


@dataclass(eq=False)
class Trace:
    """One prefill and the decoding after it.

    full: tokens of the whole sequence. layout: of the whole sequence, on the CPU. layers: tokens entering each decoder
    layer of the prefill. drops: in order. cache_tokens: per layer, cached tokens at the end of the prefill.
    decoded_tokens: decoding steps run. selection_macs: multiply-adds of the method's own choices. scored: each
    relevance computed. saliency: float32 `[S]` of the whole sequence on the CPU, or None.
    """

    full: Counts
    layout: TokenLayout
    layers: list[Counts] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    cache_tokens: list[int] = field(default_factory=list)
    decoded_tokens: int = 0
    selection_macs: int = 0
    scored: list[Scored] = field(default_factory=list)
    saliency: torch.Tensor | None = None

    def pre_llm(self) -> Counts:
        """Tokens entering the first decoder layer. Raises IndexError where the prompt failed before it."""
        return self.layers[0]

    def retention(self, modality: str) -> float | None:
        """Share of a modality's tokens alive, averaged over the decoder layers; None if the clip has none, or the
        prompt failed before the first layer. modality: "video", "audio", "overall" for both together, or "text". Raises
        SettingsError for anything else."""
        if modality not in ("video", "audio", "overall", "text"):
            raise SettingsError(f"retention of {modality!r} is unknown: choose video, audio, overall or text")

        def count(counts: Counts) -> int:
            return counts.video + counts.audio if modality == "overall" else getattr(counts, modality)

        if not count(self.full) or not self.layers:
            return None
        return sum(map(count, self.layers)) / (len(self.layers) * count(self.full))
