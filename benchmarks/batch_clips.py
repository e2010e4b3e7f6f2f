"""Many clips, some bad: every one has exactly one row, and each answer is that of `seats ask`.

    python benchmarks/record.py batch-clips -- python benchmarks/batch_clips.py
    python benchmarks/record.py batch-clips-ray -- python benchmarks/batch_clips.py --ray

With --ray by two Ray actors, one of which is killed when half of the rows are there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.batch_corpus import make_clips
from benchmarks.batch_processes import Batch

QUESTION = "Which shape appears first?"
MEASURED = ("latency_ms", "memory_bytes", "speedup")
"""Keys of an answer that differ from run to run."""


def measure(
    folder: Path, clips: int, bad: int, *, drawn: int = 0, ray: bool = False, kill_after: int = 0
) -> dict[str, Any]:
    """Run a batch in `folder` and compare. The figures; `faults` lists what is not as it should be.

    ray: by two Ray actors, of which one is killed when `kill_after` rows are there.
    """
    source = folder / "clips"
    source.mkdir()
    good, spoilt = make_clips(source, clips, bad, drawn=drawn)
    results = folder / "results.jsonl"
    engine = ["--engine", "ray", "--workers", "2"] if ray else []
    arguments = [str(source), QUESTION, "--model", "seats-nano", "--out", str(results), "--json", *engine]
    began = time.monotonic()
    batch = Batch(arguments, folder / "log.txt")
    killed = _kill_an_actor(batch, results, kill_after) if ray else None
    code = batch.process.wait()
    seconds = time.monotonic() - began
    faults = [] if code == (3 if bad else 0) else [f"exit code {code}: {(folder / 'log.txt').read_text()[-500:]}"]
    if ray and killed is None:
        faults.append("no actor was killed")
    faults += [f"left alive: {process.command[:80]}" for process in batch.left_after(10)]
    rows = [json.loads(line) for line in results.read_bytes().splitlines()]
    paths = Counter(row["clip"] if row["status"] == "error" else row["clip"]["path"] for row in rows)
    faults += [f"{path}: {paths[str(path)]} rows" for path in [*good, *spoilt] if paths[str(path)] != 1]
    answered = {row["clip"]["path"]: row for row in rows if row["status"] == "ok"}
    failed = Counter(row["error"]["type"] for row in rows if row["status"] == "error")
    faults += [f"{path}: answered though it is bad" for path in spoilt if str(path) in answered]
    faults += [f"{path}: failed though it is good" for path in good if str(path) not in answered]
    compared = [(path, answered[str(path)]) for path in good if str(path) in answered]
    different = compare_with_ask(compared)
    faults += [f"{path}: differs from ask in {', '.join(keys)}" for path, keys in different.items() if keys]
    return {
        "clips": clips,
        "bad": bad,
        "engine": "ray, 2 workers" if ray else "local, 1 worker",
        "actor_killed_after_rows": killed,
        "rows": len(rows),
        "answered": len(answered),
        "failed": dict(failed),
        "equal_to_ask": sum(not keys for keys in different.values()),
        "different_answers": len({row["answer"] for row in answered.values()}),
        "seconds_with_start": round(seconds, 1),
        "said": _document(batch.out, faults),
        "lost_workers_said": [line for line in (folder / "log.txt").read_text().splitlines() if "lost" in line],
        "faults": faults,
    }


def compare_with_ask(rows: list[tuple[Path, dict[str, Any]]]) -> dict[Path, list[str]]:
    """For each clip the keys in which its row differs from what `ask` says."""
    import torch

    from seats.inference.answer import Question, answer
    from seats.inference.report import answer_json
    from seats.media import load_clip
    from seats.models.checkpoint import find_checkpoint
    from seats.models.omni import load_model
    from seats.models.sampling import frame_sampling

    torch.set_num_threads(1)
    checkpoint = find_checkpoint("seats-nano")
    model = load_model(checkpoint, device="cpu")
    different = {}
    for path, row in rows:
        clip = load_clip(path, sampling=frame_sampling(checkpoint))
        said = json.loads(json.dumps(answer_json(answer(model, clip, Question(QUESTION)))))
        different[path] = [key for key, value in said.items() if key not in MEASURED and row.get(key) != value]
    return different


def _document(out: Path, faults: list[str]) -> dict[str, Any]:
    """What was said on standard output, which must be one JSON document."""
    try:
        return json.loads(out.read_bytes())
    except ValueError:
        faults.append(f"no JSON document: {out.read_text()[:2000]}")
        return {}


def _kill_an_actor(batch: Batch, results: Path, rows: int) -> int | None:
    """Wait for so many rows, then kill an actor; return the rows there were."""
    actors: list[int] = []
    while batch.process.poll() is None:
        there = results.read_bytes().count(b"\n") if results.exists() else 0
        if not actors:  # looked for ahead: on a busy machine a short batch would end meanwhile
            actors = [process.pid for process in batch.processes() if process.command.startswith("ray::RayWorker")]
        elif there >= rows:
            os.kill(actors[0], signal.SIGKILL)
            return there
        time.sleep(0.02)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--bad", type=int, default=10)
    parser.add_argument("--drawn", type=int, default=20)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        half = options.clips // 2
        figures = measure(
            Path(folder), options.clips, options.bad, drawn=options.drawn, ray=options.ray, kill_after=half
        )
    print(json.dumps(figures))
    sys.exit(bool(figures["faults"]))


if __name__ == "__main__":
    main()
