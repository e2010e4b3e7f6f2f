"""Frames and spectrograms as small pictures that fit into a page, encoded with PyAV."""

from __future__ import annotations

import base64
import math
from fractions import Fraction

import av
import numpy as np

from seats.errors import MediaError
from seats.tokens.mel import MelSpec, log_mel

PICTURE_BYTES = 2_400_000
"""All thumbnails of a page together: 3.2 MB as data URIs."""
_LARGEST_SIDE = 448
_SMALLEST_SIDE = 48
_WIDEST_SPECTROGRAM = 8000
_QUALITY = 4
"""On FFmpeg's scale for JPEG: 2 is the best, 31 the worst."""


def jpeg(rgb: np.ndarray, size: tuple[int, int] | None = None) -> bytes:
    """A JPEG of uint8 `[H, W, 3]`. size: (height, width) to resize to."""
    height, width = size or rgb.shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    frame = frame.reformat(width, height, "yuvj420p", dst_colorspace="ITU601", interpolation="AREA")
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 1)
    context.qmin = context.qmax = _QUALITY
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    if not packets:
        raise MediaError("a picture cannot be encoded as JPEG: reinstall av, its FFmpeg lacks what it should have")
    return b"".join(bytes(packet) for packet in packets)


def data_uri(data: bytes) -> str:
    """The bytes of a JPEG as an address that needs no network."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def thumbnails(pixels: np.ndarray, budget: int = PICTURE_BYTES) -> list[bytes]:
    """JPEGs of uint8 frames `[F, 3, H, W]`, as large as `budget` bytes for all of them allow; none with a longer
    side below `_SMALLEST_SIDE` pixels for that, so that many frames take more."""
    height, width = pixels.shape[2:]
    scale = min(1.0, _LARGEST_SIDE / max(height, width))
    least = min(1.0, _SMALLEST_SIDE / max(height, width))
    some = range(0, len(pixels), max(1, len(pixels) // 8))

    def encoded(index: int, scale: float) -> bytes:
        size = (max(2, round(scale * height / 2) * 2), max(2, round(scale * width / 2) * 2))
        return jpeg(pixels[index].transpose(1, 2, 0), size)

    while True:
        used = sum(len(encoded(index, scale)) for index in some) * len(pixels) / len(some)
        if used <= 0.95 * budget or scale <= least:
            made = [encoded(index, scale) for index in range(len(pixels))]
            used = sum(map(len, made))
            if used <= budget or scale <= least:
                return made
        scale = max(least, scale * min(0.9, 0.95 * math.sqrt(budget / used)))


def spectrogram(waveform: np.ndarray, spec: MelSpec, widest: int = _WIDEST_SPECTROGRAM) -> np.ndarray:
    """Log-mel spectrogram uint8 `[bins, columns]`, high frequencies on top, 0 for the least that is heard and 255 for
    the loudest.

    Neighbouring mel frames are joined, the loudest winning, until there are at most `widest` columns.
    """
    mel = log_mel(waveform, spec).numpy()
    step = -(-mel.shape[1] // widest)
    padded = np.pad(mel, ((0, 0), (0, -mel.shape[1] % step)), mode="edge")
    mel = padded.reshape(mel.shape[0], -1, step).max(axis=2)[::-1]
    low, high = float(mel.min()), float(mel.max())
    return np.round(255 * (mel - low) / max(high - low, 1e-6)).astype(np.uint8)
