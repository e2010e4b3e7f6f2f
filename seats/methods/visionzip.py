"""VisionZip: before the LLM, per window the most salient tokens, and the rest merged into a few of them.

Source: VisionZip (arXiv 2412.04467), as in the baselines of SEATS (arXiv 2605.20035, github.com/xxayt/SEATS). A window
is a temporal grid of the video or 50 audio tokens. Of a target R, 5 % are contextual tokens, which take in what is like
them, and R - 5 % dominant ones. As published, a contextual token becomes the sum of itself and the mean of what it
takes in, not their average, and counts are truncated (dominant) or rounded (contextual) per window; a product that
only binary fractions put just below a whole number counts as that number, here and in DyCoke. A window keeps at least
one contextual token, and one dominant one where R is above 5 %, so that small windows keep more than R. R below 5 % is
out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from seats.methods.base import BeforeLLM, Method, ModelShape, Retention, Selection
from seats.models.signals import EncoderWants
from seats.selection.baselines import check_visionzip, visionzip_counts, visionzip_macs
from seats.selection.counts import AUDIO_WINDOW, audio_intact
from seats.selection.masks import random_mask, strided_mask, top_mask
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality


@dataclass(frozen=True)
class VisionZipOm(Method):
    """VisionZip on each modality by itself. video, audio: target retention in [0.05, 1]."""

    video: float
    audio: float

    name: ClassVar[str] = "visionzip-om"
    source: ClassVar[str] = "arXiv 2412.04467, as in arXiv 2605.20035"
    wants: ClassVar[EncoderWants] = EncoderWants(video_grids=1, audio="blocks", keys=True)
    reads_text_before_llm: ClassVar[bool] = False

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]
        for what, ratio in (("video", self.video), ("audio", self.audio)):
            check_visionzip(self.name, what, ratio)

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> VisionZipOm:
        return cls(retention.video, retention.audio)

    def before_llm(self, state: BeforeLLM) -> Selection:
        keep = torch.ones(len(state.layout), dtype=torch.bool, device=state.embeds.device)
        embeds = state.embeds.clone()
        macs = 0
        counts = state.layout.counts()
        video, audio = self._shares(counts)
        if counts.video:
            macs += _zip(keep, embeds, state, Modality.VIDEO, state.layout.tokens_per_grid(), video)
        if counts.audio:
            macs += self._choose_audio(keep, embeds, state, audio)
        return Selection(keep, embeds, macs)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        return self.video, self.audio

    def _choose_audio(self, keep: torch.Tensor, embeds: torch.Tensor, state: BeforeLLM, ratio: float) -> int:
        return _zip(keep, embeds, state, Modality.AUDIO, AUDIO_WINDOW, ratio)


@dataclass(frozen=True)
class VisionZip(VisionZipOm):
    """VisionZip on the video tokens, audio kept whole as far as the budget of both allows (`audio_intact`).

    Where it does not, audio is dropped at random. seed: of that draw.
    """

    seed: int = 0

    name: ClassVar[str] = "visionzip"
    wants: ClassVar[EncoderWants] = EncoderWants(video_grids=1, keys=True)

    def __post_init__(self) -> None:
        Retention(self.video, self.audio)  # refuses what is outside (0, 1]; the share of video depends on the clip

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> VisionZip:
        return cls(retention.video, retention.audio, seed)

    def _shares(self, counts: Counts) -> tuple[float, float]:
        video, audio = audio_intact(counts.video, counts.audio, self.video, self.audio)
        if counts.video:
            check_visionzip(self.name, "video", video)
        return video, audio

    def _choose_audio(self, keep: torch.Tensor, embeds: torch.Tensor, state: BeforeLLM, ratio: float) -> int:
        where = state.layout.positions(Modality.AUDIO)
        keep[where] = random_mask(len(where), ratio, self.seed, keep.device)
        return 0


def _zip(keep: torch.Tensor, embeds: torch.Tensor, state: BeforeLLM, kind: Modality, window: int, ratio: float) -> int:
    """Select and merge one modality in `keep` [S] and `embeds` [S, D], window by window; returns the multiply-adds."""
    if state.saliency is None or kind not in state.keys:
        raise ValueError("VisionZip needs the encoders' saliency and keys: encode the clip with the method's wants")
    if ratio >= 1:
        return 0
    where = state.layout.positions(kind)
    n, macs = len(where), 0
    full = n - n % window
    for start, stop, size in ((0, full, window), (full, n, n - full)):
        if start < stop:
            at = where[start:stop].view(-1, size)
            keys = state.keys[kind][start:stop].view(-1, size, state.keys[kind].shape[1])
            counts = visionzip_counts(size, ratio)
            keep[at], embeds[at] = _zip_windows(state.embeds[at], state.saliency[at], keys, *counts)
            macs += len(at) * visionzip_macs(size, ratio, keys.shape[2] + embeds.shape[1])
    return macs


def _zip_windows(
    embeds: torch.Tensor, saliency: torch.Tensor, keys: torch.Tensor, dominant: int, contextual: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of equal size: embeds [W, n, D], saliency [W, n], keys [W, n, d].

    Returns the kept tokens [W, n] bool and the new embeddings [W, n, D].
    """
    n, dim = embeds.shape[1:]
    keep = top_mask(saliency, dominant)
    left = n - dominant
    if not contextual:
        return keep, embeds
    rest = torch.argsort(keep.int(), dim=1, stable=True)[:, :left]  # the tokens not dominant, in order
    is_anchor = strided_mask(left, contextual, embeds.device)
    anchors, others = rest[:, is_anchor], rest[:, ~is_anchor]
    keep = keep.scatter(1, anchors, True)
    unit = keys / (keys.norm(dim=-1, keepdim=True) + 1e-6)
    cosine = _rows(unit, others) @ _rows(unit, anchors).transpose(1, 2)
    member = torch.nn.functional.one_hot(cosine.argmax(-1), contextual).transpose(1, 2).float()  # [W, anchors, others]
    mean = member @ _rows(embeds, others).float() / member.sum(-1, keepdim=True).clamp(min=1)
    new = (_rows(embeds, anchors).float() + mean).to(embeds.dtype)
    return keep, embeds.scatter(1, anchors[..., None].expand(-1, -1, dim), new)


def _rows(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows `index` [W, k] of each window of `x` [W, n, D]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
