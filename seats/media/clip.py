"""What a file on disk becomes: sampled frames and a waveform on one clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16_000


@dataclass(frozen=True, eq=False)
class Video:
    """The frames taken from a clip, evenly spaced in time.

    Args:
        pixels: uint8 `[F, 3, H, W]`, RGB, full range; F even, H and W multiples of the sampling's factor.
        times: F numbers, seconds from the clip's start at which the frame taken was first shown; never
            falling. A frame that stays on the screen longer than the sampling step is taken, and listed,
            again; the first number is negative where the frame on the screen at the clip's start was shown
            before it.
        fps: True rate of the sampled frames, per second: frames divided by the seconds they cover.
        source_width, source_height: Size in the file, pixels, after rotation.
        source_fps: Average frames per second of the source in the asked range.
        codec: Name of the codec, such as "h264".
    """

    pixels: torch.Tensor
    times: tuple[float, ...]
    fps: float
    source_width: int
    source_height: int
    source_fps: float
    codec: str

    @property
    def still(self) -> bool:
        """Whether all frames are the same picture."""
        return self.times[0] == self.times[-1]


@dataclass(frozen=True, eq=False)
class Audio:
    """The sound of a clip, from the clip's first moment on.

    Args:
        waveform: float32 `[N]`, mono, 16 kHz, in [-1, 1] unless the source is louder; sample n sounds n /
            16000 seconds after the clip's start. Gaps and a late start are silence.
        source_rate: Samples per second in the file, Hz.
        channels: Channels in the file, averaged into one here.
        codec: Name of the codec, such as "aac".
        sample_rate: Hz, always 16000.
    """

    waveform: np.ndarray
    source_rate: int
    channels: int
    codec: str
    sample_rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Length of the waveform, seconds."""
        return len(self.waveform) / self.sample_rate


@dataclass(frozen=True, eq=False)
class Clip:
    """One media file, or the asked part of it, ready to become tokens.

    Args:
        path: The file.
        start_s, end_s: The part read, seconds from the file's start; `end_s` is never past the file's end.
        duration_s: Length of the whole file, seconds: the header's, or what was read where the header is
            silent or wrong.
        video: None if the file has no pictures or they were not asked for.
        audio: None if the file has no sound or it was not asked for.
        notes: What a user must know about how the file was read: no sound track, damaged frames, an early
            end.
    """

    path: Path
    start_s: float
    end_s: float
    duration_s: float
    video: Video | None
    audio: Audio | None
    notes: tuple[str, ...] = ()
