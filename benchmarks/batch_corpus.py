"""The clips that the measurements of `seats batch` are made on: cut from samples/, drawn anew, bad ones, damaged ones.

All of it follows from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "libopus"),
    ".webm": ("libvpx", "libopus"),
    ".wav": (None, "pcm_s16le"),
    ".mp3": (None, "libmp3lame"),
}
"""Containers and what is put into them: codecs of picture and sound."""
_RATE = 48_000
BAD = ("empty", "cut", "text", "noise", "no-streams")


@dataclass(frozen=True)
class Source:
    """A sample, decoded. frames: RGB pictures. sound: float32 `[N]` at 48 kHz; empty where there is none."""

    name: str
    rate: Fraction
    frames: list[np.ndarray]
    sound: np.ndarray


def read_source(path: Path) -> Source:
    """Decode a sample whole."""
    with av.open(str(path)) as container:
        frames, sound, rate = [], [], Fraction(1)
        if container.streams.video:
            rate = container.streams.video[0].average_rate
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            elif isinstance(frame, av.AudioFrame):
                sound.append(frame.to_ndarray()[0])
    return Source(path.stem, rate, frames, np.concatenate(sound) if sound else np.zeros(0, np.float32))


def read_sources() -> list[Source]:
    """All samples, by name."""
    return [read_source(path) for path in sorted(SAMPLES.glob("*.m[p4][4a]"))]


def write_cut(source: Source, path: Path, start_s: float, length_s: float, crf: int = 28, scale: int = 1) -> None:
    """Encode a part of a sample; the container goes by the path's suffix. What the sample lacks is left out.

    scale: how many times larger than the sample the picture is.
    """
    video_codec, audio_codec = CODECS[path.suffix]
    first = int(start_s * source.rate)
    frames = source.frames[first : first + max(int(length_s * source.rate), 1)] if video_codec else []
    sound = source.sound[int(start_s * _RATE) : int((start_s + length_s) * _RATE)]
    with av.open(str(path), "w") as out:
        video = audio = None
        if frames:
            video = out.add_stream(video_codec, rate=source.rate)
            video.height, video.width = (scale * side for side in frames[0].shape[:2])
            video.pix_fmt = "yuv420p"
            video.gop_size = 15
            video.codec_context.thread_count = 1
            fast = {"preset": "ultrafast", "crf": str(crf)}
            video.options = fast if video_codec == "libx264" else {"deadline": "realtime", "cpu-used": "8"}
        if len(sound):
            audio = out.add_stream(audio_codec, rate=_RATE, layout="mono")
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            out.mux(video.encode(frame.reformat(video.width, video.height, format="yuv420p")))
        if video is not None:
            out.mux(video.encode(None))
        if audio is not None:
            _write_sound(out, audio, sound)


def _write_sound(out: av.container.OutputContainer, stream: av.AudioStream, sound: np.ndarray) -> None:
    if not stream.codec_context.is_open:
        stream.codec_context.open()
    step = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=_RATE, frame_size=step)
    for begin in range(0, len(sound), step):
        piece = np.ascontiguousarray(sound[None, begin : begin + step], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = _RATE, Fraction(1, _RATE), begin
        for ready in resampler.resample(frame):
            out.mux(stream.encode(ready))
    for ready in resampler.resample(None):
        out.mux(stream.encode(ready))
    out.mux(stream.encode(None))


def make_clips(folder: Path, count: int, bad: int, seed: int = 0, drawn: int = 0) -> tuple[list[Path], list[Path]]:
    """Write `count` different clips of 1 to 4 s, `bad` of them unreadable and `drawn` of them by the generator of
    shapes-and-sounds; return the good and the bad."""
    rng = random.Random(seed)
    sources = read_sources()
    good: list[Path] = []
    spoilt: list[Path] = []
    unlucky = set(rng.sample(range(count), bad))
    suffixes = [*CODECS, ".mp4", ".mp4"]
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        if number in unlucky:
            path = folder / f"{number:04}-{BAD[len(spoilt) % len(BAD)]}.mp4"
            spoil(path, BAD[len(spoilt) % len(BAD)], rng)
            spoilt.append(path)
        elif len(good) < drawn:
            good.append(folder / f"{number:04}-drawn.mp4")
            _draw(good[-1], number, rng)
        else:
            source = rng.choice([s for s in sources if len(s.sound) or CODECS[suffix][0]])
            if not source.frames:
                suffix = ".mp3"
            total = max(len(source.sound) / _RATE, float(len(source.frames) / source.rate))
            length = rng.uniform(1, min(4, total))
            good.append(folder / f"{number:04}-{source.name}{suffix}")
            write_cut(source, good[-1], rng.uniform(0, total - length), length, crf=rng.randint(20, 32))
    return good, spoilt


def _draw(path: Path, number: int, rng: random.Random) -> None:
    from seats.nano.files import write_clip
    from seats.nano.world import describe_clip

    write_clip(describe_clip("sample", 50_000 + number, 4), path)


def spoil(path: Path, how: str, rng: random.Random) -> None:
    """Write a file that is no clip. how: one of BAD."""
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":  # before the index, which is at the end
        write_cut(read_source(SAMPLES / "simple.mp4"), path, rng.uniform(0, 1), 2)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "text":
        path.write_text("A letter, not a clip.\n" * rng.randint(10, 1000))
    elif how == "noise":
        path.write_bytes(rng.randbytes(rng.randint(1_000, 50_000)))
    else:  # an mp4 with a header and no tracks
        header = b"mvhd" + bytes(12) + (1000).to_bytes(4, "big") + (2000).to_bytes(4, "big") + bytes(80)
        moov = b"moov" + (len(header) + 4).to_bytes(4, "big") + header
        path.write_bytes(b"\0\0\0\x14ftypisom\0\0\2\0isom" + (len(moov) + 4).to_bytes(4, "big") + moov)


@dataclass(frozen=True)
class Mutant:
    """A damaged file. parent: what it was made of. how: what was done to it."""

    path: Path
    parent: Path
    how: str


def make_parents(folder: Path) -> list[Path]:
    """The undamaged files that mutants are made of: two of each container, 3 s long."""
    folder.mkdir(parents=True, exist_ok=True)
    parents = []
    for name, start_s in (("ten-seconds", 2.0), ("crowded", 1.0)):
        source = read_source(SAMPLES / f"{name}.mp4")
        for suffix in CODECS:
            parents.append(folder / f"{name}{suffix}")
            write_cut(source, parents[-1], start_s, 3.0)
    return parents


def make_mutants(folder: Path, parents: list[Path], count: int, seed: int = 0) -> Iterator[Mutant]:
    """Write damaged files one by one; the caller may delete each before the next."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {path: path.read_bytes() for path in parents}
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        parent = parents[number % len(parents)]
        how = rng.choice(tuple(_MUTATIONS))
        damaged = _MUTATIONS[how](bytearray(contents[parent]), rng, list(contents.values()))
        path = folder / f"{number:04}-{how}{parent.suffix}"
        path.write_bytes(damaged)
        yield Mutant(path, parent, how)


def _flip(data: bytearray, rng: random.Random, _: list[bytes], end: int | None = None) -> bytes:
    """Some bits, from one to one in a thousand bytes."""
    end = end or len(data)
    for _number in range(round(2 ** rng.uniform(0, max(np.log2(end / 1000), 3)))):
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flip_header(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    """Some bits near the beginning or the end, where headers and indexes are."""
    if rng.random() < 0.5:
        return _flip(data, rng, others, min(2_000, len(data)))
    tail = bytearray(data[-4_000:])
    return bytes(data[:-4_000]) + _flip(tail, rng, others)


def _cut(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """The end is missing."""
    return bytes(data[: rng.randrange(1, len(data))])


def _behead(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """The beginning is missing."""
    return bytes(data[rng.randrange(1, len(data)) :])


def _splice(data: bytearray, rng: random.Random, others: list[bytes]) -> bytes:
    """The beginning of another file, of any container, before this one's rest."""
    other = rng.choice(others)
    cut = rng.choice((32, 256, 1_000, 4_000, 16_000))
    return other[:cut] + bytes(data[cut if rng.random() < 0.5 else 0 :])


def _hole(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """A stretch of zeros, of ones, or of noise."""
    start, size = rng.randrange(len(data)), rng.choice((4, 64, 1_024, 16_384))
    fill = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    data[start : start + size] = fill[: len(data) - start]
    return bytes(data)


def _lose(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """A stretch is missing, or there twice."""
    start, size = rng.randrange(len(data)), rng.choice((1, 16, 512, 8_192))
    piece = bytes(data[start : start + size])
    return bytes(data[:start]) + (piece + piece if rng.random() < 0.5 else b"") + bytes(data[start + size :])


def _number(data: bytearray, rng: random.Random, _: list[bytes]) -> bytes:
    """Large numbers where the header has sizes, counts, times and rates."""
    for _count in range(rng.randint(1, 4)):
        near_end = rng.random() < 0.5
        reach = min(3_000, len(data) - 8)
        at = len(data) - 8 - rng.randrange(reach) if near_end else rng.randrange(reach)
        value = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, rng.getrandbits(32), rng.getrandbits(16)))
        data[at : at + 4] = value.to_bytes(4, rng.choice(("big", "little")))
    return bytes(data)


_MUTATIONS = {
    "flip": _flip,
    "flip-header": _flip_header,
    "cut": _cut,
    "behead": _behead,
    "splice": _splice,
    "hole": _hole,
    "lose": _lose,
    "number": _number,
}
