"""Batches killed at random moments and gone on with: no row lost or doubled, the file valid, no process left.

    python benchmarks/record.py batch-kills -- python benchmarks/batch_kills.py

Half of the kills come at a random time after the start, half so many rows after it. Every other one ends all processes
of the batch, the others its process group alone, whose children must then end by themselves. Between runs a clip is
renamed now and then, and some runs ask failed ones again, so that rows in the file are changed as well as added.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.batch_corpus import make_clips
from benchmarks.batch_processes import Batch

QUESTIONS = ("Which shape appears first?", "Which sound is heard last?")
_ORDERLY_END_S = 10.0


@dataclass
class Figures:
    """kills: that hit a running batch. moments: what they interrupted. half_rows: kills that left half a row.
    slowest_end_s: until the last process had ended after a kill."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    half_rows: int = 0
    slowest_end_s: float = 0.0
    rows_by_run: list[int] = field(default_factory=list)
    finished_early: int = 0
    faults: list[str] = field(default_factory=list)


def measure(folder: Path, *, clips: int, bad: int, kills: int, seed: int = 0, start_s: float = 8.0) -> Figures:
    """Run batches in `folder`, each but the last killed. start_s: time in which kills before the first row fall.

    When all rows are there before the kills are used up, the results file is emptied of a part of its rows, as if they
    had never been made.
    """
    rng = random.Random(seed)
    source, results, log = folder / "clips", folder / "results.jsonl", folder / "log.txt"
    source.mkdir()
    good, spoilt = make_clips(source, clips, bad, seed=seed)
    questions = folder / "questions.jsonl"
    paths = {path.name: path for path in [*good, *spoilt]}  # by their first name
    arguments = [str(source), "--questions", str(questions), "--model", "seats-nano", "--out", str(results)]
    figures = Figures()
    while figures.kills < kills:
        _rename_one(paths, rng)
        _write_questions(questions, paths)
        known = _answered(results)
        if len(known) > 0.9 * len(good) * len(QUESTIONS):
            known = _drop_rows(results, rng)
        retry = ["--retry-failed"] if rng.random() < 0.2 else []
        batch = Batch([*arguments, *retry], log)
        _wait_for_the_moment(batch, results, rng, start_s)
        if batch.process.poll() is not None:
            figures.finished_early += 1
            if batch.process.returncode not in (0, 3):
                figures.faults.append(f"exit code {batch.process.returncode}: {log.read_text()[-300:]}")
                break
            continue
        before = _rows(results, figures)
        batch.kill(everything=figures.kills % 2 == 0)
        figures.kills += 1
        began = time.monotonic()
        left = batch.left_after(_ORDERLY_END_S)
        figures.slowest_end_s = max(figures.slowest_end_s, time.monotonic() - began)
        figures.faults += [f"kill {figures.kills}: left alive: {process.command[:60]}" for process in left]
        after = _rows(results, figures)
        figures.half_rows += _ends_half(results)
        figures.moments["while rows were made" if before > len(known) else "before the first row"] += 1
        figures.rows_by_run.append(after - len(known))
        lost = known - _answered(results)
        figures.faults += [f"kill {figures.kills}: lost {row}" for row in lost]
        figures.faults += [f"kill {figures.kills}: {fault}" for fault in _doubled(results)]
    _write_questions(questions, paths)
    batch = Batch(arguments, log)
    if batch.process.wait() != (3 if bad else 0):
        figures.faults.append(f"the last run ended with {batch.process.returncode}: {log.read_text()[-300:]}")
    figures.faults += [f"left alive: {process.command[:60]}" for process in batch.left_after(_ORDERLY_END_S)]
    figures.faults += _final_faults(results, [paths[p.name] for p in good], [paths[p.name] for p in spoilt])
    return figures


def _wait_for_the_moment(batch: Batch, results: Path, rng: random.Random, start_s: float) -> None:
    if rng.random() < 0.5:
        deadline = time.monotonic() + rng.uniform(0, start_s)
        while batch.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return
    size = results.stat().st_size if results.exists() else 0
    rows = rng.randint(1, 8)
    there = 0
    while batch.process.poll() is None and there < rows:
        time.sleep(0.002)
        there = _new_rows(results, size)
    time.sleep(rng.uniform(0, 0.3))


def _new_rows(results: Path, size: int) -> int:
    if not results.exists():
        return 0
    with results.open("rb") as file:
        file.seek(min(size, results.stat().st_size))
        return file.read().count(b"\n")


def _rename_one(paths: dict[str, Path], rng: random.Random) -> None:
    if rng.random() < 0.5:
        name = rng.choice(sorted(paths))
        new = paths[name].with_name(f"renamed-{rng.randrange(10**6)}-{name}")
        paths[name] = paths[name].rename(new)


def _write_questions(file: Path, paths: dict[str, Path]) -> None:
    """With ids that stay when clips are renamed."""
    lines = [
        {"clip": path.name, "question": question, "id": f"{name} {number}"}
        for name, path in paths.items()
        for number, question in enumerate(QUESTIONS)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _lines(results: Path) -> list[bytes]:
    """The lines that have an end."""
    return results.read_bytes().splitlines(keepends=True) if results.exists() else []


def _rows(results: Path, figures: Figures) -> int:
    """The number of rows; every line but a last one without its end must be one."""
    count = 0
    for line in _lines(results):
        if line.endswith(b"\n"):
            try:
                count += json.loads(line)["status"] in ("ok", "error")
            except (ValueError, KeyError):
                figures.faults.append(f"kill {figures.kills}: no row: {line[:80]!r}")
    return count


def _ends_half(results: Path) -> bool:
    lines = _lines(results)
    return bool(lines) and not lines[-1].endswith(b"\n")


def _whole_rows(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(results) if line.endswith(b"\n")]


def _answered(results: Path) -> set[tuple[str, str]]:
    """Content and question of each answered row."""
    return {(row["content"]["hash"], row["question"]) for row in _whole_rows(results) if row["status"] == "ok"}


def _doubled(results: Path) -> list[str]:
    counts = Counter(row["id"] for row in _whole_rows(results))
    return [f"{count} rows of {name}" for name, count in counts.items() if count > 1]


def _drop_rows(results: Path, rng: random.Random) -> set[tuple[str, str]]:
    lines = _lines(results)
    results.write_bytes(b"".join(rng.sample(lines, len(lines) // 4)))
    return _answered(results)


def _final_faults(results: Path, good: list[Path], spoilt: list[Path]) -> list[str]:
    rows = _whole_rows(results)
    faults = _doubled(results)
    wanted = {(str(path), question) for path in [*good, *spoilt] for question in QUESTIONS}
    path_of = {"ok": lambda row: row["clip"]["path"], "error": lambda row: row["clip"]}
    there = {(path_of[row["status"]](row), row["question"]): row["status"] for row in rows}
    if len(rows) != len(wanted):
        faults.append(f"{len(rows)} rows for {len(wanted)} questions")
    faults += [f"no row: {missing}" for missing in wanted - set(there)]
    bad = {str(path) for path in spoilt}
    faults += [f"{path}: {status}" for (path, _), status in there.items() if (status == "error") != (path in bad)]
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--bad", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=float, default=8.0, help="seconds in which kills before the first row fall")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            Path(folder),
            clips=options.clips,
            bad=options.bad,
            kills=options.kills,
            seed=options.seed,
            start_s=options.start,
        )
    document = {
        "kills": figures.kills,
        "clips": options.clips,
        "bad": options.bad,
        "questions_per_clip": len(QUESTIONS),
        "seed": options.seed,
        "moments": dict(figures.moments),
        "kills_that_cut_a_row": figures.half_rows,
        "new_rows_by_killed_run": figures.rows_by_run,
        "runs_that_ended_before_their_kill": figures.finished_early,
        "slowest_end_of_all_processes_s": round(figures.slowest_end_s, 2),
        "seconds": round(time.monotonic() - began, 1),
        "faults": figures.faults,
    }
    print(json.dumps(document))
    sys.exit(bool(figures.faults))


if __name__ == "__main__":
    main()
