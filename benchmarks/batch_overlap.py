"""Decoding of the next clips beside the model: wall time of a batch against decoding alone and the model alone.

    python benchmarks/record.py batch-overlap -- python benchmarks/batch_overlap.py

All three are timed in this order, several times over: decoding every clip one after the other as a worker's one decoder
does; answering about clips decoded before; and the batch, its results file included. A first clip, with which decoder
and model are started, comes before the clips that are timed, so that no start is in any of the three; when the batch's
first row is there, one or two of the next clips may have been decoded. `ratio` is the batch's time by the larger of the
other two in the same round: median, least and most of the rounds. `busy` is the processor time of decoding and model by
what all cores have in the time of the larger: near 1, no order of the work could take only that time.
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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Taken:
    """Seconds of the clock and of the processors."""

    wall_s: float
    cpu_s: float


def processor_seconds(process: int) -> float:
    """What a process and its threads have used so far."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def decoding_alone(setup: Setup, jobs: list[Job]) -> tuple[Taken, dict[str, Decoded]]:
    """What it took, and the clips."""
    decoder = Decoder(setup.clip.memory_bytes)
    try:
        decoded = {jobs[0].clip: decoder.decode(jobs[0].clip, setup.clip)}  # so that imports are not counted
        began, used = time.monotonic(), processor_seconds(decoder._child.process.pid)
        decoded |= {job.clip: decoder.decode(job.clip, setup.clip) for job in jobs[1:]}
        return Taken(time.monotonic() - began, processor_seconds(decoder._child.process.pid) - used), decoded
    finally:
        decoder.close()


def model_alone(setup: Setup, jobs: list[Job], decoded: dict[str, Decoded]) -> Taken:
    worker = Worker(setup)
    for decoder in worker._decoders:
        decoder.decode(jobs[0].clip, setup.clip)  # so that they do not start while the model is timed
    worker._decode = lambda path, _: decoded[path]  # type: ignore[method-assign]
    try:
        worker.run(jobs[0], lambda _: None)
        with ThreadPoolExecutor(slots(setup)) as pool:
            began, used = time.monotonic(), time.process_time()
            list(pool.map(lambda job: worker.run(job, lambda _: None), jobs[1:]))
            return Taken(time.monotonic() - began, time.process_time() - used)
    finally:
        worker.stop()


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
        decoding, decoded = decoding_alone(setup, jobs)
        model = model_alone(setup, jobs, decoded)
        rounds.append((decoding, model, batch(setup, jobs, folder / f"{number}.jsonl")))
    longer = [max(decoding.wall_s, model.wall_s) for decoding, model, _ in rounds]
    ratios = [batch_s / most for most, (_, _, batch_s) in zip(longer, rounds, strict=True)]
    busy = [
        (decoding.cpu_s + model.cpu_s) / (most * (os.cpu_count() or 1))
        for most, (decoding, model, _) in zip(longer, rounds, strict=True)
    ]
    return {
        "clips": clips,
        "picture": f"{168 * scale}x{168 * scale}, 4 s",
        "decoding_s": round(statistics.median(decoding.wall_s for decoding, _, _ in rounds), 3),
        "model_s": round(statistics.median(model.wall_s for _, model, _ in rounds), 3),
        "batch_s": round(statistics.median(batch_s for _, _, batch_s in rounds), 3),
        "ratio": [round(figure(ratios), 3) for figure in (statistics.median, min, max)],
        "busy": round(statistics.median(busy), 3),
        "rounds": [
            [round(s, 3) for s in (decoding.wall_s, model.wall_s, batch_s)] for decoding, model, batch_s in rounds
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 3, 4])
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
