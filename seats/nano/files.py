"""A described clip as a real file: H.264 and AAC in mp4, or AAC alone in m4a."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr

from seats.nano.render_audio import SAMPLE_RATE, render_waveform
from seats.nano.render_video import render_frames
from seats.nano.world import FRAME_SIZE, ClipDescription

FILE_SAMPLE_RATE = 48_000
_BLOCK = 1024


def write_clip(clip: ClipDescription, path: Path, crf: int = 26, audio_bit_rate: int = 64_000) -> None:
    """Write a clip to `path` (".mp4", or ".m4a" for sound alone).

    Args:
        crf: quality of the picture, 18 (very good) to 30 (poor).
        audio_bit_rate: bits a second of the sound.
    """
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = "shapes-and-sounds"
        video = _add_video(container, clip, crf) if clip.has_video else None
        audio = _add_audio(container, audio_bit_rate) if clip.has_audio else None
        if video is not None:
            _encode_video(container, video, clip)
        if audio is not None:
            _encode_audio(container, audio, clip)


def _add_video(container: av.container.OutputContainer, clip: ClipDescription, crf: int) -> av.VideoStream:
    rate = Fraction(clip.source_fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate)
    stream.width = stream.height = FRAME_SIZE
    stream.pix_fmt = "yuv420p"
    # One thread and no macroblock tree: with it x264 codes sizes that are no multiple of 16 differently each time.
    stream.codec_context.thread_count = 1
    stream.options = {"crf": str(crf), "preset": "medium", "x264-params": "threads=1:mbtree=0"}
    return stream


def _add_audio(container: av.container.OutputContainer, bit_rate: int) -> av.AudioStream:
    stream = container.add_stream("aac", rate=FILE_SAMPLE_RATE, layout="mono")
    stream.bit_rate = bit_rate
    return stream


def _encode_video(container: av.container.OutputContainer, stream: av.VideoStream, clip: ClipDescription) -> None:
    count = round(clip.seconds * clip.source_fps)
    frames, _ = render_frames(clip, np.arange(count) / clip.source_fps)
    for image in frames:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    container.mux(stream.encode(None))


def _encode_audio(container: av.container.OutputContainer, stream: av.AudioStream, clip: ClipDescription) -> None:
    wave = soxr.resample(render_waveform(clip), SAMPLE_RATE, FILE_SAMPLE_RATE).astype(np.float32)
    for first in range(0, len(wave), _BLOCK):
        frame = av.AudioFrame.from_ndarray(wave[None, first : first + _BLOCK], format="fltp", layout="mono")
        frame.sample_rate = FILE_SAMPLE_RATE
        frame.pts = first
        frame.time_base = Fraction(1, FILE_SAMPLE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
