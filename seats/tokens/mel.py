"""Log-mel spectrogram of Whisper's feature extractor, for any length of sound and without its 30 or 300 s limit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch


@dataclass(frozen=True)
class MelSpec:
    """Settings of the feature extractor, as in a model's `preprocessor_config.json`. Lengths in samples.

    padded: whether the stock processor adds silence to the sound (Qwen2.5-Omni), so that an incomplete last hop gives
    a frame; else the sound is reflected at its end and an incomplete hop gives none (Qwen3-Omni).
    """

    bins: int = 128
    sample_rate: int = 16000
    n_fft: int = 400
    hop: int = 160
    padded: bool = True


def mel_frames(samples: int, spec: MelSpec) -> int:
    """Number of mel frames the stock processor counts for a waveform of `samples` samples."""
    return -(-samples // spec.hop) if spec.padded else samples // spec.hop


def log_mel(waveform: np.ndarray, spec: MelSpec, block_frames: int = 30_000) -> torch.Tensor:
    """Log-mel features `[bins, frames]` float32 of a mono float32 waveform `[N]`, long enough for one frame.

    Equal to `WhisperFeatureExtractor` as the stock processors call it. The dynamic range is cut 8 decades (log10)
    below the loudest bin of the whole clip. Works in blocks of `block_frames` frames so that an hour of sound needs
    no spectrum of an hour in memory.
    """
    frames, half = mel_frames(waveform.shape[0], spec), spec.n_fft // 2
    # Silent frames after the sound still hear its end, which can be the loudest there is.
    heard = -(-(waveform.shape[0] + half) // spec.hop) if spec.padded else frames
    padded = torch.from_numpy(_with_margins(waveform, (heard - 1) * spec.hop + half, spec))
    window, filters = torch.hann_window(spec.n_fft, dtype=torch.float32), _filters(spec)
    blocks = []
    for first in range(0, heard, block_frames):
        count = min(block_frames, heard - first)
        samples = padded[first * spec.hop : (first + count - 1) * spec.hop + spec.n_fft]
        spectrum = torch.stft(samples, spec.n_fft, spec.hop, window=window, center=False, return_complex=True)
        blocks.append(torch.clamp(filters @ spectrum.abs().square(), min=1e-10).log10())
    log_spec = torch.cat(blocks, dim=1)
    return (torch.maximum(log_spec[:, :frames], log_spec.max() - 8.0) + 4.0) / 4.0


def _with_margins(waveform: np.ndarray, end: int, spec: MelSpec) -> np.ndarray:
    """The samples that the frames look at: `n_fft // 2` mirrored ones, the sound, and what follows it up to `end`."""
    before, after = spec.n_fft // 2, max(end - waveform.shape[0], 0)
    mirrored = waveform[1 : before + 1][::-1]
    following = np.zeros(0, dtype=np.float32) if spec.padded else waveform[::-1][1 : after + 1]
    return np.concatenate(
        [
            np.pad(mirrored, (before - mirrored.shape[0], 0)),
            waveform,
            np.pad(following, (0, after - following.shape[0])),
        ]
    ).astype(np.float32, copy=False)


@lru_cache(maxsize=4)
def _filters(spec: MelSpec) -> torch.Tensor:
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + spec.n_fft // 2,
        num_mel_filters=spec.bins,
        min_frequency=0.0,
        max_frequency=spec.sample_rate / 2,
        sampling_rate=spec.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(np.ascontiguousarray(filters.T)).float()
