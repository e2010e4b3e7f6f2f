"""Whether the installed PyAV decodes what clips are made of: a small sample of each codec, decoded."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sample:
    """kind: "video" or "sound". decoders: FFmpeg's names, any of which will do. extradata, packets: base64."""

    kind: str
    decoders: tuple[str, ...]
    extradata: str
    packets: tuple[str, ...]


# 64 x 64 pixels of grey, or silence at 44.1 or 48 kHz, each encoded with PyAV's own encoder.
SAMPLES = {
    "h264": Sample(
        "video",
        ("h264",),
        extradata="",
        packets=(("AAAAAWdkAAqs2UQmhAAAAwAEAAADAMg8SJZYAAAAAWjr48siwAAAAAFliIQAK//+9nN8JXJY43mS7x25aed6zQPgH+MoCQ=="),),
    ),
    "hevc": Sample(
        "video",
        ("hevc",),
        extradata="",
        packets=(
            (
                "AAAAAUABDAH//wFgAAADAJAAAAMAAAMAHpWYCQAAAAFCAQEBYAAAAwCQAAADAAADAB6gIIEFllZpJMrmgIAAAAMA"
                "gAAADIQAAAABRAHBcrQiQAAAASgBrx2A9wFb1r7M8A=="
            ),
        ),
    ),
    "vp9": Sample(
        "video",
        ("vp9", "libvpx-vp9"),
        extradata="",
        packets=("gkmDQgAD8AP2ADgkHBhKAAAwYAAAE7gYAAAA",),
    ),
    "av1": Sample(
        "video",
        ("libdav1d", "libaom-av1", "av1"),
        extradata="",
        packets=("EgAKCgAAAAKv/41fMAgyDRAAugIIIEEBAAAIAIM=",),
    ),
    "aac": Sample(
        "sound",
        ("aac",),
        extradata="EYhW5QA=",
        packets=(
            "3gIATGF2YzYyLjI4LjEwMgACMEAO",
            "ARggBw==",
        ),
    ),
    "opus": Sample(
        "sound",
        ("opus", "libopus"),
        extradata="T3B1c0hlYWQBATgBgLsAAAAAAA==",
        packets=(
            "+P/+",
            "+P/+",
        ),
    ),
    "mp3": Sample(
        "sound",
        ("mp3float", "mp3"),
        extradata="",
        packets=(
            (
                "//tQxAADwAABpAAAACAAADSAAAAETEFNRTMuMTAwVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVUxBTUUzLjEwMFVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVVVVVQ=="
            ),
            (
                "//tSxF2DwAABpAAAACAAADSAAAAEVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVVVMQU1FMy4xMDBVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVV"
                "VVVVVVVVVVVVVVU="
            ),
        ),
    ),
    "flac": Sample(
        "sound",
        ("flac",),
        extradata="EgASAAAACwAACwu4APAAADYAlN2cyKcbjlxNqQJlCCaTlA==",
        packets=(
            "//haCACBAAAAK4g=",
            "//haCAGGAAAAR/A=",
        ),
    ),
}


def decodes(name: str) -> bool:
    """Whether a sample of the codec comes out of one of its decoders."""
    sample = SAMPLES[name]
    return any(_decodes(sample, decoder) for decoder in sample.decoders)


def _decodes(sample: Sample, decoder: str) -> bool:
    import av
    import av.error

    try:
        context: Any = av.CodecContext.create(decoder, "r")
        if sample.extradata:
            context.extradata = b64decode(sample.extradata)
        if sample.kind == "sound":
            context.layout, context.sample_rate = "mono", 48_000
        packets = [av.Packet(b64decode(packet)) for packet in sample.packets]
        frames = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    except (av.error.FFmpegError, OSError, ValueError, EOFError):
        return False
    return bool(frames)
