"""Decoding of the next clips beside the model: wall time of a batch against decoding alone and the model alone.

    python benchmarks/record.py batch-overlap -- python benchmarks/batch_overlap.py

All three are timed in this order, several times over: decoding every clip one after the other as a worker's one decoder
does; answering about clips decoded before; and the batch, its results file included. A first clip, with which decoder
and model are started, comes before the clips that are timed, so that no start is in any of the three; when the batch's
first row is there, one or two of the next clips may have been decoded. `ratio` is the batch's time by the larger of the
other two.
On a machine with other work on it the figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.batch_corpus import read_sources, write_cut
from seats.batch.decoding import Decoded, Decoder
from seats.batch.jobs import Asked, Event, Job, Made
from seats.batch.local import LocalEngine
from seats.batch.run import run_batch
from seats.batch.settings import AnswerSettings, ClipSettings, ModelSettings, Setup
from seats.batch.worker import Worker, slots
from seats.models.checkpoint import find_checkpoint
from seats.models.sampling import frame_sampling

QUESTION = "Which shape appears first?"


def decoding_alone(setup: Setup, jobs: list[Job]) -> tuple[float, dict[str, Decoded]]:
    """Seconds, and the clips."""
    decoder = Decoder(setup.clip.memory_bytes)
    try:
        decoded = {jobs[0].clip: decoder.decode(jobs[0].clip, setup.clip)}  # so that imports are not counted
        began = time.monotonic()
        decoded |= {job.clip: decoder.decode(job.clip, setup.clip) for job in jobs[1:]}
        return time.monotonic() - began, decoded
    finally:
        decoder.close()


def model_alone(setup: Setup, jobs: list[Job], decoded: dict[str, Decoded]) -> float:
    """Seconds."""
    worker = Worker(setup)
    for decoder in worker._decoders:
        decoder.decode(jobs[0].clip, setup.clip)  # so that they do not start while the model is timed
    worker._decode = lambda path, _: decoded[path]  # type: ignore[method-assign]
    try:
        worker.run(jobs[0], lambda _: None)
        with ThreadPoolExecutor(slots(setup)) as pool:
            began = time.monotonic()
            list(pool.map(lambda job: worker.run(job, lambda _: None), jobs[1:]))
            return time.monotonic() - began
    finally:
        worker.close()


def batch(setup: Setup, jobs: list[Job], out: Path) -> float:
    """Seconds."""
    began = last = 0.0

    def tell(event: Event) -> None:
        nonlocal began, last
        if isinstance(event, Made):
            last = time.monotonic()
            began = began or last

    outcome = run_batch(jobs, out, setup.digest, lambda: LocalEngine(setup, ["cpu"]), tell=tell)
    if outcome.answered != len(jobs):
        raise SystemExit(f"{outcome.failed} clips failed")
    return last - began


def measure(folder: Path, clips: int, repeats: int, scale: int, decoders: int = 1) -> dict[str, Any]:
    """The figures for clips whose picture is `scale` times the samples' size."""
    folder.mkdir()
    sources = [source for source in read_sources() if source.frames and len(source.sound)]
    jobs = []
    for number in range(clips + 1):
        path = folder / f"{number}.mp4"
        write_cut(sources[number % len(sources)], path, 0.05 * (number // len(sources)), 4.0, scale=scale)
        jobs.append(Job(str(path), (Asked(path.name, QUESTION),)))
    checkpoint = find_checkpoint("seats-nano")
    setup = Setup.of(
        ModelSettings(checkpoint, device="cpu", threads=1),
        ClipSettings(frame_sampling(checkpoint)),
        AnswerSettings(),
        decoders,
    )
    rounds = []
    for number in range(repeats):
        decoding_s, decoded = decoding_alone(setup, jobs)
        model_s = model_alone(setup, jobs, decoded)
        rounds.append((decoding_s, model_s, batch(setup, jobs, folder / f"{number}.jsonl")))
    decoding_s, model_s, batch_s = (statistics.median(times) for times in zip(*rounds, strict=True))
    return {
        "clips": clips,
        "picture": f"{168 * scale}x{168 * scale}, 4 s",
        "decoding_s": round(decoding_s, 3),
        "model_s": round(model_s, 3),
        "batch_s": round(batch_s, 3),
        "ratio": round(batch_s / max(decoding_s, model_s), 3),
        "one_after_the_other": round((decoding_s + model_s) / max(decoding_s, model_s), 3),
        "rounds": [[round(seconds, 3) for seconds in times] for times in rounds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 3, 4, 6])
    parser.add_argument("--decoders", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = [
            measure(Path(folder, str(scale)), options.clips, options.repeats, scale, options.decoders)
            for scale in options.scales
        ]
    print(json.dumps({"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "measured": measured}))


if __name__ == "__main__":
    main()
