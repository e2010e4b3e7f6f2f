"""Time to the first token with freed memory kept, as the commands do it, and with glibc's defaults; prints one JSON
document.

    python benchmarks/record.py freed-memory -- python benchmarks/freed_memory.py
    python benchmarks/freed_memory.py --seconds 5 --rounds 1        a quick look

`seats profile` on a clip of `linearity.py` with the built-in model, full tokens and `seats` at 10 %, in a process of
its own each. A round is one process of either way; ratios are within rounds: median, lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.linearity import QUESTION, ROOT, make_clip

LEFT_ALONE = {"MALLOC_PERTURB_": "0"}
"""What glibc does anyway; but where its variables are set, `seats.allocator` leaves it alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(said.seconds, said.rounds, Path(folder))))


def measured(seconds: float, rounds: int, folder: Path) -> dict[str, Any]:
    """All rounds with a clip of so many seconds, and how many times as long it takes by default."""
    clip = make_clip(folder / "clip.mp4", seconds)
    made = [{"kept": run(clip, {}), "default": run(clip, LEFT_ALONE)} for _ in range(rounds)]
    ratios = {
        label: [one["default"]["first_token_ms"][label] / one["kept"]["first_token_ms"][label] for one in made]
        for label in made[0]["kept"]["first_token_ms"]
    }
    return {
        "clip_s": seconds,
        "times_as_long_by_default": {
            label: {"median": statistics.median(found), "low": min(found), "high": max(found)}
            for label, found in ratios.items()
        },
        "rounds": made,
    }


def run(clip: Path, env: dict[str, str]) -> dict[str, Any]:
    """Medians of the first token, from the clip in memory on, and the process's peak."""
    command = [sys.executable, "-m", "seats_cli", "profile", str(clip), QUESTION, "--model", "seats-nano"]
    command += ["--keep=10%", "--device=cpu", "--rounds=5", "--json", "--quiet"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    env = clean | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)} | env
    document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, env=env).stdout)
    return {
        "first_token_ms": {row["label"]: row["latency_ms"]["first_token"]["median"] for row in document["rows"]},
        "peak_bytes": max(row["memory_bytes"]["peak_device"] for row in document["rows"]),
    }


if __name__ == "__main__":
    main()
