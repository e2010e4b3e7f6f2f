"""Reading the pictures of a clip: seats against torchcodec and decord, the same frames of the same files.

    pip install torchcodec decord          # torchcodec needs FFmpeg's shared libraries on the system
    python benchmarks/record.py clip-decoding -- python benchmarks/clip_decoding.py

Each reader gives the frames that seats samples (2 a second), as uint8 RGB at the size that the model takes. Torchcodec
and decord are used as qwen-omni-utils uses them (frames by index at source size, then antialiased bicubic resizing by
torch); torchcodec also with the resizing done inside it, where its release can, and both with as many decoding threads
as there are cores as well as with their defaults. A round runs every reader once, each time opening the file anew;
times are medians over rounds with their range. Frames are checked to be the same ones: the mean difference from seats'
pixels is told, in steps of 255. One JSON document on standard output.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from seats.media import load_clip

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Source:
    """A file to make: `seconds` at `fps`, a keyframe at least every `gop` frames."""

    name: str
    codec: str
    width: int
    height: int
    seconds: int
    fps: int = 30
    gop: int = 250
    options: tuple[tuple[str, str], ...] = ()


SOURCES = (
    Source("720p-h264.mp4", "libx264", 1280, 720, 60, options=(("preset", "veryfast"),)),
    Source("1080p-h264.mp4", "libx264", 1920, 1080, 30, options=(("preset", "veryfast"),)),
    Source("480p-h264-long.mp4", "libx264", 854, 480, 300, options=(("preset", "veryfast"),)),
    Source(
        "720p-hevc.mp4", "libx265", 1280, 720, 30, options=(("preset", "ultrafast"), ("x265-params", "log-level=0"))
    ),
    Source("480p-vp9.webm", "libvpx-vp9", 854, 480, 30, gop=128, options=(("cpu-used", "8"), ("deadline", "realtime"))),
)


def make(source: Source, folder: Path) -> Path:
    """Write the file: a camera that wanders over a textured picture, with grain and a cut every seven seconds."""
    path = folder / source.name
    random = np.random.default_rng(0)
    worlds = [_texture(random, source.height + 160, source.width + 160) for _ in range(3)]
    grain = random.integers(-6, 7, (8, source.height, source.width, 1), dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(source.codec, rate=source.fps, options=dict(source.options))
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        stream.gop_size = source.gop
        stream.codec_context.time_base = Fraction(1, source.fps)
        for number in range(source.seconds * source.fps):
            second = number / source.fps
            world = worlds[int(second / 7) % len(worlds)]
            y, x = int(80 + 79 * np.sin(second * 0.9)), int(80 + 79 * np.cos(second * 0.7))
            picture = world[y : y + source.height, x : x + source.width] + grain[number % len(grain)]
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    total = np.zeros((height, width, 3), dtype=np.float32)
    for cells in (4, 12, 40, 120):
        coarse = torch.from_numpy(random.random((1, 3, cells, cells * width // height), dtype=np.float32))
        fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
        total += fine[0].permute(1, 2, 0).numpy() * (160 / cells**0.5)
    return (255 * (total - total.min()) / (total.max() - total.min())).astype(np.int16)


Reader = Callable[[Path, list[int], tuple[int, int]], np.ndarray]


def by_seats(path: Path, indices: list[int], size: tuple[int, int]) -> np.ndarray:
    video = load_clip(path, use_audio=False).video
    assert video is not None
    return video.pixels.numpy()


def _resized(frames: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    small = torch.nn.functional.interpolate(frames, size, mode="bicubic", antialias=True, align_corners=False)
    return small.numpy()


def by_torchcodec(path: Path, indices: list[int], size: tuple[int, int], threads: int = 1) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    frames = VideoDecoder(str(path), num_ffmpeg_threads=threads).get_frames_at(indices=indices).data
    return _resized(frames, size)


def by_torchcodec_resizing(path: Path, indices: list[int], size: tuple[int, int], threads: int = 1) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=threads, transforms=[Resize(size)])
    return decoder.get_frames_at(indices=indices).data.numpy()


def by_decord(path: Path, indices: list[int], size: tuple[int, int], threads: int = 0) -> np.ndarray:
    import decord

    frames = torch.from_numpy(decord.VideoReader(str(path), num_threads=threads).get_batch(indices).asnumpy())
    return _resized(frames.permute(0, 3, 1, 2), size)


READERS: dict[str, Reader] = {
    "seats": by_seats,
    "torchcodec": by_torchcodec,
    f"torchcodec, {CORES} threads": lambda *a: by_torchcodec(*a, threads=CORES),
    f"torchcodec resizing, {CORES} threads": lambda *a: by_torchcodec_resizing(*a, threads=CORES),
    "decord": by_decord,
    f"decord, {CORES} threads": lambda *a: by_decord(*a, threads=CORES),
}


def compare(path: Path, fps: int, rounds: int) -> dict[str, Any]:
    """Times of every reader on one file, seconds, and what their frames differ by."""
    video = load_clip(path, use_audio=False).video
    assert video is not None
    indices = [round(second * fps) for second in video.times]
    size = tuple(video.pixels.shape[2:])
    ours = video.pixels.numpy().astype(np.float32)
    seconds: dict[str, list[float]] = {}
    differs: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, read in READERS.items():  # the first, uncounted round
        try:
            differs[name] = round(float(np.abs(read(path, indices, size) - ours).mean()), 2)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    for _ in range(rounds):
        for name in differs:
            began = time.perf_counter()
            READERS[name](path, indices, size)
            seconds.setdefault(name, []).append(time.perf_counter() - began)
    told = {
        name: {
            "median_s": round(statistics.median(taken), 3),
            "range_s": [round(min(taken), 3), round(max(taken), 3)],
            "times_of_seats": round(statistics.median(a / b for a, b in zip(taken, seconds["seats"], strict=True)), 2),
            "mean_difference": differs[name],
        }
        for name, taken in seconds.items()
    }
    return {"file": path.name, "frames": len(indices), "size": list(size), "readers": told, "failed": failed}


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="a file's name; several times for several")
    parser.add_argument("--folder", type=Path, help="keep the files there; those that are there already are not made")
    options = parser.parse_args()
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as made:
        folder, found = options.folder or Path(made), []
        for source in SOURCES:
            if options.only and source.name not in options.only:
                continue
            path = folder / source.name
            if not path.exists():
                print(f"making {source.name}", file=sys.stderr, flush=True)
                make(source, folder)
            found.append(compare(path, source.fps, options.rounds))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    packages = {name: version(name) for name in ("av", "torch", "torchcodec", "decord")}
    print(json.dumps({"cores": CORES, "rounds": options.rounds, "packages": packages, "files": found}))


if __name__ == "__main__":
    main()
