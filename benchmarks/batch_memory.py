"""Memory of all processes of a batch over many clips, and its slope.

    python benchmarks/record.py batch-memory -- python benchmarks/batch_memory.py

Memory is looked at twice a second. Of each process: what is resident, libraries on disk included, which other programs
may use as well; and what is its own, without files, and with its part of the memory in which clips are handed over. The
slope is that of a straight line through the looks after the first fifth of the clips, with the standard error of an
ordinary fit. `of_halves` has the medians of the two halves of these looks, to which single peaks mean less.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.batch_corpus import make_clips
from benchmarks.batch_processes import Batch

_LOOK_EVERY_S = 0.5
_ROLES = {"local_child": "worker", "decoding_child": "decoder", "seats_cli": "batch"}


def measure(folder: Path, clips: int, different: int) -> dict[str, Any]:
    """Run a batch over `clips` files, copies of so many different ones."""
    source = folder / "clips"
    source.mkdir()
    made, _ = make_clips(source, different, 0)
    for number in range(different, clips):
        parent = made[number % different]
        shutil.copyfile(parent, source / f"{number:05}{parent.suffix}")
    results = folder / "results.jsonl"
    arguments = [str(source), "Which shape appears first?", "--model", "seats-nano", "--out", str(results)]
    batch = Batch(arguments, folder / "log.txt")
    looks: list[tuple[int, dict[str, Memory]]] = []
    while batch.process.poll() is None:
        time.sleep(_LOOK_EVERY_S)
        by_role: dict[str, Memory] = defaultdict(Memory)
        for process in batch.processes():
            role = next((name for sign, name in _ROLES.items() if sign in process.command), "other")
            by_role[role] += Memory(process.resident, process.own)
        rows = results.read_bytes().count(b"\n") if results.exists() else 0
        if rows:
            looks.append((rows, dict(by_role)))
    settled = [(rows, memory) for rows, memory in looks if clips / 5 <= rows < clips]
    roles = sorted({role for _, memory in settled for role in memory})
    return {
        "clips": clips,
        "different_clips": different,
        "exit_code": batch.process.returncode,
        "rows": results.read_bytes().count(b"\n"),
        "looks": len(settled),
        **{kind: _lines(settled, roles, kind) for kind in ("resident", "own")},
    }


@dataclass(frozen=True)
class Memory:
    """Bytes, as in `Process`."""

    resident: int = 0
    own: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.resident + other.resident, self.own + other.own)


def _lines(looks: list[tuple[int, dict[str, Memory]]], roles: list[str], kind: str) -> dict[str, Any]:
    """Of all processes together, and of each kind of process."""
    by_role = {role: [(rows, getattr(memory.get(role, Memory()), kind)) for rows, memory in looks] for role in roles}
    together = [(points[0][0], sum(size for _, size in points)) for points in zip(*by_role.values(), strict=True)]
    step = max(1, len(together) // 40)
    return {
        "all_processes": _line(together),
        "by_process": {role: _line(points) for role, points in by_role.items()},
        "mib_by_rows": [[rows, round(size / 2**20, 1)] for rows, size in together[::step]],
    }


def _line(points: list[tuple[int, int]]) -> dict[str, Any]:
    """Median, medians of both halves, peak, and slope per 1,000 clips, in MiB."""
    rows, memory = np.array(points, dtype=float).T
    memory /= 2**20
    (slope, _), covariance = np.polyfit(rows, memory, 1, cov=True)
    half = len(memory) // 2
    return {
        "median_mib": round(float(np.median(memory)), 1),
        "of_halves": [round(float(np.median(part)), 1) for part in (memory[:half], memory[half:])],
        "peak_mib": round(float(memory.max()), 1),
        "slope_mib_per_1000_clips": round(1000 * float(slope), 2),
        "standard_error": round(1000 * float(covariance[0, 0]) ** 0.5, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--different", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), options.clips, min(options.clips, options.different))))


if __name__ == "__main__":
    main()
