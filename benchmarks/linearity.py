"""Time and memory of `seats ask` against the length of the clip, with the built-in model; prints one JSON document.

    python benchmarks/record.py linearity -- python benchmarks/linearity.py
    python benchmarks/linearity.py --seconds 10 30 --rounds 1        a quick look

Every answer is a process of its own: its time by step is what `ask --json` reports, its memory the most that was
resident at a time. Clips are made here: a moving picture of 640x360 at 30 frames a second with a keyframe every eight
seconds, and sound at 48 kHz. A line is fitted to the values over the length, weighted so that each length counts by
relative error; told are its two coefficients, the largest relative distance from it, and the exponent of growth between
the longest clip and the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = (10.0, 30.0, 120.0, 600.0, 1800.0)
QUESTION = "list all shapes ."
_SEGMENT, _FPS, _RATE, _AAC = 8, 30, 48_000, 1024


def make_clip(path: Path, seconds: float, width: int = 640, height: int = 360) -> Path:
    """Write an MP4 (H.264, AAC) that long: eight seconds, encoded once and repeated packet by packet."""
    import av

    rounds = int(-(-seconds // _SEGMENT))
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=_FPS, options={"preset": "veryfast", "bf": "0"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.gop_size = _SEGMENT * _FPS
        video.codec_context.time_base = Fraction(1, _FPS)
        sound: Any = container.add_stream("aac", rate=_RATE, layout="mono")
        pictures = [bytes(packet) for packet in _pictures(video, width, height)]
        sounds = [bytes(packet) for packet in _sounds(sound)][: _SEGMENT * _RATE // _AAC]
        for number in range(rounds):
            start = number * _SEGMENT
            _put(container, video, pictures, start * _FPS, 1, Fraction(1, _FPS), seconds)
            _put(container, sound, sounds, start * _RATE, _AAC, Fraction(1, _RATE), seconds)
    return path


def _put(
    container: Any, stream: Any, packets: list[bytes], first: int, step: int, base: Fraction, seconds: float
) -> None:
    import av

    for index, data in enumerate(packets):
        at = first + index * step
        if at * base >= seconds:
            return
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, base
        packet.pts = packet.dts = at
        packet.duration = step
        packet.is_keyframe = index == 0 or step != 1
        container.mux(packet)


def _pictures(stream: Any, width: int, height: int) -> Any:
    """A textured picture that wanders, with grain, as encoded packets."""
    import av

    random = np.random.default_rng(0)
    coarse = random.integers(40, 216, (height // 20 + 9, width // 20 + 9), dtype=np.int16)
    world = np.kron(coarse, np.ones((20, 20), dtype=np.int16))
    grain = random.integers(-5, 6, (4, height, width), dtype=np.int16)
    for number in range(_SEGMENT * _FPS):
        angle = 2 * np.pi * number / (_SEGMENT * _FPS)
        y, x = int(60 + 59 * np.sin(angle)), int(60 + 59 * np.cos(angle))
        grey = (world[y : y + height, x : x + width] + grain[number % 4]).clip(16, 235).astype(np.uint8)
        colours = np.full((height // 2, width), 128 + int(60 * np.sin(3 * angle)), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(np.concatenate([grey, colours]), format="yuv420p")
        frame.pts = number
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _sounds(stream: Any) -> Any:
    import av

    times = np.arange(_SEGMENT * _RATE) / _RATE
    wave = (0.3 * np.sin(2 * np.pi * 440 * times) * (np.sin(2 * np.pi * times) > 0)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = _RATE, 0
    yield from stream.encode(frame)
    yield from stream.encode(None)


def ask(path: Path, model: str) -> dict[str, Any]:
    """One answer in a process of its own: seconds by step and in all, and bytes resident at its worst moment."""
    command = [sys.executable, "-m", "seats_cli", "ask", str(path), QUESTION, "--model", model, "--device", "cpu"]
    began = time.perf_counter()
    child = subprocess.Popen(
        [*command, "--json", "--quiet"], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    document = json.loads(said)
    return {
        "wall_s": time.perf_counter() - began,
        "steps_s": {name: ms / 1e3 for name, ms in document["latency_ms"].items() if ms is not None},
        "peak_resident_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "frames": document["clip"]["video"]["frames"],
        "audio_s": document["clip"]["audio"]["seconds"],
        "tokens": document["tokens"]["video"]["full"] + document["tokens"]["audio"]["full"],
    }


def line(lengths: list[float], values: list[float]) -> dict[str, float]:
    """The line nearest to the values by relative error, and how far they are from it."""
    x, y = np.array(lengths), np.array(values)
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    fitted = start + slope * x
    return {
        "start": float(start),
        "per_second_of_clip": float(slope),
        "largest_relative_deviation": float(np.abs(y / fitted - 1).max()),
        "last_exponent": float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2])),
    }


def measured(lengths: list[float], rounds: int, model: str) -> dict[str, Any]:
    """All lengths, `rounds` times each in turn; medians."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [make_clip(Path(folder) / f"{seconds:g}.mp4", seconds) for seconds in lengths]
        ask(clips[0], model)  # files that are read once are in memory from then on
        runs = [[ask(clip, model) for clip in clips] for _ in range(rounds)]
    rows = []
    for index, seconds in enumerate(lengths):
        mine = [one[index] for one in runs]
        steps = {
            name: statistics.median(run["steps_s"][name] for run in mine if name in run["steps_s"])
            for name in mine[0]["steps_s"]
        }
        walls = [run["wall_s"] for run in mine]
        rows.append(
            {
                "clip_s": seconds,
                **{name: mine[0][name] for name in ("frames", "audio_s", "tokens")},
                "wall_s": {"median": statistics.median(walls), "low": min(walls), "high": max(walls)},
                "steps_s": steps,
                "peak_resident_bytes": statistics.median(run["peak_resident_bytes"] for run in mine),
            }
        )
    fits = {}
    if len(lengths) > 1:
        fits = {
            "wall_s": line(lengths, [row["wall_s"]["median"] for row in rows]),
            "decode_clip_s": line(lengths, [row["steps_s"]["decode_clip"] for row in rows]),
            "first_token_s": line(lengths, [row["steps_s"]["first_token"] for row in rows]),
            "peak_resident_bytes": line(lengths, [row["peak_resident_bytes"] for row in rows]),
        }
    return {"model": model, "rounds": rounds, "rows": rows, "fits": fits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=list(LENGTHS), help="lengths of the clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="seats-nano")
    said = parser.parse_args()
    json.dump(measured(sorted(said.seconds), said.rounds, said.model), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
