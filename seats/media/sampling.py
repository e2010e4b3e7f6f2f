"""How many frames are taken from a clip and at which size: the rule of qwen-omni-utils 0.0.9.

The numbers equal `smart_nframes`, `smart_resize` and the size budget of `fetch_video` in
`qwen_omni_utils/v2_5/vision_process.py`; where that code stops with an error (one-frame clips, very thin
pictures) this one goes on, and the docstrings say how.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from seats.checks import check_number, check_whole, set_checked
from seats.errors import MediaError, SettingsError

# Two frames make one temporal patch, so frames are always taken in pairs.
FRAMES_PER_PATCH = 2
# The reference refuses pictures more than 200 times as long as wide.
MAX_ASPECT_RATIO = 200

_MIN_TOKENS = 128
_MAX_TOKENS = 768
# 90 % of the context of 128,000 tokens that the reference assumes, in merged tokens of one frame.
_TOTAL_TOKENS = 115_200


@dataclass(frozen=True)
class FrameSampling:
    """Which frames of a clip are taken and how large they become.

    Args:
        fps: Frames per second asked for, > 0. The rate reached can differ; see `Video.fps`.
        min_frames: Fewest frames, where the source has that many; >= 2. An odd number counts as the even one above
            it, and of a source with an odd number one is left out. `max_frames` wins over it.
        max_frames: Most frames, >= 2; an odd number counts as the even one below it.
        factor: Pixels per side of one merged token: patch size times 2. 28 for Qwen2.5-Omni, 32 for
            Qwen3-Omni.
        min_pixels: Fewest pixels (height times width) of a resized frame, to which smaller ones are enlarged.
        max_pixels: Most pixels of a resized frame, but for small ones where this is near `min_pixels`: enlarged, they
            can come to half as many more, and thin ones, or such of a few tokens, to more than that (see
            `smart_resize`). Values above 768 tokens are honoured (the reference caps them).
        total_pixels: Budget of all frames together, counting two frames as one; it lowers the size of the
            frames of long clips, never below 1.05 times `min_pixels`.

    The defaults are those of the reference for `factor=28`; `for_factor` gives them for another factor.

    Raises:
        SettingsError: A value of another type or outside its range, or `max_pixels` below `min_pixels`.
    """

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    factor: int = 28
    min_pixels: int = _MIN_TOKENS * 28 * 28
    max_pixels: int = _MAX_TOKENS * 28 * 28
    total_pixels: int = _TOTAL_TOKENS * 28 * 28

    def __post_init__(self) -> None:
        set_checked(self, check_number, "fps", "min_pixels", "max_pixels", "total_pixels")
        set_checked(self, check_whole, "min_frames", "max_frames", "factor")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise SettingsError(f"fps is {self.fps}; it must be a number above 0")
        for name in ("min_frames", "max_frames"):
            if getattr(self, name) < FRAMES_PER_PATCH:
                raise SettingsError(f"{name} is {getattr(self, name)}; frames are taken in pairs, so give 2 or more")
        for name in ("factor", "min_pixels", "max_pixels", "total_pixels"):
            if not getattr(self, name) >= 1:  # NaN is not
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.max_pixels < self.min_pixels:
            raise SettingsError(f"max_pixels ({self.max_pixels}) is below min_pixels ({self.min_pixels}): lower both")

    @classmethod
    def for_factor(cls, factor: int) -> "FrameSampling":
        """Return the reference's defaults for tokens of `factor` x `factor` pixels."""
        area = factor * factor
        return cls(
            factor=factor,
            min_pixels=_MIN_TOKENS * area,
            max_pixels=_MAX_TOKENS * area,
            total_pixels=_TOTAL_TOKENS * area,
        )

    def changed(self, **said: Any) -> "FrameSampling":
        """Return the rule with other settings; None leaves one as it is.

        A `max_pixels` below `min_pixels` lowers that as well, unless `min_pixels` is given too: smaller frames are then
        enlarged to about `max_pixels`.
        """
        given = {name: value for name, value in said.items() if value is not None}
        if "max_pixels" in given:
            check_number("max_pixels", given["max_pixels"])
            given.setdefault("min_pixels", min(self.min_pixels, given["max_pixels"]))
        return replace(self, **given)


def frames_told(frames: int, fps: float, still: bool) -> str:
    """Return in words what was sampled. still: all frames are the same picture, of which no rate is to be told."""
    return "one picture" if still else f"{frames} frames at {fps:.3g} fps"


def smart_nframes(total_frames: int, video_fps: float, sampling: FrameSampling | None = None) -> int:
    """Return how many frames to take from a clip: an even number >= 2.

    Args:
        total_frames: Frames in the asked range, >= 1.
        video_fps: Frames per second of the source, > 0.
        sampling: The rule's settings; the reference's defaults if None.

    A clip of a single frame gives 2 (the frame is taken twice), where the reference raises.

    Raises:
        MediaError: `total_frames` < 1 or `video_fps` not a positive number.
    """
    sampling = sampling or FrameSampling()
    if total_frames < 1 or not (math.isfinite(video_fps) and video_fps > 0):
        raise MediaError(f"no frames to sample: {total_frames} frames at {video_fps} frames per second")
    low = _ceil_to(sampling.min_frames, FRAMES_PER_PATCH)
    high = _floor_to(sampling.max_frames, FRAMES_PER_PATCH)
    wanted = min(max(total_frames / video_fps * sampling.fps, low), high, total_frames)
    return max(_floor_to(wanted, FRAMES_PER_PATCH), FRAMES_PER_PATCH)


def smart_resize(height: int, width: int, *, factor: int, min_pixels: float, max_pixels: float) -> tuple[int, int]:
    """Return (height, width) in multiples of `factor`, near the pixel bounds, nearly keeping the aspect ratio.

    Args:
        height, width: Size of the source, pixels, >= 1.
        factor: Pixels per side of one merged token.
        min_pixels, max_pixels: Bounds of height times width. A very thin picture can exceed the upper one,
            because no side becomes shorter than `factor` (the reference would return a side of 0 there). Bounds that
            lie close together are met as nearly as the reference meets them: what is shrunk is rounded down, maybe
            below the lower one, and what is enlarged is rounded up, maybe above the upper one.

    Raises:
        MediaError: A side below 1 pixel or an aspect ratio above 200.
        SettingsError: `max_pixels` < `min_pixels`.
    """
    if height < 1 or width < 1:
        raise MediaError(f"the picture has no pixels ({width}x{height}); the file is damaged")
    if max_pixels < min_pixels:
        raise SettingsError(f"max_pixels ({max_pixels}) is below min_pixels ({min_pixels}): lower both")
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise MediaError(f"the picture is {width}x{height}, longer than {MAX_ASPECT_RATIO}:1; crop it first")
    # round() to even at ties, as the reference does
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        new_height = max(factor, _floor_to(height / shrink, factor))
        new_width = max(factor, _floor_to(width / shrink, factor))
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height = _ceil_to(height * grow, factor)
        new_width = _ceil_to(width * grow, factor)
    return new_height, new_width


def shown_size(height: int, width: int, turned: bool, aspect: float) -> tuple[int, int]:
    """Return the (height, width) in square pixels at which players show a picture.

    Args:
        height, width: Size of the source after rotation, pixels.
        turned: It is stored on its side.
        aspect: Width of a pixel by its height, as stored.
    """
    return (round(height * aspect), width) if turned else (height, round(width * aspect))


def frame_size(height: int, width: int, frames: int, sampling: FrameSampling | None = None) -> tuple[int, int]:
    """Return the (height, width) that each of `frames` frames is resized to, the total budget respected.

    Args:
        height, width: Size of the source as shown, square pixels; see `shown_size`.
        frames: Number of frames taken, as `smart_nframes` gives it.
        sampling: The rule's settings; the reference's defaults if None.

    Raises:
        MediaError: The picture cannot be resized; see `smart_resize`.
    """
    sampling = sampling or FrameSampling()
    share = max(sampling.total_pixels / frames * FRAMES_PER_PATCH, int(sampling.min_pixels * 1.05))
    return smart_resize(
        height,
        width,
        factor=sampling.factor,
        min_pixels=sampling.min_pixels,
        max_pixels=min(sampling.max_pixels, share),
    )


def _floor_to(number: float, factor: int) -> int:
    return math.floor(number / factor) * factor


def _ceil_to(number: float, factor: int) -> int:
    return math.ceil(number / factor) * factor
