"""Encoders and saliency, timed apart: `encode_clip` times them together, as one step of an answer."""

from __future__ import annotations

import torch

from seats.costs.timers import StepTimer
from seats.models.signals import EncoderWants
from seats.models.thinker import EncodedAudio, EncodedVideo, Thinker


@torch.inference_mode()
def encode_video(
    thinker: Thinker, patches: torch.Tensor, grid: tuple[int, int, int], wants: EncoderWants, timer: StepTimer
) -> EncodedVideo:
    """As `Thinker.encode_video`, with the steps "encode_video" and "saliency"."""
    grid_thw = torch.tensor([grid], device=thinker.device)
    with thinker.vision_probe(wants.of_video) as captured, timer.step("encode_video"):
        out = thinker.vision(patches, grid_thw=grid_thw)
    signals = {}
    if wants.of_video:
        with timer.step("saliency"):
            signals[wants] = thinker.vision_signals(captured, grid, wants)
    return EncodedVideo(out.pooler_output, signals, tuple(getattr(out, "deepstack_features", None) or ()))


@torch.inference_mode()
def encode_audio(thinker: Thinker, mel: torch.Tensor, wants: EncoderWants, timer: StepTimer) -> EncodedAudio:
    """As `Thinker.encode_audio`, with the steps "encode_audio" and "saliency". mel: `[bins, frames]`."""
    with thinker.audio_probe(wants.of_audio) as captured, timer.step("encode_audio"):
        lengths = torch.tensor([mel.shape[1]], device=thinker.device)
        out = thinker.audio(mel.to(thinker.device, thinker.audio.dtype), feature_lens=lengths)
    signals = {}
    if wants.of_audio:
        with timer.step("saliency"):
            signals[wants] = thinker.audio_signals(captured, wants)
    return EncodedAudio(out.last_hidden_state, signals)
