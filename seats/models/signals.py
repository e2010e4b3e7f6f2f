"""What a selection method can have read off the encoders while they run: stated up front, computed in passing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EncoderWants:
    """What a method wants of the encoders' last blocks; by default nothing.

    video_grids: temporal grids per window of the video saliency, None for no video saliency. mean_query: video
    saliency is the attention that a window's mean query pays to its merged tokens (summing to 1), instead of the
    attention its patches receive from all of its queries. audio: windows of the audio saliency, "blocks" of the
    published length (100 encoder frames on Qwen2.5-Omni, 52 on Qwen3-Omni) or the whole "clip", None for no audio
    saliency. keys: the tokens' keys, of both modalities.
    """

    video_grids: int | None = None
    mean_query: bool = False
    audio: Literal["blocks", "clip"] | None = None
    keys: bool = False

    @property
    def of_video(self) -> bool:
        """Whether anything of the vision encoder is wanted."""
        return self.video_grids is not None or self.keys

    @property
    def of_audio(self) -> bool:
        """Whether anything of the audio encoder is wanted."""
        return self.audio is not None or self.keys


@dataclass(frozen=True, eq=False)
class Signals:
    """What was read off one encoder, tokens in sequence order: saliency float32 `[N]`, keys float32 `[N, d]` (mean
    over the patches or frames of a token, then over heads); None where it wasn't wanted."""

    saliency: torch.Tensor | None = None
    keys: torch.Tensor | None = None
