"""Decoded clips without a file, and the stock inputs they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from seats.inference.encode import Prompt
from seats.media import Audio, Clip, Video
from seats.models.omni import OmniModel
from seats.tokens.mel import log_mel
from seats.tokens.patches import patchify


def clip_of(
    side: int, *, frames: int = 6, fps: float = 2.0, seconds: float = 3.3, size: tuple[int, int] = (2, 3), seed: int = 0
) -> Clip:
    """Noise to look at and to listen to. side: pixels of a token; size: of the frames, in tokens; 0 frames or seconds
    for a clip without pictures or sound."""
    made = np.random.default_rng(seed)
    pixels = made.integers(0, 256, (frames, 3, size[0] * side, size[1] * side), dtype=np.uint8)
    swell = np.linspace(0.1, 1, int(16_000 * seconds))
    sound = (made.standard_normal(len(swell)) * 0.2 * swell).astype(np.float32)
    video = Video(torch.from_numpy(pixels), tuple(n / fps for n in range(frames)), fps, 64, 48, fps, "h264")
    end = max(seconds, frames / fps)
    return Clip(
        Path("clip.mp4"),
        0.0,
        end,
        end,
        video if frames else None,
        Audio(sound, 48_000, 2, "aac") if seconds else None,
    )


def stock_inputs(model: OmniModel, clip: Clip, prompt: Prompt) -> dict[str, Any]:
    """What the stock processor would hand to `generate()` for the same clip and ids."""
    ids = prompt.sequence.ids[None]
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if clip.video is not None:
        inputs["pixel_values_videos"], grid = patchify(clip.video.pixels, model.patches)
        inputs["video_grid_thw"] = torch.tensor([grid])
        inputs["video_second_per_grid"] = torch.tensor([2 / clip.video.fps])
    if clip.audio is not None:
        inputs["input_features"] = log_mel(clip.audio.waveform, model.mel)[None]
        inputs["feature_attention_mask"] = torch.ones(1, inputs["input_features"].shape[2], dtype=torch.long)
    if clip.video is not None and clip.audio is not None:
        inputs["use_audio_in_video"] = True
    return inputs
