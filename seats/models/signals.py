"""What a selection method can have read off the encoders while they run: stated up front, computed in passing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from seats.checks import check_flag, check_whole, set_checked
from seats.errors import SettingsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EncoderWants:
    """What a method wants of the encoders' last blocks; by default nothing.

    video_grids: temporal grids per window of the video saliency, None for no video saliency. mean_query: video
    saliency is the attention that a window's mean query pays to its merged tokens (summing to 1), instead of the
    attention its patches receive from all of its queries. audio: windows of the audio saliency, "blocks" of the
    published length (100 encoder frames on Qwen2.5-Omni, 52 on Qwen3-Omni) or the whole "clip", None for no audio
    saliency. keys: the tokens' keys, of both modalities. Raises SettingsError for anything else.
    """

    video_grids: int | None = None
    mean_query: bool = False
    audio: Literal["blocks", "clip"] | None = None
    keys: bool = False

    def __post_init__(self) -> None:
        if self.video_grids is not None:
            set_checked(self, check_whole, "video_grids")
            if self.video_grids < 1:
                raise SettingsError(f"video_grids is {self.video_grids}; a window has at least 1")
        check_flag("mean_query", self.mean_query)
        check_flag("keys", self.keys)
        if self.audio not in (None, "blocks", "clip"):
            raise SettingsError(f"audio is {self.audio!r}; it must be 'blocks', 'clip' or None")

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
